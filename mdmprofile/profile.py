"""A configuration profile: property-list bytes both ways, and stable UUIDs.

https://developer.apple.com/documentation/devicemanagement/toplevel
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mdmprofile.errors import ProfileError
from mdmprofile.payloads import types
from mdmprofile.payloads.base import Payload, key, plist_keys
from mdmprofile.propertylist import read_plist, write_plist

TARGETS = {"any": 0, "iphone": 1, "ipad": 1, "watch": 2, "homepod": 3, "appletv": 4, "mac": 5, "visionpro": 6}

MAX_PAYLOADS = 500


@dataclass(frozen=True, kw_only=True)
class TopLevel:
    """The keys of the profile itself. Dates are aware UTC; ``duration_until_removal`` is in seconds."""

    identifier: str = field(metadata={"apple": "PayloadIdentifier"})
    uuid: str = field(metadata={"apple": "PayloadUUID"})
    display_name: str | None = key("PayloadDisplayName", default=None)
    description: str | None = key("PayloadDescription", default=None)
    organization: str | None = key("PayloadOrganization", default=None)
    scope: str | None = key("PayloadScope", default="System")
    removal_disallowed: bool | None = key("PayloadRemovalDisallowed", default=None)
    has_removal_passcode: bool | None = key("HasRemovalPasscode", default=None)
    removal_date: datetime | None = key("RemovalDate", default=None)
    duration_until_removal: float | None = key("DurationUntilRemoval", default=None)
    expiration_date: datetime | None = key("PayloadExpirationDate", default=None)
    target_device: int | None = key("TargetDeviceType", default=None)
    consent_text: Mapping[str, str] | None = None

    def as_plist(self) -> dict[str, Any]:
        """The top-level dictionary without its payloads."""
        plist = {"PayloadType": "Configuration", "PayloadVersion": 1} | plist_keys(self)
        if self.consent_text:
            plist["ConsentText"] = dict(self.consent_text)
        return plist


@dataclass(frozen=True)
class Profile:
    """A profile as the property list it is: what was built, or what somebody else's file holds.

    ``plist`` is the top-level dictionary; nothing about it is checked beyond that it is one.
    """

    plist: Mapping[str, Any] = field(repr=False)

    @classmethod
    def assemble(cls, top: TopLevel, payloads: tuple[Payload, ...]) -> Profile:
        """A profile of these payloads, in this order."""
        return cls(top.as_plist() | {"PayloadContent": [each.as_plist() for each in payloads]})

    @property
    def identifier(self) -> str:
        """The top-level PayloadIdentifier, empty when absent."""
        value = self.plist.get("PayloadIdentifier")
        return value if isinstance(value, str) else ""

    @property
    def name(self) -> str:
        """What a person calls the profile: its display name, else its identifier."""
        value = self.plist.get("PayloadDisplayName")
        return value if isinstance(value, str) and value else self.identifier

    @property
    def encrypted(self) -> bool:
        """Whether the payloads are inside EncryptedPayloadContent."""
        return "EncryptedPayloadContent" in self.plist

    @property
    def requests_another(self) -> bool:
        """Whether it holds no payloads, but the address where a device asks for its real profile.

        https://developer.apple.com/library/archive/documentation/NetworkingInternet/Conceptual/iPhoneOTAConfiguration/
        """
        return self.plist.get("PayloadType") == "Profile Service" and isinstance(
            self.plist.get("PayloadContent"), Mapping
        )

    @property
    def holds_secret(self) -> bool:
        """Whether a private key, a challenge, an ACME client identifier or a password is inside."""
        return any(_is_secret(each) for each in self.payloads)

    @property
    def entries(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        """The payload dictionaries in order, each with its path such as ``PayloadContent[2]``."""
        content = self.plist.get("PayloadContent")
        listed = content if isinstance(content, list) else []
        return tuple(
            (f"PayloadContent[{index}]", each) for index, each in enumerate(listed) if isinstance(each, Mapping)
        )

    @property
    def payloads(self) -> tuple[Mapping[str, Any], ...]:
        """The payload dictionaries in order; entries that are none are left out."""
        return tuple(each for _, each in self.entries)

    def of_type(self, *types: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        """The payloads of these types, each with its path."""
        return tuple((path, each) for path, each in self.entries if each.get("PayloadType") in types)

    def to_bytes(self) -> bytes:
        """The profile as an XML property list: the same profile gives the same bytes.

        Raises ``ProfileError``, naming the key, for text that XML cannot hold.
        """
        return write_plist(self.plist)


def parse(data: bytes, *, source: str = "") -> Profile:
    """Read property-list bytes, XML or binary.

    Raises ``ProfileError`` when they are no property list or not a dictionary at the top.
    """
    plist = read_plist(data, source=source)
    if not isinstance(plist, dict):
        raise ProfileError("is a property list, but not a dictionary", where=source, hint="give a .mobileconfig file")
    content = plist.get("PayloadContent")
    if isinstance(content, list) and len(content) > MAX_PAYLOADS:
        raise ProfileError(f"has more than {MAX_PAYLOADS} payloads", where=source, hint="check that it is a profile")
    return Profile(plist)


def _is_secret(payload: Mapping[str, Any]) -> bool:
    kind, inner = payload.get("PayloadType"), payload.get("PayloadContent")
    if kind == types.SCEP:
        return isinstance(inner, Mapping) and "Challenge" in inner
    if kind in types.CERTIFICATES:
        return isinstance(inner, bytes) and b"PRIVATE KEY-----" in inner
    if kind == types.MDM and not any("@" in each or "?" in each for each in payload.values() if isinstance(each, str)):
        return False
    if kind in (types.ACME, types.PKCS12, types.REMOVAL_PASSWORD):
        return True
    from mdmprofile.masking import masked  # noqa: PLC0415 - few enrollment profiles have other payloads

    return masked(payload) != payload


def stable_uuid(identifier: str, *what: str) -> str:
    """A version 5 UUID (RFC 9562) from the profile's identifier and what the payload is, upper-case.

    The same inputs give the same UUID, so a profile built twice is the same profile, and a renewed certificate,
    whose fingerprint is part of ``what``, is a new payload.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(("mdmprofile", identifier, *what)))).upper()
