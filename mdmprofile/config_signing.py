"""The ``[signing]`` table: the one place that each signature comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mdmprofile import tables as t
from mdmprofile.cms.pkcs11_uri import Pkcs11Uri, parse_pkcs11_uri
from mdmprofile.secret import SecretSource


class SigningSettings(NamedTuple):
    """Where a signature comes from.

    Either ``certificate`` and ``key``, or ``pkcs12``, or a token (``pkcs11``), or a ``command`` that signs bytes for
    ``certificate``, or a ``cms_command`` that returns the signed profile. ``certificate`` is optional for the token,
    which may hold it, and for ``cms_command``, whose result shows it.
    """

    certificate: Path | None
    key: Path | None
    key_password: SecretSource | None
    pkcs12: Path | None
    pkcs12_password: SecretSource | None
    pkcs11: Pkcs11Uri | None
    pkcs11_pin: SecretSource | None
    command: tuple[str, ...] | None
    cms_command: tuple[str, ...] | None
    chain: tuple[Path, ...]


_FILES = ("key", "key_password")
_PKCS12 = ("pkcs12", "pkcs12_password")
_PKCS11 = ("pkcs11", "pkcs11_pin")
_COMMANDS = ("command", "cms_command")
_SECRETS = {"key_password": "key", "pkcs12_password": "pkcs12", "pkcs11_pin": "pkcs11"}
_SOURCES = ("key", "pkcs12", "pkcs11", "command", "cms_command")
_CA_SOURCES = _SOURCES[:-1]
CA_KEYS = ("certificate", *_FILES, *_PKCS12, *_PKCS11, "command")

# What a flag chooses instead of other keys of the table. A certificate goes where the new key brings its own.
ALTERNATIVES = {
    "certificate": _PKCS12,
    "key": (*_PKCS11, *_COMMANDS),
    "pkcs12": ("certificate", *_FILES, *_PKCS11, *_COMMANDS),
    "pkcs11": ("certificate", *_FILES, *_PKCS12, *_COMMANDS),
    "command": (*_FILES, *_PKCS12, *_PKCS11, "cms_command"),
    "cms_command": ("certificate", *_FILES, *_PKCS12, *_PKCS11, "command"),
}


def signing_settings(table: t.Table, *, names: Mapping[str, str] | None = None) -> SigningSettings:
    """Read the table; its mistakes go to its context.

    ``names`` are what messages call the keys where they were given as flags.
    """
    return _settings(table, names, "signer", _SOURCES)


def ca_settings(table: t.Table, *, names: Mapping[str, str] | None = None) -> SigningSettings:
    """Where a CA's signatures come from: the keys of ``CA_KEYS`` in ``table``, read as ``signing_settings`` does."""
    return _settings(table, names, "CA", _CA_SOURCES)


def _settings(table: t.Table, names: Mapping[str, str] | None, owner: str, sources: Sequence[str]) -> SigningSettings:
    called = {each: f"{table.prefix}{each}" for each in ("certificate", *sources)} | dict(names or {})
    settings = SigningSettings(
        certificate=table.take("certificate", t.path, None),
        key=table.take("key", t.path, None),
        key_password=table.take("key_password", t.secret(table.where("key_password")), None),
        pkcs12=table.take("pkcs12", t.path, None),
        pkcs12_password=table.take("pkcs12_password", t.secret(table.where("pkcs12_password")), None),
        pkcs11=table.take("pkcs11", _uri, None),
        pkcs11_pin=table.take("pkcs11_pin", t.secret(table.where("pkcs11_pin")), None),
        command=table.take("command", _command, None),
        cms_command=table.take("cms_command", _command, None),
        chain=table.take("chain", t.several(t.path), ()),
    )
    _check_source(table, called, owner, sources)
    for secret, used in _SECRETS.items():
        if secret in table and used not in table:
            table.context.problem(
                table.where(secret), f"is of no use without {called[used]}", f"add {called[used]}, or remove it"
            )
    if settings.pkcs11 is not None and settings.pkcs11.pin_file is not None:
        if "pkcs11_pin" in table:
            table.context.problem(
                table.where("pkcs11_pin"), f"contradicts the pin-source of {called['pkcs11']}", "remove one"
            )
        source = SecretSource("file", settings.pkcs11.pin_file, table.where("pkcs11"))
        settings = settings._replace(pkcs11_pin=source)
    table.finish()
    return settings


def _check_source(table: t.Table, called: Mapping[str, str], owner: str, known: Sequence[str]) -> None:
    """Exactly one source, with the certificate where it needs one and without where it has its own."""
    sources = [each for each in known if each in table]
    names = [called[each] for each in sources]
    if len(sources) > 1:
        together = f"{', '.join(names[:-1])} and {names[-1]}"
        table.context.problem(table.path, f"{together} contradict each other", "name one of them")
    elif not sources and "certificate" in table:
        hint = f"name the file with the {owner}'s private key as {called['key']}"
        others = _one_of(called[each] for each in ("command", "pkcs11", "cms_command") if each in known)
        table.context.problem(table.where("key"), "is missing", f"{hint}, or use {others}")
    elif sources in (["key"], ["command"]) and "certificate" not in table:
        hint = f"name the certificate that {names[0]} signs for as {called['certificate']}"
        table.context.problem(table.where("certificate"), "is missing", hint)
    elif sources == ["pkcs12"] and "certificate" in table:
        message = f"{names[0]} and {called['certificate']} contradict each other: a PKCS#12 holds its certificate"
        table.context.problem(table.path, message, "name one of them")
    elif not sources:
        one = _one_of(called[each] for each in known if each != "key")
        message = f"needs either {called['certificate']} and {called['key']}, or {one}"
        table.context.problem(table.path, message, "name one of them")


def _one_of(names: Iterable[str]) -> str:
    *some, last = names
    return f"{', '.join(some)} or {last}"


def _uri(value: Any, context: t.Context) -> Pkcs11Uri:  # noqa: ANN401 - TOML values are of any type
    return parse_pkcs11_uri(t.text(value, context))


def _command(value: Any, context: t.Context) -> tuple[str, ...]:  # noqa: ANN401
    if not isinstance(value, list | tuple) or not value:
        raise ValueError('must be a list, for example ["kms-sign", "--key", "mdm"]; no shell is run')
    return t.several(t.text)(value, context)
