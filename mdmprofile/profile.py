"""A configuration profile: property-list bytes both ways, and stable UUIDs.

https://developer.apple.com/documentation/devicemanagement/toplevel
"""

from __future__ import annotations

import plistlib
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from xml.parsers.expat import ExpatError

from mdmprofile.errors import PARSER_ERRORS, ProfileError
from mdmprofile.moments import as_utc
from mdmprofile.payloads import types
from mdmprofile.payloads.base import Payload, key, plist_keys

TARGETS = {"any": 0, "iphone": 1, "ipad": 1, "watch": 2, "homepod": 3, "appletv": 4, "mac": 5, "visionpro": 6}

MAX_PAYLOADS = 500
_PLIST_ERRORS = (plistlib.InvalidFileException, ExpatError, *PARSER_ERRORS)


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
        return plist_bytes(self.plist)


def plist_bytes(value: Any) -> bytes:  # noqa: ANN401 - property-list values are of any type
    """A value as an XML property list; raises as ``Profile.to_bytes`` does."""
    try:
        return plistlib.dumps(_writable(value, ""), fmt=plistlib.FMT_XML, sort_keys=False)
    except RecursionError:
        raise ProfileError("the profile cannot be written: it is nested too deeply") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise ProfileError(f"the profile cannot be written: {error}") from None


def parse_plist(data: bytes, *, source: str = "") -> Any:  # noqa: ANN401
    """The value that property-list bytes hold, XML or binary; raises ``ProfileError`` when they are none."""
    try:
        # Named, because plistlib's own guess refuses a DOCTYPE or white space at the beginning.
        if data.startswith(b"bplist00"):
            return plistlib.loads(data, fmt=plistlib.FMT_BINARY)
        return plistlib.loads(data.lstrip(), fmt=plistlib.FMT_XML)
    except _PLIST_ERRORS as error:
        reason = str(error).splitlines()[0][:120] if str(error) else "malformed"
        raise ProfileError(
            f"is not a property list: {reason}", where=source, hint="give a .mobileconfig file"
        ) from None


def parse(data: bytes, *, source: str = "") -> Profile:
    """Read property-list bytes, XML or binary.

    Raises ``ProfileError`` when they are no property list or not a dictionary at the top.
    """
    plist = parse_plist(data, source=source)
    if not isinstance(plist, dict):
        raise ProfileError("is a property list, but not a dictionary", where=source, hint="give a .mobileconfig file")
    content = plist.get("PayloadContent")
    if isinstance(content, list) and len(content) > MAX_PAYLOADS:
        # A binary property list can name one payload any number of times at a byte each.
        raise ProfileError(f"has more than {MAX_PAYLOADS} payloads", where=source)
    return Profile(plist)


def looks_like_plist(data: bytes) -> bool:
    """Whether the bytes begin as a property list does, XML or binary."""
    head = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith((b"bplist00", b"<?xml", b"<plist", b"<!DOCTYPE plist"))


def _is_secret(payload: Mapping[str, Any]) -> bool:
    kind, inner = payload.get("PayloadType"), payload.get("PayloadContent")
    if kind == types.SCEP:
        return isinstance(inner, Mapping) and "Challenge" in inner
    return kind in (types.ACME, types.PKCS12, types.REMOVAL_PASSWORD)


def stable_uuid(identifier: str, *what: str) -> str:
    """A version 5 UUID (RFC 9562) from the profile's identifier and what the payload is, upper-case.

    The same inputs give the same UUID, so a profile built twice is the same profile, and a renewed certificate,
    whose fingerprint is part of ``what``, is a new payload.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(("mdmprofile", identifier, *what)))).upper()


@cache
def _not_xml() -> re.Pattern[str]:
    """Everything XML 1.0 section 2.2 does not allow; a device refuses the whole profile for one of them.

    And the carriage return, which every XML parser turns into a line feed (section 2.11): a password would change.
    """
    return re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _writable(value: Any, path: str) -> Any:  # noqa: ANN401 - property-list values are of any type
    """The value as plistlib writes it: naive UTC dates, and no character that XML forbids."""
    if isinstance(value, str):
        if not value.isprintable() and (wrong := _not_xml().search(value)) is not None:
            raise ProfileError(
                f"holds the character U+{ord(wrong[0]):04X} at position {wrong.start()}, which a property list "
                "cannot hold",
                where=path,
                hint="remove it",
            )
        return value
    if isinstance(value, datetime):
        return as_utc(value).replace(tzinfo=None, microsecond=0)
    if isinstance(value, Mapping):
        return {
            _writable(name, path): _writable(each, f"{path}.{name}" if path else name) for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_writable(each, f"{path}[{index}]") for index, each in enumerate(value)]
    return value
