"""The keys that every profile and payload has, and how payloads stand to each other.

https://developer.apple.com/documentation/devicemanagement/toplevel
https://developer.apple.com/documentation/devicemanagement/commonpayloadkeys
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.payloads import types
from mdmprofile.printable import shown
from mdmprofile.profile import TARGETS, Profile
from mdmprofile.rules.registry import rule

_UUID = re.compile(r"[0-9A-Za-z]{8}(-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}")
_REQUIRED = ("PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadVersion")


@rule("profile.missing-key", "profile.value")
def required_keys(profile: Profile) -> Iterable[Finding]:
    """Type, identifier, UUID and version 1, at the top and in every payload."""
    for path, each in _everything(profile):
        for name in _REQUIRED:
            kind = int if name == "PayloadVersion" else str
            if name not in each:
                yield finding("profile.missing-key", f"{name} is missing", where=_at(path, name))
            elif name == "PayloadVersion" and isinstance(each[name], float) and each[name] == 1:
                # AlgoVPN writes it so, and its profiles are installed.
                message = "PayloadVersion is a <real>, and must be an <integer>"
                yield finding("profile.value", message, where=_at(path, name), severity=Severity.WARNING)
            elif not isinstance(each[name], kind) or isinstance(each[name], bool) or each[name] == "":
                yield finding("profile.value", f"{name} is empty or of the wrong type", where=_at(path, name))
            elif kind is int and each[name] != 1:
                yield finding("profile.value", "PayloadVersion is not 1", where=_at(path, name))


@rule("profile.missing-key", "profile.value")
def payload_list(profile: Profile) -> Iterable[Finding]:
    """The payloads are an array of dictionaries; only an encrypted profile has none."""
    content = profile.plist.get("PayloadContent")
    if profile.requests_another:
        return
    if content is None and not profile.encrypted:
        yield finding("profile.missing-key", "PayloadContent is missing", where="PayloadContent")
    elif content is not None and not isinstance(content, list):
        yield finding("profile.value", "PayloadContent is no array", where="PayloadContent")
    for index, each in enumerate(content if isinstance(content, list) else []):
        if not isinstance(each, Mapping):
            yield finding("profile.value", "a payload is no dictionary", where=f"PayloadContent[{index}]")


@rule("profile.service-request", "profile.missing-key")
def service_request(profile: Profile) -> Iterable[Finding]:
    """The first profile of an over-the-air enrollment says where to ask for the real one."""
    if not profile.requests_another:
        return
    yield finding(
        "profile.service-request",
        "with this profile a device asks a server for its real profile, which was not judged",
        where="PayloadContent",
    )
    url = profile.plist["PayloadContent"].get("URL")
    if not isinstance(url, str) or not url:
        yield finding("profile.missing-key", "URL is missing", where="PayloadContent.URL")


@rule("profile.value")
def top_level_values(profile: Profile) -> Iterable[Finding]:
    """The top-level keys that allow only some values."""
    top = profile.plist
    if top.get("PayloadType", "Configuration") != "Configuration" and not profile.requests_another:
        yield finding("profile.value", "PayloadType is not Configuration", where="PayloadType")
    if top.get("PayloadScope", "System") not in ("System", "User"):
        yield finding("profile.value", "PayloadScope is neither System nor User", where="PayloadScope")
    target = top.get("TargetDeviceType", 0)
    if isinstance(target, bool) or target not in TARGETS.values():
        yield finding("profile.value", "TargetDeviceType is not between 0 and 6", where="TargetDeviceType")


@rule("profile.uuid-format")
def uuid_format(profile: Profile) -> Iterable[Finding]:
    """UUIDs are 8-4-4-4-12; the schema demands it of the one that names the identity."""
    for path, each in _everything(profile):
        for name in ("PayloadUUID", "IdentityCertificateUUID"):
            value = each.get(name)
            if isinstance(value, str) and value and _UUID.fullmatch(value) is None:
                severity = None if name == "PayloadUUID" else Severity.ERROR
                message = f"{name} {shown(value)} is not of the form 8-4-4-4-12"
                yield finding("profile.uuid-format", message, where=_at(path, name), severity=severity)


@rule("profile.duplicate-uuid")
def unique_uuids(profile: Profile) -> Iterable[Finding]:
    """No UUID twice; devices refuse such a profile since iOS 15 and macOS 12.0.1."""
    yield from _unique(profile, "PayloadUUID", "profile.duplicate-uuid")


@rule("profile.duplicate-identifier")
def unique_identifiers(profile: Profile) -> Iterable[Finding]:
    """No identifier twice; devices refuse such a profile since iOS 15 and macOS 12.0.1."""
    yield from _unique(profile, "PayloadIdentifier", "profile.duplicate-identifier")


@rule("profile.payload-order")
def payload_order(profile: Profile) -> Iterable[Finding]:
    """Certificates and the identity come before the MDM payload, because payloads install in order."""
    seen = False
    for path, each in profile.entries:
        kind = each.get("PayloadType")
        seen = seen or kind == types.MDM
        if seen and kind in (*types.CERTIFICATES, *types.IDENTITIES):
            yield finding("profile.payload-order", f"{kind} stands after the MDM payload", where=path)


def _unique(profile: Profile, name: str, rule: str) -> Iterable[Finding]:
    seen: set[str] = set()
    for path, each in _everything(profile):
        value = each.get(name)
        if not isinstance(value, str):
            continue
        if value.casefold() in seen:
            yield finding(rule, f"{name} {shown(value)} is there more than once", where=_at(path, name))
        seen.add(value.casefold())


def _everything(profile: Profile) -> Iterable[tuple[str, Mapping[str, Any]]]:
    yield "", profile.plist
    yield from profile.entries


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
