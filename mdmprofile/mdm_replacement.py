"""What a replacement may not do to the MDM payload, and what it does to the server's rights.

https://developer.apple.com/documentation/devicemanagement/mdm
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mdmprofile.changes import mdm_of, right_names_of, rights_of
from mdmprofile.config import Via
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.payloads.mdm import CAPABILITIES, AccessRights
from mdmprofile.profile import Profile
from mdmprofile.values import changed, quoted, same

MDM: Via = "mdm"
MANUAL: Via = "manual"

_FIXED = {
    "Topic": "replacement.topic",
    "EnrollmentMode": "replacement.enrollment-mode",
    "AssignedManagedAppleID": "replacement.managed-apple-id",
    "RequiredAppIDForMDM": "replacement.required-app",
}
_PER_USER = CAPABILITIES["per-user-connections"]
_INSTALL = AccessRights.INSTALL_PROFILES
_ABSENT = object()


def judge_mdm(old: Profile, new: Profile, via: Via) -> Iterable[Finding]:
    """The keys of the MDM payload that must not change; every one that does."""
    _, before = mdm_of(old)
    path, after = mdm_of(new)
    if not before and not after:
        return
    if not after:
        message = "the old profile has an MDM payload and the new one has none, which would end management"
        yield finding("replacement.mdm-removed", message, where="PayloadContent")
    elif not before:
        yield _mdm_added(path, via)
    else:
        yield from _urls(before, after, path)
        for key, rule in _FIXED.items():
            if not same(before.get(key, _ABSENT), after.get(key, _ABSENT)):
                yield _changed(rule, key, before, after, path)
        yield from _rights(before, after, path)
        yield from _per_user_connections(before, after, path)


def _mdm_added(path: str, via: Via) -> Finding:
    message = "the new profile has an MDM payload and the old one has none"
    if via == MANUAL:
        more = ": installed by hand it enrolls the device, unless that is enrolled already"
        return finding("replacement.mdm-added", message + more, where=path, severity=Severity.WARNING)
    more = ": a device that MDM reaches has its MDM payload in another profile and refuses a second one"
    return finding("replacement.mdm-added", message + more, where=path)


def _urls(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterable[Finding]:
    if not same(before.get("ServerURL", _ABSENT), after.get("ServerURL", _ABSENT)):
        yield _changed("replacement.server-url", "ServerURL", before, after, path)
    if "CheckInURL" not in before and "CheckInURL" not in after:
        return
    # A device checks in at ServerURL where there is no CheckInURL.
    old_url, new_url = (each.get("CheckInURL", each.get("ServerURL", _ABSENT)) for each in (before, after))
    if not same(old_url, new_url):
        yield _changed("replacement.checkin-url", "CheckInURL", before, after, path)


def _changed(rule: str, key: str, before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Finding:
    """The finding that a key is not what it was."""
    if key not in before:
        what = f"{key} {quoted(after[key])} is new"
    elif key not in after:
        what = f"{key} {quoted(before[key])} is gone"
    else:
        what = f"{key} {changed(before[key], after[key])}"
    if key == "CheckInURL" and not (key in before and key in after):
        what += ", and where it is absent it is ServerURL"
    return finding(rule, what, where=f"{path}.{key}")


def _user_enrollment(mdm: Mapping[str, Any]) -> bool:
    """Whether the device is the user's own; devices ignore access rights then."""
    return mdm.get("EnrollmentMode") == "BYOD" or bool(mdm.get("ManagedAppleID"))


def _rights(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterable[Finding]:
    old_given, new_given = before.get("AccessRights", _ABSENT), after.get("AccessRights", _ABSENT)
    if same(old_given, new_given) or _user_enrollment(before):
        return
    where = f"{path}.AccessRights"
    old, new = rights_of(before), rights_of(after)
    if new_given is _ABSENT:
        gone = ", ".join(right_names_of(old or 0))
        message = f"AccessRights is gone: outside user enrollment that drops every right the server has ({gone})"
        yield finding("replacement.rights-dropped", message, where=where)
        return
    if new is None:
        message = f"AccessRights {changed(old_given, new_given)}, which is no set of rights"
        yield finding("replacement.access-rights", message, where=where)
        return
    if old is None:
        what = "names no rights" if old_given is _ABSENT else f"has {quoted(old_given)} for rights"
        message = f"the old profile {what}, so these are added: {', '.join(right_names_of(new))}"
        yield finding("replacement.access-rights", message, where=where)
        return
    dropped = ", ".join(right_names_of(old & ~new))
    if added := ", ".join(right_names_of(new & ~old)):
        also = f"; dropped: {dropped}" if dropped else ""
        message = f"AccessRights changes from {old} to {new}; added: {added}{also}"
        yield finding("replacement.access-rights", message, where=where)
    elif old & ~new & _INSTALL:
        message = f"AccessRights changes from {old} to {new}; dropped: {dropped}"
        message += f". Without {right_names_of(_INSTALL)[0]} no later replacement can be sent over MDM"
        yield finding("replacement.rights-dropped", message, where=where)
    else:
        message = f"AccessRights changes from {old} to {new}; dropped, and not to be had again: {dropped}"
        yield finding("replacement.rights-dropped", message, where=where, severity=Severity.INFO)


def _per_user_connections(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterable[Finding]:
    old, new = (_capable(each.get("ServerCapabilities")) for each in (before, after))
    if old != new:
        message = f"{_PER_USER} {'comes' if new else 'goes'}"
        yield finding("replacement.per-user-connections", message, where=f"{path}.ServerCapabilities")


def _capable(capabilities: object) -> bool:
    return isinstance(capabilities, list) and _PER_USER in capabilities


def judge_install_right(old: Profile, via: Via) -> Iterable[Finding]:
    """Over MDM only a server that may install profiles can replace one."""
    path, mdm = mdm_of(old)
    if via != MDM or not mdm or _user_enrollment(mdm):
        return
    rights = rights_of(mdm)
    where = f"{path}.AccessRights"
    if rights is None:
        message = "the old profile does not say whether the server may install profiles; in user enrollment it may"
        yield finding("replacement.no-install-right", message, where=where, severity=Severity.WARNING)
    elif not rights & _INSTALL:
        message = f"AccessRights {rights} of the old profile lacks {right_names_of(_INSTALL)[0]} ({int(_INSTALL)})"
        yield finding("replacement.no-install-right", message, where=where)
