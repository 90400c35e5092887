"""What a device would know once it had the profile: whom to call, whom to trust, and what must be published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.chain import ROOT, role_of
from mdmprofile.changes import certificates_of, identity_of, mdm_of
from mdmprofile.config import EnrollmentConfig
from mdmprofile.config_identity import AcmeSettings, ScepSettings
from mdmprofile.containers import fingerprint_sha1
from mdmprofile.errors import ProfileError
from mdmprofile.findings import Finding, Severity
from mdmprofile.materials import Materials
from mdmprofile.payloads import types
from mdmprofile.profile import Profile
from mdmprofile.rules import judge_enrollment
from mdmprofile.rules.served import DeviceTrust
from mdmprofile.trust import account_servers, published_urls


class Scep(NamedTuple):
    """A SCEP server: its URL, the CA's name, and the CAFingerprint (SHA-1 or MD5), each None where it is not set."""

    url: str
    name: str | None
    fingerprint: bytes | None


class Published(NamedTuple):
    """What a config says that the server publishes.

    ``urls`` are those of MDMServiceConfig by Apple's names, ``servers`` the entries of the discovery document for
    account-driven enrollment; empty where there are none.
    """

    urls: Mapping[str, str]
    servers: Sequence[Mapping[str, str]] = ()


class Enrolled(NamedTuple):
    """What a device would know.

    ``checkin_url`` is None where it is the server's. ``published`` is None where only a profile is at hand, which does
    not say what the server should publish. ``refused`` is what has a device refuse the profile before it connects.
    """

    title: str
    server_url: str
    checkin_url: str | None
    trust: DeviceTrust
    pins: tuple[Certificate, ...]
    checkin_pins: tuple[Certificate, ...]
    scep: Scep | None
    acme_url: str | None
    published: Published | None
    refused: tuple[Finding, ...] = ()


def enrolled_by_profile(profile: Profile, *, source: str) -> Enrolled:
    """What a device would know from this profile.

    Raises ``ProfileError`` when it is encrypted, or has no MDM payload with a ServerURL.
    """
    if profile.encrypted:
        hint = "give --recipient and --recipient-key"
        raise ProfileError("is encrypted, so nobody can tell which servers it names", where=source, hint=hint)
    mdm = mdm_of(profile)[1]
    if not _text(mdm.get("ServerURL")):
        hint = "give an enrollment profile"
        raise ProfileError(
            "has no MDM payload with a ServerURL, so there is nothing to rehearse", where=source, hint=hint
        )
    held = certificates_of(profile)
    by_uuid = _by_uuid(profile)
    kind, identity = _identity(profile)
    return Enrolled(
        title=f"{profile.name}  {profile.identifier}".strip(),
        server_url=mdm["ServerURL"],
        checkin_url=_text(mdm.get("CheckInURL")),
        trust=_trust([each.certificate for each in held]),
        pins=_pins(mdm.get("ServerURLPinningCertificateUUIDs"), by_uuid),
        checkin_pins=_pins(mdm.get("CheckInURLPinningCertificateUUIDs"), by_uuid),
        scep=_scep(identity) if kind == types.SCEP else None,
        acme_url=_text(identity.get("DirectoryURL")) if kind == types.ACME else None,
        published=None,
        refused=tuple(each for each in judge_enrollment(profile) if each.severity is Severity.ERROR),
    )


def enrolled_by_config(config: EnrollmentConfig, materials: Materials) -> Enrolled:
    """What a device would know from the profile that this config builds."""
    identity = config.identity
    scep = None
    if isinstance(identity, ScepSettings):
        fingerprint = identity.ca_fingerprint
        if materials.scep_ca is not None:
            fingerprint = fingerprint_sha1(materials.scep_ca)
        scep = Scep(identity.url, identity.name, fingerprint)
    settings = config.profile
    return Enrolled(
        title=f"{settings.display_name or ''}  {settings.identifier}".strip(),
        server_url=config.server.url,
        checkin_url=config.server.checkin_url,
        trust=_trust(() if config.trust.public else materials.trust),
        pins=materials.pinned,
        checkin_pins=materials.checkin_pinned,
        scep=scep,
        acme_url=identity.directory_url if isinstance(identity, AcmeSettings) else None,
        published=Published(published_urls(config.trust), tuple(account_servers(config.trust))),
    )


def _trust(certificates: tuple[Certificate, ...] | list[Certificate]) -> DeviceTrust:
    """The profile's own roots; where it has none, those that devices come with."""
    # A self-signed server certificate in a root payload is an anchor too, CA or not.
    anchors = tuple(each for each in certificates if role_of(each) == ROOT or each.self_signed)
    carries = tuple(each for each in certificates if each.is_ca and each not in anchors)
    if anchors:
        return DeviceTrust(anchors, carries)
    from mdmprofile.public import public_roots  # noqa: PLC0415 - only where the profile has no root

    return DeviceTrust(public_roots(), carries, public=True)


def _identity(profile: Profile) -> tuple[object, Mapping[str, Any]]:
    """Type and keys of the identity payload; SCEP's keys are inside its content."""
    identity = identity_of(profile)[1]
    kind = identity.get("PayloadType")
    inner = identity.get("PayloadContent")
    return kind, (inner if isinstance(inner, Mapping) else {}) if kind == types.SCEP else identity


def _scep(content: Mapping[str, Any]) -> Scep | None:
    fingerprint = content.get("CAFingerprint")
    url = _text(content.get("URL"))
    known = fingerprint if isinstance(fingerprint, bytes) else None
    return Scep(url, _text(content.get("Name")), known) if url else None


def _by_uuid(profile: Profile) -> dict[str, tuple[Certificate, ...]]:
    found: dict[str, tuple[Certificate, ...]] = {}
    held = certificates_of(profile)
    for path, each in profile.of_type(*types.CERTIFICATES):
        uuid = each.get("PayloadUUID")
        if isinstance(uuid, str):
            found[uuid] = tuple(one.certificate for one in held if one.where == path)
    return found


def _pins(uuids: object, by_uuid: Mapping[str, tuple[Certificate, ...]]) -> tuple[Certificate, ...]:
    wanted = [each for each in uuids if isinstance(each, str)] if isinstance(uuids, list) else []
    return tuple(one for each in wanted for one in by_uuid.get(each, ()))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
