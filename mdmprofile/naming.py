"""Identifiers and UUIDs of payloads: stable, set by hand, or kept from the profile that is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.errors import MdmprofileError
from mdmprofile.payloads import types
from mdmprofile.profile import Profile, stable_uuid


class PayloadName(NamedTuple):
    """What tells a payload apart: a device updates a payload whose identifier and UUID both stay."""

    identifier: str
    uuid: str


class Names(NamedTuple):
    """Gives every payload of a profile its name.

    ``explicit`` maps a certificate's SHA-256 to a UUID set by hand. ``kept`` holds the old profile's names by
    payload type, and for certificates by type and SHA-256.
    """

    identifier: str
    explicit: Mapping[str, str] = MappingProxyType({})
    kept: Mapping[tuple[str, str], PayloadName] = MappingProxyType({})
    kept_profile_uuid: str | None = None

    def profile_uuid(self, by_hand: str | None, purpose: str = "enrollment") -> str:
        """The profile's own UUID."""
        return by_hand or self.kept_profile_uuid or stable_uuid(self.identifier, purpose)

    def certificate(self, certificate: Certificate, payload_type: str, role: str) -> PayloadName:
        """The name of a certificate payload."""
        sha256 = certificate.sha256
        kept = self.kept.get((payload_type, sha256))
        identifier = kept.identifier if kept else f"{self.identifier}.{role}.{sha256[:16]}"
        uuid = self.explicit.get(sha256) or (kept.uuid if kept else stable_uuid(self.identifier, role, sha256))
        return PayloadName(identifier, uuid)

    def by_type(self, payload_type: str, part: str, by_hand: str | None = None, *what: str) -> PayloadName:
        """The name of the identity, MDM or other payload that is there once."""
        kept = self.kept.get((payload_type, ""))
        identifier = kept.identifier if kept else f"{self.identifier}.{part}"
        uuid = by_hand or (kept.uuid if kept else stable_uuid(self.identifier, part, payload_type, *what))
        return PayloadName(identifier, uuid)


def names_of(identifier: str, explicit: Mapping[str, str] | None = None, *, replaces: Profile | None = None) -> Names:
    """Names for a profile, keeping those of the profile it replaces."""
    if replaces is None:
        return Names(identifier, explicit or {})
    kept: dict[tuple[str, str], PayloadName] = {}
    for payload in _without_other_identities(replaces):
        kind, old, uuid = (payload.get(key) for key in ("PayloadType", "PayloadIdentifier", "PayloadUUID"))
        if isinstance(kind, str) and isinstance(old, str) and isinstance(uuid, str):
            kept.setdefault((kind, _fingerprint(kind, payload.get("PayloadContent"))), PayloadName(old, uuid))
    profile_uuid = replaces.plist.get("PayloadUUID")
    return Names(
        replaces.identifier or identifier,
        explicit or {},
        kept,
        profile_uuid if isinstance(profile_uuid, str) and profile_uuid else None,
    )


def _without_other_identities(replaced: Profile) -> list[Mapping[str, Any]]:
    """The payloads without the identities that are not MDM's: a profile can have one for Wi-Fi beside it.

    Where the MDM payload names none of them, all are there.
    """
    wanted = next((each.get("IdentityCertificateUUID") for _, each in replaced.of_type(types.MDM)), None)
    identities = [each for _, each in replaced.of_type(*types.IDENTITIES)]
    named = any(each.get("PayloadUUID") == wanted for each in identities)
    others = [each for each in identities if named and each.get("PayloadUUID") != wanted]
    return [each for each in replaced.payloads if not any(each is other for other in others)]


def _fingerprint(kind: str, content: object) -> str:
    """The SHA-256 of a certificate payload's certificate; empty for other payloads."""
    from mdmprofile.reader import payload_certificates  # noqa: PLC0415 - slow to import, needed for replacements only

    if kind not in types.CERTIFICATES:
        return ""
    try:
        return payload_certificates(content, source="")[0].sha256
    except MdmprofileError:
        return "unreadable"
