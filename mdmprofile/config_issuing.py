"""The part of the ``[identity]`` table that has an own CA issue a PKCS#12 for each device."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypeVar

from mdmprofile import tables as t
from mdmprofile.config_file import ConfigTables
from mdmprofile.config_identity import CA, EITHER, IssuedSettings, alternative_names, subject
from mdmprofile.config_signing import CA_KEYS, ca_settings
from mdmprofile.errors import TemplateError, UnfilledError, collect
from mdmprofile.identities import ENCRYPTIONS, KEYS, Wanted
from mdmprofile.payloads.names import Subject
from mdmprofile.secret import SecretSource
from mdmprofile.templating import Render

T = TypeVar("T")
D = TypeVar("D")

# What the server's records and the certificate both know the device by.
_DEFAULT_SUBJECT = [["CN", "{{ device.udid | default(device.serial, true) }}"]]
_EACH = "is of no use here: every device gets an identity of its own"


def issuing_settings(
    tables: ConfigTables, render: Render, *, names: Mapping[str, str] | None = None, request: bool = False
) -> IssuedSettings:
    """The ``[identity]`` table of a config alone, for issuing one device's identity.

    ``names`` are what messages call the CA's keys where they were given as flags. For a ``request``, which has a
    subject of its own, there is no default one. Raises ``ConfigError``, or ``Problems`` with every mistake found.
    """
    context = t.Context(tables.base, render)
    table = t.Table(tables.values.get("identity", {}), "identity", context)
    table.known.append("type")
    settings = read_issued(table, names=names, request=request)
    table.finish()
    if context.problems:
        for problem in context.problems:
            problem.where = tables.place_of(problem.where)
        raise collect(context.problems)
    return settings


def read_issued(table: t.Table, *, names: Mapping[str, str] | None = None, request: bool = False) -> IssuedSettings:
    """The identities that the table describes, and the CA that issues them; mistakes go to the table's context."""
    table.reject({"file": EITHER, "single_device": _EACH})
    defaults = Wanted()
    return IssuedSettings(
        ca=ca_settings(table.prefixed(CA, CA_KEYS), names=names),
        wanted=Wanted(
            key=table.take("key", t.one_of({each: each for each in KEYS}), defaults.key),
            validity=table.take("validity", _some_time, defaults.validity),
            encryption=table.take("encryption", t.one_of({each: each for each in ENCRYPTIONS}), defaults.encryption),
        ),
        subject=_subject(table, default=None if request else _DEFAULT_SUBJECT),
        subject_alt_name=table.take("subject_alt_name", _of_device(alternative_names, None), None),
        embed_password=table.take("embed_password", t.boolean, True),
        password=table.take("password", _of_device(_password(table.where("password")), None), None),
        key_is_extractable=table.take("key_is_extractable", t.boolean, False),
        allow_all_apps_access=table.take("allow_all_apps_access", t.boolean, None),
        uuid=table.take("uuid", t.uuid_text, None),
    )


def _subject(table: t.Table, *, default: list[list[str]] | None) -> Subject:
    if "subject" in table or default is None:
        return table.take("subject", _of_device(subject, ()), ())
    table.known.append("subject")
    try:
        return subject(default, table.context)
    except (TemplateError, ValueError):
        if table.context.for_device:
            hint = "give --var device.serial=C02X, or set it"
            message = "is missing, and neither device.udid nor device.serial is known"
            table.context.problem(table.where("subject"), message, hint)
        return ()


def _of_device(convert: t.Convert[T], blank: D) -> t.Convert[T | D]:
    """Left blank where it needs a variable and the config is read for no device: only who issues needs it."""

    def converted(value: Any, context: t.Context) -> T | D:  # noqa: ANN401 - TOML values are of any type
        try:
            return convert(value, context)
        except UnfilledError:
            if context.for_device:
                raise
            return blank

    return converted


def _password(key: str) -> t.Convert[SecretSource | None]:
    def converted(value: Any, context: t.Context) -> SecretSource | None:  # noqa: ANN401
        # The error about a template in a password says nothing of it, not even that it is only not filled.
        if isinstance(value, str) and not context.for_device:
            return None
        return t.secret(key)(value, context)

    return converted


def _some_time(value: Any, context: t.Context) -> timedelta:  # noqa: ANN401
    duration = t.duration(value, context)
    if not duration:
        raise ValueError("is no time at all; write it as 365d")
    return duration
