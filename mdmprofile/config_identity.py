"""The config's ``[identity]`` table: SCEP, ACME, a PKCS#12 for one device, or one issued for each device."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mdmprofile import tables as t
from mdmprofile.config_signing import CA_KEYS, SigningSettings
from mdmprofile.payloads.names import Subject, SubjectAltName, check_type, parse_subject
from mdmprofile.secret import SecretSource

if TYPE_CHECKING:
    from mdmprofile.identities import Wanted

_NOT_OURS = "has no place beside file: the PKCS#12 brings its own; remove it"
EITHER = "contradicts file: a PKCS#12 is either in a file or issued for each device"
_NOBODY = "is of no use without the CA that issues: ca_certificate with ca_key, or another ca_ key"
CA = "ca_"
_CA_NAMES = tuple(f"{CA}{each}" for each in CA_KEYS)
_ISSUED = ("key", "subject", "subject_alt_name", "encryption", "validity")
# What takes the place of a file, and the other way round.
ISSUING_KEYS = (*_CA_NAMES, *_ISSUED)


class ScepSettings(NamedTuple):
    """A SCEP identity; ``validity`` is what the issuer grants, None when it is not known."""

    url: str
    name: str | None
    subject: Subject | None
    subject_alt_name: SubjectAltName | None
    challenge: SecretSource | None
    key_size: int
    key_type: str
    key_usage: int
    ca_certificate: Path | None
    ca_fingerprint: bytes | None
    retries: int | None
    retry_delay: int | None
    key_is_extractable: bool
    allow_all_apps_access: bool | None
    validity: timedelta | None
    uuid: str | None


class AcmeSettings(NamedTuple):
    """An ACME identity; ``validity`` is what the issuer grants, None when it is not known."""

    directory_url: str
    client_identifier: str
    subject: Subject | None
    subject_alt_name: SubjectAltName | None
    key_type: str
    key_size: int
    hardware_bound: bool
    attest: bool
    usage_flags: int | None
    extended_key_usage: tuple[str, ...] | None
    key_is_extractable: bool
    allow_all_apps_access: bool | None
    validity: timedelta | None
    uuid: str | None

    def __repr__(self) -> str:
        """Without the client identifier, which lets whoever knows it order a certificate."""
        return f"AcmeSettings(directory_url={self.directory_url!r})"


class Pkcs12Settings(NamedTuple):
    """A PKCS#12 identity in a file; ``single_device`` says that the profile is for one device only."""

    file: Path
    password: SecretSource | None
    embed_password: bool
    single_device: bool
    key_is_extractable: bool
    allow_all_apps_access: bool | None
    uuid: str | None


class IssuedSettings(NamedTuple):
    """A PKCS#12 identity that an own CA issues for each device.

    ``ca`` is where the CA's signatures come from. ``subject`` is empty, and other fields that only a device's variables
    fill are None, where the config was read for no device. Without a ``password`` each device gets a fresh one.
    """

    ca: SigningSettings
    wanted: Wanted
    subject: Subject
    subject_alt_name: SubjectAltName | None
    embed_password: bool
    password: SecretSource | None
    key_is_extractable: bool
    allow_all_apps_access: bool | None
    uuid: str | None


IdentitySettings = ScepSettings | AcmeSettings | Pkcs12Settings | IssuedSettings


# Stands in when the type is not known, so that the other tables are still read; the config is refused anyway.
_UNKNOWN = Pkcs12Settings(
    file=Path(),
    password=None,
    embed_password=True,
    single_device=False,
    key_is_extractable=False,
    allow_all_apps_access=None,
    uuid=None,
)


def read_identity(table: t.Table) -> IdentitySettings:
    """The identity that the table describes; mistakes go to the table's context."""
    kinds: dict[str, Callable[[t.Table], IdentitySettings]] = {
        "scep": _scep,
        "acme": _acme,
        "pkcs12": _pkcs12,
    }
    if "type" not in table:
        table.context.problem(table.where("type"), "is missing", 'set it to "acme", "scep" or "pkcs12"')
        return _UNKNOWN
    read = table.take("type", t.one_of(kinds), None)
    if read is None:
        return _UNKNOWN
    settings = read(table)
    table.finish()
    return settings


def _scep(table: t.Table) -> ScepSettings:
    if "ca_certificate" in table and "ca_fingerprint" in table:
        table.context.problem(table.where("ca_fingerprint"), "contradicts ca_certificate", "give one of them")
    return ScepSettings(
        url=table.require("url", t.word, "set it to the SCEP server's URL"),
        name=table.take("name", t.text, None),
        subject=table.take("subject", subject, None),
        subject_alt_name=table.take("subject_alt_name", alternative_names, None),
        challenge=table.take("challenge", t.secret(table.where("challenge")), None),
        key_size=table.take("key_size", t.integer, 2048),
        key_type=table.take("key_type", t.text, "RSA"),
        key_usage=table.take("key_usage", t.integer, 5),
        ca_certificate=table.take("ca_certificate", t.path, None),
        ca_fingerprint=table.take("ca_fingerprint", _fingerprint, None),
        retries=table.take("retries", t.integer, None),
        retry_delay=table.take("retry_delay", t.integer, None),
        key_is_extractable=table.take("key_is_extractable", t.boolean, False),
        allow_all_apps_access=table.take("allow_all_apps_access", t.boolean, None),
        validity=table.take("validity", t.duration, None),
        uuid=table.take("uuid", t.uuid_text, None),
    )


def _acme(table: t.Table) -> AcmeSettings:
    return AcmeSettings(
        directory_url=table.require("directory_url", t.word, "set it to the ACME server's directory URL"),
        client_identifier=table.require(
            "client_identifier", t.text, "set it to the value that the ACME server knows this device by"
        ),
        subject=table.take("subject", subject, None),
        subject_alt_name=table.take("subject_alt_name", _single_names, None),
        key_type=table.take("key_type", t.text, "ECSECPrimeRandom"),
        key_size=table.take("key_size", t.integer, 384),
        hardware_bound=table.take("hardware_bound", t.boolean, True),
        attest=table.take("attest", t.boolean, False),
        usage_flags=table.take("usage_flags", t.integer, None),
        extended_key_usage=table.take("extended_key_usage", t.several(t.word), None),
        key_is_extractable=table.take("key_is_extractable", t.boolean, False),
        allow_all_apps_access=table.take("allow_all_apps_access", t.boolean, None),
        validity=table.take("validity", t.duration, None),
        uuid=table.take("uuid", t.uuid_text, None),
    )


def issues(values: Mapping[str, Any]) -> bool:
    """Whether the ``[identity]`` table with these values names a CA that issues a PKCS#12 for each device."""
    kind = values.get("type")
    return isinstance(kind, str) and kind.casefold() == "pkcs12" and any(each in values for each in _CA_NAMES)


def _pkcs12(table: t.Table) -> Pkcs12Settings | IssuedSettings:
    if "file" not in table and issues(table.values):
        from mdmprofile.config_issuing import read_issued  # noqa: PLC0415 - few configs issue

        return read_issued(table)
    table.reject(dict.fromkeys(_CA_NAMES, EITHER) | dict.fromkeys(_ISSUED, _NOT_OURS if "file" in table else _NOBODY))
    return Pkcs12Settings(
        file=table.require(
            "file",
            t.path,
            "name the PKCS#12 file of the one device, or ca_certificate and ca_key to issue one for each",
        ),
        password=table.take("password", t.secret(table.where("password")), None),
        embed_password=table.take("embed_password", t.boolean, True),
        single_device=table.take("single_device", t.boolean, False),
        key_is_extractable=table.take("key_is_extractable", t.boolean, False),
        allow_all_apps_access=table.take("allow_all_apps_access", t.boolean, None),
        uuid=table.take("uuid", t.uuid_text, None),
    )


def subject(value: Any, context: t.Context) -> Subject:  # noqa: ANN401 - TOML values are of any type
    """A subject as text or as a list of pairs.

    Parsed before its templates are filled, so that a comma in a variable cannot add a name of its own.
    """
    if isinstance(value, str):
        pairs = parse_subject(value)
    elif isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)  # noqa: PLR2004 - a pair
        for pair in value
    ):
        pairs = tuple((check_type(name), each) for name, each in value)
    else:
        raise TypeError('must be text such as "CN=device,O=Example" or a list of pairs [["CN", "device"]]')
    return tuple((name, t.text(each, context)) for name, each in pairs)


def alternative_names(value: Any, context: t.Context) -> SubjectAltName:  # noqa: ANN401
    """Alternative names as a table of their kinds, each one text or several."""
    if not isinstance(value, Mapping):
        raise TypeError("must be a table with rfc822_name, dns_name, uri or nt_principal_name")
    names = ("rfc822_name", "dns_name", "uri", "nt_principal_name")
    unknown = [each for each in value if each not in names]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a known key; use {', '.join(names)}")

    def names_of(key: str) -> str | tuple[str, ...] | None:
        given = value.get(key)
        if given is None:
            return None
        return t.several(t.text)(given, context) if isinstance(given, list) else t.text(given, context)

    principal = value.get("nt_principal_name")
    return SubjectAltName(
        rfc822_name=names_of("rfc822_name"),
        dns_name=names_of("dns_name"),
        uri=names_of("uri"),
        nt_principal_name=None if principal is None else t.text(principal, context),
    )


def _single_names(value: Any, context: t.Context) -> SubjectAltName:  # noqa: ANN401
    """ACME's names are one string each, where SCEP's can be several."""
    several = [name for name, each in value.items() if isinstance(each, list)] if isinstance(value, Mapping) else []
    if several:
        raise ValueError(f"{several[0]} must be one text: ACME payloads hold one name of a kind")
    return alternative_names(value, context)


def _fingerprint(value: Any, context: t.Context) -> bytes:  # noqa: ANN401
    digits = re.sub(r"[:\s]", "", t.text(value, context))
    try:
        fingerprint = bytes.fromhex(digits)
    except ValueError:
        raise ValueError("must be hexadecimal, for example AB:CD:…") from None
    if len(fingerprint) not in {16, 20}:
        raise ValueError(f"has {len(fingerprint)} bytes; SHA-1 has 20 and MD5 has 16")
    return fingerprint
