"""The enrollment profile with its changing parts cut out: what a config with templates makes of all devices alike."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from mdmprofile.builder import Draft
from mdmprofile.certificates import Certificate
from mdmprofile.config import EnrollmentConfig, config_of
from mdmprofile.config_file import ConfigTables
from mdmprofile.config_identity import IssuedSettings, Pkcs12Settings, ScepSettings
from mdmprofile.errors import MdmprofileError
from mdmprofile.materials import Pkcs12File
from mdmprofile.naming import Names
from mdmprofile.payloads import types
from mdmprofile.payloads.names import Subject
from mdmprofile.recipe import texts_of
from mdmprofile.secret import SecretSource
from mdmprofile.stencil import Marks, Stencil, data_mark, indent_of, xml_data, xml_text
from mdmprofile.templating import Render

# Drafts a profile from a config, with the PKCS#12 that was issued for it.
Drafter = Callable[[EnrollmentConfig, Pkcs12File | None], Draft]
PKCS12_NAME = "identity.p12"
# Where a device's value stands in its profile as it is, and is judged by its length and characters alone.
_FREE: Mapping[str, frozenset[str]] = {
    "profile": frozenset(("display_name", "description", "organization", "consent_text", "removal_password")),
    "identity": frozenset(
        (
            "url", "directory_url", "name", "subject", "subject_alt_name", "challenge", "client_identifier", "password",
        )
    ),
}  # fmt: skip
# The same, except in a replacement, which is compared with the profile it replaces.
_IN_SERVER = {"server": frozenset(("url", "checkin_url", "managed_apple_id", "assigned_managed_apple_id"))}
_URLS = frozenset(("url", "checkin_url", "directory_url"))
# A URL up to its path, without a template: what is judged by more than its characters.
_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#{]+[/?#]")


class _Issued(NamedTuple):
    """Where a PKCS#12 and its password go, and the white space in front of its lines; its UUID where it has one."""

    data: str
    indent: str
    password: str
    uuid: str


class Cut(NamedTuple):
    """A profile's text with marks; ``templates`` are the templates behind them, by mark."""

    templates: Mapping[str, str]
    text: Stencil
    subject: tuple[tuple[str, Stencil], ...] | None
    names: Names
    challenge: str
    issued: _Issued | None

    def fill(self, texts: Mapping[str, str], challenge: str | None, file: Pkcs12File | None) -> bytes:
        """The profile's property list; ``texts`` are the filled templates by mark."""
        values = {mark: xml_text(text) for mark, text in texts.items()}
        if challenge is not None:
            values[self.challenge] = xml_text(challenge)
        if self.issued is not None and file is not None:
            name = self.names.by_type(types.PKCS12, "identity", None, file.certificate.sha256)
            values[self.issued.data] = xml_data(file.data, self.issued.indent)
            values[self.issued.password] = xml_text(file.password or "")
            values[self.issued.uuid] = name.uuid
        return self.text.fill(values).encode()

    def subject_of(self, texts: Mapping[str, str]) -> Subject | None:
        """The subject of the device's identity."""
        return None if self.subject is None else tuple((name, each.fill(texts)) for name, each in self.subject)


def cut(tables: ConfigTables, static: Render, drafter: Drafter, stand_in: Certificate | None) -> Cut | None:
    """Cut the profile; None where a template does more than to fill a text, so that every profile is made in full.

    ``static`` fills templates whose variables are the same for all devices. ``stand_in`` takes the place of a device's
    own certificate, where it is issued here.
    """
    for spaced in (True, False):
        with contextlib.suppress(MdmprofileError, ValueError):
            return _cut(tables, Marks(static, spaced=spaced), drafter, stand_in)
    return None


def _decides_more(config: EnrollmentConfig, tables: ConfigTables, marks: Marks) -> bool:
    """Whether a device's value is judged by more than its length and characters, or read from another file."""
    free = {**_FREE, **({} if config.profile.replaces is not None else _IN_SERVER)}
    templates = set(marks.templates.values())
    for table, values in tables.values.items():
        for key, value in values.items() if isinstance(values, Mapping) else ():
            allowed = free.get(table, frozenset())
            for text in templates.intersection(texts_of(value)):
                if key not in allowed or (key in _URLS and _HOST.match(text) is None):
                    return True
    return False


def with_challenge(config: EnrollmentConfig, challenge: str | None) -> EnrollmentConfig:
    """The config with a SCEP challenge that was fetched already."""
    identity = config.identity
    if challenge is None or not isinstance(identity, ScepSettings):
        return config
    return config._replace(identity=identity._replace(challenge=SecretSource("value", challenge, "identity.challenge")))


def fetches_challenge(config: EnrollmentConfig) -> bool:
    """Whether a command is asked for each device's SCEP challenge."""
    identity = config.identity
    return (
        isinstance(identity, ScepSettings) and identity.challenge is not None and identity.challenge.kind == "command"
    )


def _cut(tables: ConfigTables, marks: Marks, drafter: Drafter, stand_in: Certificate | None) -> Cut | None:
    config = config_of(tables, marks.render)
    challenge, password, uuid = marks.fresh(), marks.fresh(), marks.fresh()
    data, encoded = data_mark()
    one_file = isinstance(config.identity, Pkcs12Settings)
    if one_file or config.encryption is not None or _decides_more(config, tables, marks):
        return None
    if fetches_challenge(config):
        config = with_challenge(config, challenge)
    identity, file = config.identity, None
    if isinstance(identity, IssuedSettings) and stand_in is not None:
        # The certificate decides the UUID alone, and that has a mark.
        file = Pkcs12File(data, stand_in, (), password, PKCS12_NAME)
        config = config._replace(identity=identity._replace(uuid=identity.uuid or uuid))
    made = drafter(config, file)
    if made.profile is None:
        return None
    text = made.profile.to_bytes().decode()
    issued = _Issued(encoded, indent_of(encoded, text), password, uuid) if file is not None else None
    known = [*marks.templates, challenge, password, uuid, encoded]
    pairs = getattr(identity, "subject", None)
    subject = None if pairs is None else tuple((name, Stencil(value, known)) for name, value in pairs)
    return Cut(dict(marks.templates), Stencil(text, known), subject, made.names, challenge, issued)
