"""An inherited profile becomes the config and the files that build it again, with nothing lost."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from mdmprofile.certificates import Certificate
from mdmprofile.chain import LEAF, IssuerGraph, arrange, role_of
from mdmprofile.changes import mdm_of, pinned_uuids
from mdmprofile.config import EnrollmentConfig, load_config
from mdmprofile.config_file import parse_toml
from mdmprofile.containers import load_pkcs12
from mdmprofile.enrollment import enrollment_profile
from mdmprofile.errors import CertificateError, MdmprofileError, PasswordError, ProfileError, flatten
from mdmprofile.extras import Extras
from mdmprofile.findings import Finding, Severity, by_severity, has_errors
from mdmprofile.masking import masked
from mdmprofile.materials import Materials, Pkcs12File
from mdmprofile.naming import names_of
from mdmprofile.payloads import types
from mdmprofile.profile import Profile, parse
from mdmprofile.propertylist import write_plist
from mdmprofile.reader import OpenedProfile, payload_certificates
from mdmprofile.replacement import judge_replacement
from mdmprofile.rules import judge_enrollment
from mdmprofile.tables import UUID_FORM
from mdmprofile.takeover_config import (
    Identity,
    config_text,
    fits_a_file,
    identity_tables,
    profile_table,
    server_table,
)
from mdmprofile.takeover_keys import about_keys, about_names, residue

ORIGINAL, EXTRA_KEYS = "original.mobileconfig", "extra-keys.plist"

_LONGEST_SLUG = 40
_PINS = {
    "ServerURLPinningCertificateUUIDs": "url_pinning_certificates",
    "CheckInURLPinningCertificateUUIDs": "checkin_url_pinning_certificates",
}


@dataclass(frozen=True, eq=False)
class File:
    """A file to write, by its name below the directory; ``secret`` ones are for their owner alone."""

    name: str
    data: bytes = field(repr=False)
    secret: bool = False


@dataclass(frozen=True, eq=False)
class Takeover:
    """The files that rebuild a profile, what was kept in an unusual place, and what a build of it would find."""

    files: tuple[File, ...]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(eq=False)
class _Sorted:
    """The old profile's payloads by where they go."""

    trust: dict[str, Certificate] = field(default_factory=dict)
    pinned: dict[str, Certificate] = field(default_factory=dict)
    removal: Mapping[str, Any] | None = None
    extra: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    leaves: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    uuids: dict[str, str] = field(default_factory=dict)

    def put(self, files: dict[str, Certificate], name: str, certificate: Certificate, uuid: object) -> None:
        """Remember a certificate's file, and the UUID that the MDM payload may pin it by."""
        files[name] = certificate
        if isinstance(uuid, str):
            self.names[uuid] = name

    def keep(self, path: str, payload: Mapping[str, Any], what: str) -> None:
        """Remember a payload that goes into a file of its own; ``what`` it is begins the note about it."""
        self.extra.append((path, payload))
        self.notes.append(f"{path}, {what} kept as it is in {_extra_name(len(self.extra), payload)}")


def take_over(opened: OpenedProfile, data: bytes, *, password: str | None = None) -> Takeover:
    """The config and the files that rebuild a profile, whose file is ``data``.

    ``password`` opens its PKCS#12 where the profile does not carry one. Raises ``ProfileError`` when there is no single
    MDM payload with an identity, ``ConfigError`` for values that no config can hold, and ``CertificateError`` for a
    PKCS#12 that does not open.
    """
    old = opened.profile
    mdm, identity = _heart(old, opened.source)
    found = _sort(old, identity)
    parts = identity_tables(identity, password)
    pinned = _pins(mdm, found)
    _put_aside(found, pinned)
    kept = Extras(tuple(each for _, each in found.extra))
    tables: dict[str, dict[str, Any]] = {
        "profile": profile_table(old.plist, found.removal)
        | {"replaces": ORIGINAL}
        | ({"extra_payloads": _extra_names(found)} if found.extra else {}),
        "server": server_table(mdm) | pinned,
        "trust": ({"certificates": list(found.trust)} if found.trust else {"public": True})
        | ({"uuids": found.uuids} if found.uuids else {}),
        "identity": parts.table,
    }
    rebuilt = _rebuild(opened, tables, found, parts, kept, pinned)
    keys = residue(old, rebuilt, skipped=[each for _, each in found.extra], identity=identity, dropped=parts.dropped)
    if keys:
        tables["profile"]["extra_keys"] = EXTRA_KEYS
        kept = Extras(kept.payloads, keys)
        rebuilt = _rebuild(opened, tables, found, parts, kept, pinned)
    notes = [
        *found.notes,
        *about_names(old, mdm, identity, tables),
        *parts.notes,
        *about_keys(rebuilt, keys, EXTRA_KEYS),
    ]
    files = _files(tables, found, parts, keys, opened, data)
    judged = [*judge_enrollment(rebuilt), *judge_replacement(opened, rebuilt, via="mdm")]
    return Takeover(tuple(files), tuple(notes), by_severity(map(_to_come, judged)))


def _heart(old: Profile, source: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The MDM payload and the identity it names."""
    if old.encrypted:
        raise ProfileError("is encrypted", where=source, hint="decrypt it first: mdmprofile decrypt")
    if not old.identifier:
        raise ProfileError("has no PayloadIdentifier, so nothing can replace it", where=source, hint="enroll again")
    found = old.of_type(types.MDM)
    if len(found) != 1:
        raise ProfileError(
            f"has {len(found)} MDM payloads where an enrollment profile has one",
            where=source,
            hint="give the enrollment profile",
        )
    mdm = found[0][1]
    identities = [each for _, each in old.of_type(*types.IDENTITIES)]
    wanted = mdm.get("IdentityCertificateUUID")
    named = [each for each in identities if isinstance(wanted, str) and each.get("PayloadUUID") == wanted]
    if len(named or identities) != 1:
        raise ProfileError(
            "has no SCEP, ACME or PKCS#12 payload that its IdentityCertificateUUID names",
            where=source,
            hint="take the identity from where the device got it, and write the config with mdmprofile init",
        )
    return mdm, (named or identities)[0]


def _sort(old: Profile, identity: Mapping[str, Any]) -> _Sorted:
    found = _Sorted()
    # Not a set: a UUID that is looked up in it can be anything.
    pins = list(pinned_uuids(mdm_of(old)[1]))
    authorities: list[tuple[str, Mapping[str, Any], Certificate]] = []
    for path, each in old.entries:
        kind = each.get("PayloadType")
        certificate = _only_certificate(each, path) if kind in types.CERTIFICATES else None
        if each is identity or kind == types.MDM:
            continue
        if certificate is not None and certificate.is_ca:
            authorities.append((path, each, certificate))
        elif certificate is not None and _is_pinned(each, certificate, pins, found):
            name = _file_name("pinned", certificate, found)
            found.put(found.pinned, name, certificate, each.get("PayloadUUID"))
            found.leaves[name] = (path, each)
        elif kind == types.REMOVAL_PASSWORD and found.removal is None and fits_a_file(each.get("RemovalPassword")):
            found.removal = each
        else:
            found.keep(path, each, f"a {kind} payload, is")
    _sort_authorities(authorities, found)
    return found


def _is_pinned(payload: Mapping[str, Any], certificate: Certificate, pins: Sequence[str], found: _Sorted) -> bool:
    """Whether a build makes this payload of a pinned certificate; of two of the same it makes one."""
    known = certificate in found.pinned.values()
    return payload.get("PayloadType") == types.PKCS1 and payload.get("PayloadUUID") in pins and not known


def _put_aside(found: _Sorted, pinned: Mapping[str, Sequence[str]]) -> None:
    """Keep leaves that the config does not pin to as payloads: a build would leave them out."""
    for name in [each for each in found.pinned if not any(each in some for some in pinned.values())]:
        certificate = found.pinned.pop(name)
        path, payload = found.leaves[name]
        found.keep(path, payload, f"{certificate.name}, is pinned beside what has no file and")


def _sort_authorities(authorities: Sequence[tuple[str, Mapping[str, Any], Certificate]], found: _Sorted) -> None:
    """CAs that lead to a root are the config's; a build would refuse the others, so they stay payloads."""
    graph = IssuerGraph(each for _, _, each in authorities)
    complete = [each for _, _, each in authorities if graph.reaches_root(each)]
    if has_errors(arrange(complete).findings):
        complete = [each for each in complete if role_of(each) == "root"]
    for path, payload, certificate in authorities:
        role = role_of(certificate)
        expected = types.ROOT if role == "root" else types.PKCS1
        known = certificate in found.trust.values()
        if certificate not in complete or known:
            why = "is there twice" if known else "leads to no root of the profile"
            found.keep(path, payload, f"{certificate.name}, {why} and is")
            continue
        uuid, kind = payload.get("PayloadUUID"), payload.get("PayloadType")
        found.put(found.trust, _file_name(role, certificate, found), certificate, uuid)
        if kind == expected:
            continue
        if isinstance(uuid, str) and re.fullmatch(UUID_FORM, uuid):
            # Wi-Fi and VPN payloads may name it; its type and content then are among the extra keys.
            found.uuids[certificate.sha256] = uuid
            found.notes.append(
                f"{path}, {certificate.name}, stays a {kind} payload; a new build would make it {expected}"
            )
        else:
            found.notes.append(f"{path}, {certificate.name}, moves from {kind} to {expected}")


def _only_certificate(payload: Mapping[str, Any], path: str) -> Certificate | None:
    try:
        certificates = payload_certificates(payload.get("PayloadContent"), source=path)
    except CertificateError:
        return None
    return certificates[0] if len(certificates) == 1 else None


def _pins(mdm: Mapping[str, Any], found: _Sorted) -> dict[str, list[str]]:
    """The files that the config pins the server to, by config key; none where one of them is not in a file."""
    pins = {}
    for apple, key in _PINS.items():
        given = mdm.get(apple)
        uuids = given if isinstance(given, list) else []
        if uuids and all(isinstance(each, str) and each in found.names for each in uuids):
            pins[key] = [found.names[each] for each in uuids]
    return pins


def _rebuild(
    opened: OpenedProfile,
    tables: Mapping[str, Any],
    found: _Sorted,
    identity: Identity,
    extras: Extras,
    pinned: Mapping[str, Sequence[str]],
) -> Profile:
    """What a build of these tables gives, made without writing a file."""
    config = _config(tables, opened.source)
    files = found.trust | found.pinned
    materials = Materials(
        trust=tuple(found.trust.values()),
        servers=(),
        push=None,
        pinned=tuple(files[name] for name in pinned.get("url_pinning_certificates", ())),
        checkin_pinned=tuple(files[name] for name in pinned.get("checkin_url_pinning_certificates", ())),
        scep_ca=None,
        pkcs12=_pkcs12(identity),
        challenge=identity.secrets.get("challenge"),
        removal_password=found.removal["RemovalPassword"] if found.removal else None,
        signer=None,
        signer_certificate=None,
        signing_chain=(),
        replaced=opened,
        recipients=(),
        extras=extras,
        errors=(),
    )
    names = names_of(config.profile.identifier, config.trust.uuids, replaces=opened.profile)
    built = enrollment_profile(config, arrange(materials.trust), materials, names)
    # As a device reads it, so that dates and arrays compare with those of the old profile.
    return parse(built.to_bytes(), source=opened.source)


def _config(tables: Mapping[str, Any], source: str) -> EnrollmentConfig:
    """The config as it will be read from its file."""
    try:
        return load_config(None, overrides=parse_toml(config_text(tables).encode("utf-8"), source="enroll.toml"))
    except MdmprofileError as error:
        for each in flatten([error]):
            each.where = f"{source}: cannot become {each.where} of a config"
        raise


def _pkcs12(identity: Identity) -> Pkcs12File | None:
    if identity.pkcs12 is None:
        return None
    password = identity.secrets.get("password")
    try:
        opened = load_pkcs12(identity.pkcs12, source="the PKCS#12 payload", password=(password or "").encode() or None)
    except PasswordError as error:
        hint = "put its password into a file and give it with --pkcs12-password-file"
        if not password:
            raise PasswordError(error.message, where=error.where, hint=hint) from None
        message = "this password does not open it, or it is not an intact PKCS#12 file"
        raise PasswordError(message, where=error.where, hint="give the password that it was exported with") from None
    return Pkcs12File(identity.pkcs12, opened.certificate, opened.chain, password, "device.p12")


def _files(
    tables: Mapping[str, Any],
    found: _Sorted,
    identity: Identity,
    keys: Mapping[str, Any],
    opened: OpenedProfile,
    data: bytes,
) -> Iterable[File]:
    # The ACME client identifier is in the text of the config itself, and a URL can have a password in it.
    urls = [tables["server"], {"url": identity.table.get("url")}]
    secret = identity.table["type"] == "acme" or any(masked(each) != each for each in urls)
    yield File("enroll.toml", config_text(tables, opened).encode("utf-8"), secret)
    yield File(ORIGINAL, data, secret=True)
    for name, certificate in (found.trust | found.pinned).items():
        yield File(name, certificate.parsed.public_bytes(Encoding.PEM))
    if found.removal is not None:
        yield File("removal-password.txt", found.removal["RemovalPassword"].encode("utf-8"), secret=True)
    if identity.pkcs12 is not None:
        yield File("device.p12", identity.pkcs12, secret=True)
    yield from (File(name, text.encode("utf-8"), secret=True) for name, text in identity.files.items())
    if keys:
        yield File(EXTRA_KEYS, write_plist(keys), secret=True)
    for number, (_, each) in enumerate(found.extra, 1):
        yield File(_extra_name(number, each), write_plist(each), secret=True)


def _extra_names(found: _Sorted) -> list[str]:
    return [_extra_name(number, each) for number, (_, each) in enumerate(found.extra, 1)]


def _extra_name(number: int, payload: Mapping[str, Any]) -> str:
    return f"extra/{number}-{_slug(str(payload.get('PayloadType')))}.plist"


def _file_name(role: str, certificate: Certificate, found: _Sorted) -> str:
    """A name that tells the certificate, and is not taken by another of the same name."""
    name = f"pki/{role if role != LEAF else 'leaf'}-{_slug(certificate.name)}.pem"
    taken = {*found.trust, *found.pinned}
    # The whole fingerprint, because a name of somebody else's can end in a part of it.
    return name if name not in taken else f"{name.removesuffix('.pem')}-{certificate.sha256}.pem"


def _slug(text: str) -> str:
    """Letters, digits and dots of a name, so that no name of somebody else's is a path."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower())[:_LONGEST_SLUG].strip("-.") or "unnamed"


def _to_come(found: Finding) -> Finding:
    """A finding of the build to come: an error there, a warning while the config is only being written."""
    if found.severity is not Severity.ERROR:
        return found
    return found._replace(severity=Severity.WARNING, message=f"build will refuse this: {found.message}")
