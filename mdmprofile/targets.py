"""What ``check`` is pointed at: profiles, certificate files, directories and configs, each as things that end."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mdmprofile.builder import thresholds_of
from mdmprofile.certificates import Certificate
from mdmprofile.chain import LEAF
from mdmprofile.cms.verify import is_signed, verify
from mdmprofile.config import load_config
from mdmprofile.containers import is_pkcs12, load_certificates, load_pkcs12
from mdmprofile.errors import CertificateError, InputError, MdmprofileError, PasswordError, ProfileError, collect
from mdmprofile.findings import Finding, finding
from mdmprofile.inputs import MAX_PROFILE, STDIN, read_file
from mdmprofile.inventory import by_role, evident_role, watched_by_config, without_repeats
from mdmprofile.materials import load_materials
from mdmprofile.payloads import types
from mdmprofile.plan import Thresholds, Watched, watch
from mdmprofile.profile import Profile
from mdmprofile.reader import OpenedProfile, is_profile, open_profile, payload_certificate

MAX_FILES = 10_000
_SUFFIXES = frozenset(
    (".mobileconfig", ".pem", ".crt", ".cer", ".der", ".p7b", ".p7c", ".p12", ".pfx", ".toml", ".cert", ".ca")
)


@dataclass(frozen=True)
class Target:
    """What one target holds; ``thresholds`` are its own config's, None where it has none."""

    watched: tuple[Watched, ...]
    findings: tuple[Finding, ...] = ()
    thresholds: Thresholds | None = None
    profiles: tuple[OpenedProfile, ...] = ()
    errors: tuple[MdmprofileError, ...] = ()


def read_target(path: Path, *, now: datetime, password: str | None = None) -> Target:
    """Everything that ends in one file, or in a directory and those below it.

    ``password`` opens PKCS#12 files. What cannot be read is in ``errors``; the rest is still there.
    """
    try:
        if str(path).startswith(("https:/", "http:/")):
            raise InputError("servers cannot be checked by this version", where=str(path), hint="give a file")
        if path != STDIN and path.is_dir():
            return _directory(path, now=now, password=password)
        return _file(path, now=now, password=password)
    except MdmprofileError as error:
        return Target((), errors=(error,))


def _directory(path: Path, *, now: datetime, password: str | None) -> Target:
    files = sorted(_candidates(path))
    if not files:
        raise InputError("holds no profile, certificate or config", where=str(path))
    parts = [(each, read_target(each, now=now, password=password)) for each in files]
    opened = {watched.certificate for _, part in parts for watched in part.watched}
    return Target(
        watched=tuple(each for _, part in parts for each in part.watched),
        findings=tuple(each for _, part in parts for each in part.findings),
        thresholds=next((part.thresholds for _, part in parts if part.thresholds), None),
        profiles=tuple(each for _, part in parts for each in part.profiles),
        errors=tuple(
            error for file, part in parts for error in part.errors if not _opened_elsewhere(file, error, opened)
        ),
    )


def _opened_elsewhere(file: Path, error: MdmprofileError, opened: Iterable[Certificate | None]) -> bool:
    """Whether a PKCS#12 without a password here was opened by a config in the same directory."""
    return isinstance(error, PasswordError) and any(
        each is not None and os.path.abspath(each.source.partition(" #")[0]) == os.path.abspath(file)  # noqa: PTH100 - a source is text
        for each in opened
    )


def _candidates(path: Path) -> Iterable[Path]:
    """Files with a suffix of the trade, hidden ones left out; keys and other files are none of our business."""
    count = 0
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in names:
            file = Path(folder, name)
            if name.startswith(".") or file.suffix.lower() not in _SUFFIXES or not file.is_file():
                continue
            if file.suffix == ".toml" and not _is_config(file):
                continue
            if file.suffix == ".pem" and _only_keys(file):
                continue
            count += 1
            if count > MAX_FILES:
                raise InputError(f"holds more than {MAX_FILES:,} files", where=str(path), hint="check its parts")
            yield file


def _is_config(file: Path) -> bool:
    """Other projects' TOML files stand beside ours; ours has both tables."""
    try:
        data = read_file(file)
    except InputError:
        return True
    return b"[server]" in data and b"[identity]" in data


def _only_keys(file: Path) -> bool:
    try:
        data = read_file(file)
    except InputError:
        return False
    return b"PRIVATE KEY-----" in data and b"CERTIFICATE-----" not in data


def _file(path: Path, *, now: datetime, password: str | None) -> Target:
    if path.suffix == ".toml":
        return _config(path, now=now)
    source = "standard input" if path == STDIN else str(path)
    data = read_file(path, limit=MAX_PROFILE)
    if is_profile(data):
        return _opened(data, source)
    if data.lstrip()[:1] == b"[":
        return Target(tuple(by_role(_anchors(data, source))))
    secret = password.encode("utf-8") if password is not None else None
    if is_pkcs12(data):
        try:
            identity = load_pkcs12(data, source=source, password=secret)
        except PasswordError:
            raise
        except CertificateError:
            return Target(tuple(by_role(load_certificates(data, source=source, password=secret))))
        return Target((watch(identity.certificate, "identity", identity.certificate.source), *by_role(identity.chain)))
    return Target(without_repeats(by_role(load_certificates(data, source=source))))


def _config(path: Path, *, now: datetime) -> Target:
    config = load_config(path, lenient=True)
    materials = load_materials(config, private=False)
    return Target(
        watched_by_config(config, materials, now=now),
        thresholds=thresholds_of(config),
        errors=(collect(materials.errors),) if materials.errors else (),
    )


def _anchors(data: bytes, source: str) -> list[Certificate]:
    """The certificates of a ``dep_anchor_certs`` document: a JSON array of base64, wrapped or not."""
    try:
        entries = json.loads(data)
        ders = [base64.b64decode("".join(each.split()), validate=True) for each in entries]
    except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise CertificateError("is not a JSON array of base64 certificates", where=source) from None
    return [Certificate(der, f"{source} #{number}") for number, der in enumerate(ders, 1)]


def _opened(data: bytes, source: str) -> Target:
    """A profile's target; where a change broke its property list, the broken signature is reported beside that."""
    try:
        return _profile(open_profile(data, source=source))
    except ProfileError as error:
        signature = verify(data, source=source) if is_signed(data) else None
        findings = tuple(_within(source, each) for each in signature.findings) if signature else ()
        return Target((), findings, errors=(error,))


def _profile(opened: OpenedProfile) -> Target:
    if opened.profile.encrypted:
        raise InputError("is encrypted, so its certificates cannot be read", where=opened.source)
    watched: list[Watched] = []
    findings = [_within(opened.source, each) for each in opened.findings]
    for path, payload in opened.profile.of_type(*types.CERTIFICATES):
        where = f"{opened.source}: {path}"
        try:
            certificate = payload_certificate(payload.get("PayloadContent"), source=where)
        except CertificateError as error:
            findings.append(finding("profile.certificate-unreadable", error.message, where=where))
            continue
        role = evident_role(certificate)
        pinned = "pinned" if role == LEAF and payload.get("PayloadUUID") in _pins(opened.profile) else role
        watched.append(watch(certificate, pinned, where))
    for path, payload in opened.profile.of_type(types.PKCS12):
        identity, found = _pkcs12(payload, f"{opened.source}: {path}")
        watched.extend(identity)
        findings.extend(found)
    for path, payload in opened.profile.of_type(types.SCEP, types.ACME):
        protocol = "SCEP" if payload["PayloadType"] == types.SCEP else "ACME"
        place = f"{opened.source}: {path}"
        watched.append(Watched("identity", f"from {protocol}", place, baked_in=True, not_after=None))
    if opened.signature is not None:
        signers = {each.certificate for each in opened.signature.signers}
        for each in opened.signature.certificates:
            role = "signer" if each in signers else evident_role(each)
            watched.append(watch(each, role, each.source))
    return Target(without_repeats(watched), tuple(findings), profiles=(opened,))


def _pins(profile: Profile) -> set[object]:
    """The UUIDs of certificates that the MDM payload pins the server to."""
    names = ("ServerURLPinningCertificateUUIDs", "CheckInURLPinningCertificateUUIDs")
    lists = [each.get(name) for _, each in profile.of_type(types.MDM) for name in names]
    return {uuid for each in lists if isinstance(each, list) for uuid in each if isinstance(uuid, str)}


def _pkcs12(payload: Mapping[str, Any], where: str) -> tuple[list[Watched], list[Finding]]:
    content, password = payload.get("PayloadContent"), payload.get("Password")
    unknown = [Watched("identity", "in the PKCS#12 payload", where, baked_in=True, not_after=None)]
    if not isinstance(content, bytes):
        return [], [finding("pkcs12.unreadable", "the payload holds no data", where=where)]
    if password is None:
        return unknown, []
    try:
        secret = str(password).encode("utf-8")
        identity = load_pkcs12(content, source=where, password=secret)
    except CertificateError as error:
        return unknown, [finding("pkcs12.unreadable", error.message, where=where)]
    return [watch(identity.certificate, "identity", where)], []


def _within(source: str, found: Finding) -> Finding:
    return found._replace(where=f"{source}: {found.where}")
