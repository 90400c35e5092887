"""The bytes of one file, a profile or certificates in whatever form, as the things in it that end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.chain import LEAF
from mdmprofile.cms.trust import judge_trust
from mdmprofile.cms.verify import Signature, is_signed, verify
from mdmprofile.config_file import CONFIG_NAME, is_damaged_config
from mdmprofile.containers import MAX_IN_ONE_FILE, is_certificate, is_pkcs12, load_certificates, load_pkcs12
from mdmprofile.errors import CertificateError, InputError, MdmprofileError, PasswordError, password_from
from mdmprofile.findings import Finding, finding
from mdmprofile.inventory import by_role, evident_role, of_file, signing_chain, watched_identity, without_repeats
from mdmprofile.payloads import types
from mdmprofile.pfx import Budget
from mdmprofile.plan import Thresholds, Watched, watch
from mdmprofile.profile import Profile
from mdmprofile.propertylist import looks_like_plist
from mdmprofile.published import read_anchors
from mdmprofile.reader import is_profile, payload_certificates, profile_of

SUFFIXES = frozenset(
    (
        ".mobileconfig",
        ".pem",
        ".crt",
        ".cer",
        ".der",
        ".p7b",
        ".p7c",
        ".p12",
        ".pfx",
        ".toml",
        ".cert",
        ".ca",
        ".sqlite",
    )
)
ISSUED = ("from SCEP", "from ACME")


class Keys(NamedTuple):
    """What opens PKCS#12 files, and encrypted profiles."""

    password: str | None = None
    recipient: Identity | None = None


class Target(NamedTuple):
    """What one file or server holds; ``name`` is what reports call it.

    ``thresholds`` and the ``validity`` of its SCEP or ACME identity are a config's own, ``signature`` is a profile's,
    and ``identifier`` tells which config and profile belong together. ``display_name`` is what people call the
    profile, and ``built`` the file that a config's profile is written to. ``digest`` is the SHA-256 of a profile's
    bytes, and ``listed`` those of the profiles that a ledger lists; None of anything else.
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
    display_name: str = ""
    built: str = ""
    digest: bytes = b""
    listed: frozenset[bytes] | None = None

    @property
    def signing_time(self) -> datetime | None:
        """The earliest time that an intact signature states: no device had the profile before."""
        signers = self.signature.signers if self.signature else ()
        times = [each.signing_time for each in signers if each.valid and each.signing_time is not None]
        return min(times, default=None)

    @property
    def ledger(self) -> str:
        """Its name where it is a ledger, else nothing."""
        return "" if self.listed is None else self.name

    def distrust(self, anchors: Sequence[Certificate], *, at: datetime) -> Iterable[Finding]:
        """What is wrong with trusting the signer of a profile; nothing for other targets."""
        if self.source and self.signature is None:
            return (finding("signature.missing", "the profile is not signed", where=self.source),)
        found = judge_trust(self.signature, anchors, at=at) if self.signature else ()
        return (_within(self.source, each) for each in found)


def is_foreign(data: bytes, file: Path) -> bool:
    """Whether bytes that nobody named, found in a directory in ``file``, are none of ours."""
    suffix = file.suffix.lower()
    if suffix == ".toml":
        # What is left of a config after an accident is an error under its usual name, and no silence.
        return file.name.lower() != CONFIG_NAME and not (
            (b"server" in data and b"identity" in data) or is_damaged_config(data)
        )
    if b"-----BEGIN " in data:
        # Prose can speak of certificates; under a name that tells nothing, only a whole one counts.
        mark = b"" if suffix in SUFFIXES else b"-----END "
        return not any(mark + label in data for label in (b"CERTIFICATE-----", b"PKCS7-----", b"CMS-----"))
    # A suffix of the trade is taken at its word, so that a damaged file is an error and no silence.
    return suffix not in SUFFIXES and not _is_ours(data)


def _is_ours(data: bytes) -> bool:
    """Whether bytes without a telling name are a profile, certificates or anchors."""
    if looks_like_plist(data):
        return b"PayloadType" in data
    return is_signed(data) or is_pkcs12(data) or data.startswith(b'["MI') or is_certificate(data)


def read_contents(data: bytes, *, source: str, keys: Keys) -> Target:
    """Everything that ends in a profile or a file of certificates. Raises ``MdmprofileError`` for anything else."""
    if is_profile(data):
        return _opened(data, source, keys)
    if data.lstrip()[:1] == b"[" and b"-----BEGIN " not in data:
        return Target(tuple(by_role(read_anchors(data, source=source))))
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


def _opened(data: bytes, source: str, keys: Keys) -> Target:
    """A profile's target.

    Where its property list is broken or encrypted, what the signature has to say is reported beside that.
    """
    signature = verify(data, source=source) if is_signed(data) else None
    findings = [_within(source, each) for each in signature.findings] if signature else []
    watched: list[Watched] = []
    errors: tuple[MdmprofileError, ...] = ()
    identifier, display_name = "", ""
    try:
        profile = profile_of(signature.content if signature else data, source=source)
        identifier, display_name = profile.identifier, profile.name
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
        display_name=display_name,
        digest=hashlib.sha256(data).digest(),
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
            name = ISSUED[kind == types.ACME]
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
