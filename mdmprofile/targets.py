"""What ``check`` is pointed at: profiles, certificate files, directories and configs, each as things that end."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.chain import LEAF
from mdmprofile.cms.trust import judge_trust
from mdmprofile.cms.verify import Signature, is_signed, verify
from mdmprofile.config import EnrollmentConfig, load_config
from mdmprofile.config_identity import Pkcs12Settings
from mdmprofile.containers import MAX_IN_ONE_FILE, is_certificate, is_pkcs12, load_certificates, load_pkcs12
from mdmprofile.errors import CertificateError, InputError, MdmprofileError, PasswordError, collect, password_from
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.inputs import MAX_PROFILE, STDIN, place_of, read_file
from mdmprofile.inventory import (
    by_role,
    evident_role,
    of_file,
    signing_chain,
    thresholds_of,
    watched_by_config,
    watched_identity,
    without_repeats,
)
from mdmprofile.materials import Materials, load_materials
from mdmprofile.moments import day, shift, spoken
from mdmprofile.payloads import types
from mdmprofile.pfx import Budget
from mdmprofile.plan import Thresholds, Watched, watch
from mdmprofile.profile import Profile
from mdmprofile.propertylist import looks_like_plist
from mdmprofile.reader import is_profile, payload_certificates, profile_of
from mdmprofile.templating import Variables

MAX_FILES = 10_000
_SUFFIXES = frozenset(
    (".mobileconfig", ".pem", ".crt", ".cer", ".der", ".p7b", ".p7c", ".p12", ".pfx", ".toml", ".cert", ".ca")
)


_JUDGED = (
    "profile.replace_on",
    "profile.replace_margin",
    "profile.warn",
    "profile.critical",
    "server.push_certificate",
    "identity.file",
    "identity.validity",
)
_ISSUED = ("from SCEP", "from ACME")
_PLACE = re.compile(r" #\d+$")


class Keys(NamedTuple):
    """What opens PKCS#12 files, and encrypted profiles."""

    password: str | None = None
    recipient: Identity | None = None


class Target(NamedTuple):
    """What one file holds; ``name`` is the file or server as reports call it.

    ``thresholds`` and the ``validity`` of its SCEP or ACME identity are a config's own, ``signature`` is a profile's,
    and ``identifier`` tells which config and profile belong together.
    """

    watched: tuple[Watched, ...]
    findings: tuple[Finding, ...] = ()
    thresholds: Thresholds | None = None
    signature: Signature | None = None
    source: str = ""
    identifier: str = ""
    validity: timedelta | None = None
    errors: tuple[MdmprofileError, ...] = ()
    name: str = ""

    def distrust(self, anchors: Sequence[Certificate], *, at: datetime) -> Iterable[Finding]:
        """What is wrong with trusting the signer of a profile; nothing for other targets."""
        if self.source and self.signature is None:
            return (finding("signature.missing", "the profile is not signed", where=self.source),)
        found = judge_trust(self.signature, anchors, at=at) if self.signature else ()
        return (_within(self.source, each) for each in found)


def read_target(
    name: str, *, now: datetime, keys: Keys | None = None, variables: Variables | None = None
) -> tuple[Target, ...]:
    """Everything that ends in one file, or in each file of a directory and those below it.

    ``name`` is a path or ``-``; ``variables`` fill a config's templates. What cannot be read is in ``errors``; the
    rest is still there.
    """
    path = Path(name)
    try:
        if name.lower().startswith(("https://", "http://")):
            raise InputError("servers cannot be checked by this version", where=name, hint="give a file")
        if path != STDIN and os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that are too long
            return _directory(path, now=now, keys=keys or Keys())
        target = _file(path, now=now, keys=keys or Keys(), variables=variables)
        return (target._replace(name=place_of(path)),)
    except MdmprofileError as error:
        return (Target((), errors=(error,), name=place_of(path)),)


def date_identities(
    targets: Sequence[Target], *, now: datetime, validity: timedelta | None = None
) -> tuple[Target, ...]:
    """The targets with an end for the SCEP and ACME identities of profiles, where their validity is known.

    It is ``validity``, or that of the config with the profile's identifier among the targets. It counts from the
    signature, because no device enrolled before it, or from ``now`` where there is none.
    """
    known = {each.identifier: each.validity for each in targets if each.validity is not None}
    return tuple(_dated(each, validity or known.get(each.identifier), now) for each in targets)


def _dated(target: Target, validity: timedelta | None, now: datetime) -> Target:
    if validity is None or target.validity is not None:
        return target
    signers = target.signature.signers if target.signature else ()
    times = [each.signing_time for each in signers if each.valid and each.signing_time is not None]
    # The signer states the time; a time to come would make everything last longer than it does.
    start = min((*times, now))
    name = f"valid for {spoken(validity)} from {day(start)}"
    return target._replace(
        watched=tuple(
            each._replace(name=f"{each.name}, {name}", not_after=shift(start, validity))
            if each.not_after is None and each.certificate is None and each.name in _ISSUED
            else each
            for each in target.watched
        )
    )


def _directory(path: Path, *, now: datetime, keys: Keys) -> tuple[Target, ...]:
    errors: list[MdmprofileError] = []
    files = sorted(_candidates(path, errors))
    if not files and not errors:
        raise InputError("holds no profile, certificate or config", where=str(path))
    parts = [(each, _found(each, now=now, keys=keys)) for each in files]
    opened = {
        os.path.abspath(_PLACE.sub("", watched.certificate.source))  # noqa: PTH100 - a source is text
        for _, part in parts
        for watched in part.watched
        if watched.certificate is not None
    }
    configured = [part.thresholds for _, part in parts if part.thresholds is not None]
    # One config speaks for what lies beside it; of several nobody can tell which does.
    dates = configured[0] if len(configured) == 1 else None
    return (
        *((Target((), errors=tuple(errors), name=str(path)),) if errors else ()),
        *(
            part._replace(thresholds=part.thresholds or dates)
            for file, part in parts
            if not _opened_elsewhere(file, part, opened)
        ),
    )


def _found(file: Path, *, now: datetime, keys: Keys) -> Target:
    """A file that nobody named, only its directory: whoever put it there must not have commands run."""
    try:
        return _file(file, now=now, keys=keys, commands=False)._replace(name=str(file))
    except MdmprofileError as error:
        return Target((), errors=(error,), name=str(file))


def _opened_elsewhere(file: Path, part: Target, opened: Container[str]) -> bool:
    """Whether a PKCS#12 without a password here was opened by a config in the same directory."""
    locked = bool(part.errors) and all(isinstance(each, PasswordError) for each in part.errors)
    return locked and os.path.abspath(file) in opened  # noqa: PTH100


def _candidates(path: Path, errors: list[MdmprofileError]) -> Iterable[Path]:
    """Every file that is ours; hidden ones, keys and other people's files are none of our business."""
    count = 0

    def unreadable(error: OSError) -> None:
        errors.append(InputError(f"cannot be read: {error.strerror}", where=str(error.filename)))

    for folder, folders, names in os.walk(path, onerror=unreadable):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in names:
            file = Path(folder, name)
            suffix = file.suffix.lower()
            if name.startswith(".") or _is_special(file) or _is_foreign(file, suffix):
                continue
            count += 1
            if count > MAX_FILES:
                raise InputError(f"holds more than {MAX_FILES:,} files", where=str(path), hint="check its parts")
            yield file


def _is_special(file: Path) -> bool:
    """Whether it is a pipe, socket or device; a link to nowhere is not, and becomes an error when it is read."""
    return os.path.exists(file) and not os.path.isfile(file)  # noqa: PTH110, PTH113 - these never raise


def _is_foreign(file: Path, suffix: str) -> bool:
    """Whether a file is none of ours: by its content, and by its suffix only where the content cannot be read."""
    try:
        data = read_file(file, limit=MAX_PROFILE)
    except InputError:
        return suffix not in _SUFFIXES
    if suffix == ".toml":
        return not (b"server" in data and b"identity" in data)
    if b"-----BEGIN " in data:
        # Prose can speak of certificates; under a name that tells nothing, only a whole one counts.
        mark = b"" if suffix in _SUFFIXES else b"-----END "
        return not any(mark + label in data for label in (b"CERTIFICATE-----", b"PKCS7-----", b"CMS-----"))
    # A suffix of the trade is taken at its word, so that a damaged file is an error and no silence.
    return suffix not in _SUFFIXES and not _is_ours(data)


def _is_ours(data: bytes) -> bool:
    """Whether bytes without a telling name are a profile, certificates or anchors."""
    if looks_like_plist(data):
        return b"PayloadType" in data
    return is_signed(data) or is_pkcs12(data) or data.startswith(b'["MI') or is_certificate(data)


def _file(
    path: Path, *, now: datetime, keys: Keys, commands: bool = True, variables: Variables | None = None
) -> Target:
    if path.suffix.lower() == ".toml":
        return _config(path, now=now, commands=commands, variables=variables)
    source = place_of(path)
    data = read_file(path, limit=MAX_PROFILE)
    if is_profile(data):
        return _opened(data, source, keys)
    if data.lstrip()[:1] == b"[" and b"-----BEGIN " not in data:
        return Target(tuple(by_role(_anchors(data, source))))
    secret = keys.password.encode("utf-8") if keys.password is not None else None
    if is_pkcs12(data):
        with password_from("give its password with --password-file"):
            return _pkcs12_file(data, source, secret)
    return Target(without_repeats(of_file(load_certificates(data, source=source))))


def _pkcs12_file(data: bytes, source: str, password: bytes | None) -> Target:
    try:
        return Target(tuple(watched_identity(load_pkcs12(data, source=source, password=password))))
    except PasswordError:
        raise
    except CertificateError:
        # A bundle of CAs, or a key that no profile can hold: the certificates still have their dates.
        return Target(tuple(by_role(load_certificates(data, source=source, password=password))))


def _config(path: Path, *, now: datetime, commands: bool, variables: Variables | None) -> Target:
    config = load_config(path, variables=variables, lenient=True)
    materials = load_materials(config, private=False, commands=commands)
    return Target(
        watched_by_config(config, materials, now=now),
        (*(_unfilled(config.source, key) for key in config.unfilled), *_unknown_signer(config, materials)),
        thresholds=thresholds_of(config),
        identifier=config.profile.identifier,
        validity=None if isinstance(config.identity, Pkcs12Settings) else config.identity.validity,
        errors=(collect(materials.errors),) if materials.errors else (),
    )


def _unknown_signer(config: EnrollmentConfig, materials: Materials) -> Iterable[Finding]:
    """Judging dates logs in to no token and runs no signing command, so such a signer can stay unknown."""
    signing = config.signing
    if signing and signing.certificate is None and signing.pkcs12 is None and materials.signer_certificate is None:
        message = "the signer's certificate is known only when it signs, so its end was not judged"
        yield finding("signing.not-judged", message, where=f"{config.source}: signing")


def _unfilled(source: str, key: str) -> Finding:
    """A key whose template nobody filled; a warning where that hides a certificate or a date from the judgement."""
    matters = key.startswith(("trust.", "signing.")) or key in _JUDGED
    return finding(
        "config.unfilled",
        f"{key} has a variable that is not known, so it was not judged",
        where=f"{source}: {key}",
        severity=None if matters else Severity.INFO,
    )


def _anchors(data: bytes, source: str) -> list[Certificate]:
    """The certificates of a ``dep_anchor_certs`` document: a JSON array of base64, wrapped or not."""
    try:
        entries = json.loads(data)
        ders = [base64.b64decode("".join(each.split()), validate=True) for each in entries]
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise CertificateError("is not a JSON array of base64 certificates", where=source) from None
    return [Certificate(der, f"{source} #{number}") for number, der in enumerate(ders, 1)]


def _opened(data: bytes, source: str, keys: Keys) -> Target:
    """A profile's target.

    Where its property list is broken or encrypted, what the signature has to say is reported beside that.
    """
    signature = verify(data, source=source) if is_signed(data) else None
    findings = [_within(source, each) for each in signature.findings] if signature else []
    watched: list[Watched] = []
    errors: tuple[MdmprofileError, ...] = ()
    identifier = ""
    try:
        profile = profile_of(signature.content if signature else data, source=source)
        identifier = profile.identifier
        if profile.encrypted and keys.recipient is None:
            raise InputError(
                "is encrypted, so its certificates cannot be read",
                where=source,
                hint="give --recipient and --recipient-key; what is judged is the outside alone",
            )
        if profile.encrypted and keys.recipient is not None:
            from mdmprofile.cms.encrypt import decrypt_profile  # noqa: PLC0415 - few profiles are encrypted

            profile = decrypt_profile(profile, keys.recipient, source=source)
        for each in _payloads(profile, source, keys.password):
            watched += each.watched
            if len(watched) > MAX_IN_ONE_FILE:
                raise InputError(f"holds more than {MAX_IN_ONE_FILE} certificates", where=source)
            findings += each.findings
    except MdmprofileError as error:
        errors = (error,)
    if signature is not None:
        signers = [each.certificate for each in signature.signers if each.certificate is not None]
        watched += [watch(each, "signer", each.source) for each in signers]
        watched += signing_chain(each for each in signature.certificates if each not in signers)
    return Target(
        without_repeats(watched),
        tuple(findings),
        signature=signature,
        source=source,
        identifier=identifier,
        errors=errors,
    )


def _payloads(profile: Profile, source: str, password: str | None) -> Iterable[Target]:
    pins, budget = _pins(profile), Budget()
    for path, payload in profile.entries:
        kind, where = payload.get("PayloadType"), f"{source}: {path}"
        if kind in types.CERTIFICATES:
            yield _certificates(payload, where, pins)
        elif kind == types.PKCS12:
            yield _pkcs12(payload, where, password, budget)
        elif kind in (types.SCEP, types.ACME):
            name = _ISSUED[kind == types.ACME]
            yield Target((Watched("identity", name, where, baked_in=True, not_after=None),))


def _certificates(payload: Mapping[str, Any], where: str, pins: frozenset[str]) -> Target:
    try:
        certificates = payload_certificates(payload.get("PayloadContent"), source=where)
    except CertificateError as error:
        return Target((), (finding("profile.certificate-unreadable", error.message, where=where),))
    uuid = payload.get("PayloadUUID")
    pinned = isinstance(uuid, str) and uuid in pins
    roles = [(each, evident_role(each)) for each in certificates]
    # Whatever is in a payload changes only with the profile, the server's own certificate too.
    return Target(
        tuple(
            watch(each, "pinned" if pinned and role == LEAF else role, where)._replace(
                baked_in=True, consequence_of="file" if role == LEAF and not pinned else ""
            )
            for each, role in roles
        )
    )


def _pins(profile: Profile) -> frozenset[str]:
    """The UUIDs of certificates that the MDM payload pins the server to."""
    names = ("ServerURLPinningCertificateUUIDs", "CheckInURLPinningCertificateUUIDs")
    lists = [each.get(name) for _, each in profile.of_type(types.MDM) for name in names]
    return frozenset(uuid for each in lists if isinstance(each, list) for uuid in each if isinstance(uuid, str))


def _pkcs12(payload: Mapping[str, Any], where: str, given: str | None, budget: Budget) -> Target:
    content, password = payload.get("PayloadContent"), payload.get("Password", given)
    if not isinstance(content, bytes):
        return Target((), (finding("pkcs12.unreadable", "the payload holds no data", where=where),))
    unknown = (Watched("identity", "in the PKCS#12 payload", where, baked_in=True, not_after=None),)
    if password is None:
        return Target(unknown)
    try:
        secret = str(password).encode("utf-8", "replace")
        identity = load_pkcs12(content, source=where, password=secret, budget=budget)
        return Target(tuple(watched_identity(identity, where)))
    except CertificateError as error:
        return Target(unknown, (finding("pkcs12.unreadable", error.message, where=where),))


def _within(source: str, found: Finding) -> Finding:
    return found._replace(where=f"{source}: {found.where}")
