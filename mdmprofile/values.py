"""Property-list values compared, and shown where no secret can be in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from mdmprofile.errors import ProfileError
from mdmprofile.moments import as_utc, stamp
from mdmprofile.payloads import types
from mdmprofile.printable import shown

PINNING = ("ServerURLPinningCertificateUUIDs", "CheckInURLPinningCertificateUUIDs")
# Two binary property lists can be built so that comparing them step by step would never end.
_MAX_STEPS = 5_000_000
MAX_NUMBER = 2**64
_LONGEST = 120
_CONTEXT = 60
_USER = re.compile("//[^/@\\s]{1,1000}@")

# What may be shown. A key that is not here can hold a password, so only that it changed is told.
_COMMON = frozenset(
    ("PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName", "PayloadDescription",
     "PayloadOrganization")
)  # fmt: skip
TOP = _COMMON | {
    "PayloadScope", "PayloadRemovalDisallowed", "HasRemovalPasscode", "RemovalDate", "DurationUntilRemoval",
    "PayloadExpirationDate", "TargetDeviceType",
}  # fmt: skip
_SHOWN: Mapping[object, frozenset[str]] = {
    types.MDM: _COMMON | {
        "IdentityCertificateUUID", "Topic", "ServerURL", "CheckInURL", "AccessRights", "ServerCapabilities",
        "SignMessage", "CheckOutWhenRemoved", "UseDevelopmentAPNS", "ManagedAppleID", "AssignedManagedAppleID",
        "EnrollmentMode", "RequiredAppIDForMDM", *PINNING, "PinningRevocationCheckRequired",
        "PromptUserToAllowBootstrapTokenForAuthentication",
    },
    types.SCEP: _COMMON | {
        f"PayloadContent.{key}" for key in (
            "Name", "Keysize", "Key Type", "Key Usage", "Retries", "RetryDelay", "KeyIsExtractable",
            "AllowAllAppsAccess",
        )
    },
    types.ACME: _COMMON | {
        "KeyType", "KeySize", "HardwareBound", "Attest", "UsageFlags", "ExtendedKeyUsage", "KeyIsExtractable",
        "AllowAllAppsAccess",
    },
}  # fmt: skip


class KeyChange(NamedTuple):
    """A key whose value changed.

    ``key`` has a dot where it is one level down. ``old`` and ``new`` are the values as text; None when there is none,
    and both are None when they are not to be shown.
    """

    key: str
    old: str | None = None
    new: str | None = None

    @property
    def shown(self) -> bool:
        """Whether the values may be shown."""
        return self.old is not None or self.new is not None


def same(old: object, new: object) -> bool:
    """Whether two property-list values are the same, types included: 1 is not true.

    Values may be nested to any depth. Raises ``ProfileError`` when there is too much to compare.
    """
    waiting = [(old, new)]
    seen: set[tuple[int, int]] = set()
    steps = 0
    while waiting:
        one, other = waiting.pop()
        steps += 1
        if steps > _MAX_STEPS:
            raise ProfileError("is too large to compare", hint="check that it is the right file")
        if one is other or (id(one), id(other)) in seen:
            continue
        if type(one) is not type(other):
            return False
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            seen.add((id(one), id(other)))
            if one.keys() != other.keys():
                return False
            waiting.extend((value, other[key]) for key, value in one.items())
        elif isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str | bytes):
            seen.add((id(one), id(other)))
            if len(one) != len(other):
                return False
            waiting.extend(zip(one, other, strict=True))
        elif one != other and not (one != one and other != other):  # noqa: PLR0124 - what is not itself is NaN
            return False
    return True


def as_text(value: object) -> str | None:
    """A simple value as a report shows it, without a password in a URL; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = _USER.sub("//***@", value)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    if isinstance(value, int):
        # Python refuses to write an integer of more than 4,300 digits.
        return str(value) if abs(value) < MAX_NUMBER else "a number of more than 64 bits"
    if isinstance(value, float):
        return str(value)
    if isinstance(value, datetime):
        return stamp(as_utc(value))
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return as_text(", ".join(value[:_LONGEST])) or "an empty list"
    return None


def quoted(value: object) -> str:
    """A value as a message quotes it: text in quotes, anything that is not simple by its kind."""
    text = as_text(value)
    return shown(value) if text is None else repr(text) if isinstance(value, str) else text


def changed(old: object, new: object) -> str:
    """``changes from … to …``; of long texts that begin alike, the part that differs."""
    behind = ""
    if isinstance(old, str) and isinstance(new, str):
        # Before anything is cut off: what is left of a URL no longer shows that it held a password.
        old, new = _USER.sub("//***@", old), _USER.sub("//***@", new)
    if isinstance(old, str) and isinstance(new, str) and max(len(old), len(new)) > _LONGEST:
        pairs = enumerate(zip(old, new, strict=False))
        start = next((place for place, (one, other) in pairs if one != other), min(len(old), len(new)))
        if start > _CONTEXT:
            cut = start - _CONTEXT // 2
            old, new, behind = old[cut:], new[cut:], f", behind {cut} letters that are the same"
    return f"changes from {quoted(old)} to {quoted(new)}{behind}"


def key_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], showable: frozenset[str], prefix: str = ""
) -> Iterable[KeyChange]:
    """Every key whose value differs, one level down too; the values only of keys that are ``showable``."""
    for key in dict.fromkeys((*old, *new)):
        name = f"{prefix}{key}"
        before, after = old.get(key), new.get(key)
        if key in old and key in new and same(before, after):
            continue
        if not prefix and isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from key_changes(before, after, showable, f"{name}.")
        elif name in showable:
            yield KeyChange(name, as_text(before) if key in old else None, as_text(after) if key in new else None)
        else:
            yield KeyChange(name)


def showable(old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[str]:
    """The keys whose values may be shown; where the type changed, what both types allow."""
    kinds = [each if isinstance(each, str) else "" for each in (old.get("PayloadType"), new.get("PayloadType"))]
    return _SHOWN.get(kinds[0], _COMMON) & _SHOWN.get(kinds[1], _COMMON)
