"""The MDM payload's rules.

https://developer.apple.com/documentation/devicemanagement/mdm
"""

from __future__ import annotations

from collections.abc import Iterable

from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.payloads import types
from mdmprofile.payloads.mdm import ALL_RIGHTS, CAPABILITIES, TOPIC_PREFIX, AccessRights
from mdmprofile.printable import shown
from mdmprofile.profile import Profile
from mdmprofile.rules.registry import ENROLLMENT, rule
from mdmprofile.urls import has_scheme

_REQUIRED = ("IdentityCertificateUUID", "Topic", "ServerURL")
_PINNING = ("ServerURLPinningCertificateUUIDs", "CheckInURLPinningCertificateUUIDs")
_ACCOUNT_DRIVEN = ("EnrollmentMode", "AssignedManagedAppleID", "RequiredAppIDForMDM")
_PER_USER = CAPABILITIES["per-user-connections"]


@rule("mdm.missing-key")
def required_keys(profile: Profile) -> Iterable[Finding]:
    """Identity, topic and server are required."""
    for path, each in profile.of_type(types.MDM):
        for name in _REQUIRED:
            if not isinstance(each.get(name), str) or not each[name]:
                yield finding("mdm.missing-key", f"{name} is missing or empty", where=f"{path}.{name}")


@rule("mdm.topic-prefix")
def topic_prefix(profile: Profile) -> Iterable[Finding]:
    """The topic begins with com.apple.mgmt.; devices answer 12022 otherwise."""
    for path, each in profile.of_type(types.MDM):
        topic = each.get("Topic")
        if isinstance(topic, str) and topic and not (topic.startswith(TOPIC_PREFIX) and topic != TOPIC_PREFIX):
            message = f"the topic {shown(topic)} does not begin with {TOPIC_PREFIX}"
            yield finding("mdm.topic-prefix", message, where=f"{path}.Topic")


@rule("mdm.url-scheme")
def url_scheme(profile: Profile) -> Iterable[Finding]:
    """ServerURL and CheckInURL are https; devices answer 12034 otherwise."""
    for path, each in profile.of_type(types.MDM):
        for name in ("ServerURL", "CheckInURL"):
            # An absent or empty ServerURL is a missing key; an empty CheckInURL is a wrong one.
            given = name in each and (each[name] != "" or name == "CheckInURL")
            if given and not has_scheme(each[name], "https"):
                message = f"{name} {shown(each[name])} is not an https:// URL"
                yield finding("mdm.url-scheme", message, where=f"{path}.{name}")


@rule("mdm.access-rights")
def access_rights(profile: Profile) -> Iterable[Finding]:
    """Rights are known bits, not 0, and 2 needs 1 as 128 needs 64; devices answer 12000 otherwise."""
    for path, each in profile.of_type(types.MDM):
        if "AccessRights" not in each or "ManagedAppleID" in each:
            continue
        problem = _rights_problem(each["AccessRights"])
        if problem:
            yield finding("mdm.access-rights", problem, where=f"{path}.AccessRights")


def _rights_problem(rights: object) -> str:
    if isinstance(rights, bool) or not isinstance(rights, int):
        return "AccessRights is not a number"
    if not 0 < rights <= ALL_RIGHTS:
        # Not every number can be shown: Python writes none of more than 4,300 digits.
        return f"AccessRights is not between 1 and {ALL_RIGHTS}"
    given = AccessRights(rights)
    for right, needed in (
        (AccessRights.INSTALL_PROFILES, AccessRights.INSPECT_PROFILES),
        (AccessRights.INSTALL_PROVISIONING_PROFILES, AccessRights.INSPECT_PROVISIONING_PROFILES),
    ):
        if right in given and needed not in given:
            return f"AccessRights {rights} has {int(right)} without {int(needed)}"
    return ""


@rule("mdm.identity-reference")
def identity_reference(profile: Profile) -> Iterable[Finding]:
    """IdentityCertificateUUID is the UUID of an identity payload of this profile."""
    identities = _uuids(profile, types.IDENTITIES)
    for path, each in profile.of_type(types.MDM):
        uuid = each.get("IdentityCertificateUUID")
        if uuid and uuid not in identities:
            message = f"IdentityCertificateUUID {shown(uuid)} is no identity payload of this profile"
            yield finding("mdm.identity-reference", message, where=f"{path}.IdentityCertificateUUID")


@rule("mdm.pinning-reference")
def pinning_reference(profile: Profile) -> Iterable[Finding]:
    """Pinning UUIDs are certificate payloads of this profile."""
    certificates = _uuids(profile, types.CERTIFICATES)
    for path, each in profile.of_type(types.MDM):
        for name in _PINNING:
            pins = each.get(name, [])
            for index, uuid in enumerate(pins if isinstance(pins, list) else [pins]):
                if uuid not in certificates:
                    message = f"{shown(uuid)} is no certificate payload of this profile"
                    yield finding("mdm.pinning-reference", message, where=f"{path}.{name}[{index}]")


def _uuids(profile: Profile, kinds: tuple[str, ...]) -> list[str]:
    """The UUIDs of the payloads of these types; a list, because what is looked up in it can be anything."""
    found = (each.get("PayloadUUID") for _, each in profile.of_type(*kinds))
    return [uuid for uuid in found if isinstance(uuid, str)]


@rule("mdm.multiple")
def multiple(profile: Profile) -> Iterable[Finding]:
    """One MDM payload a profile."""
    for path, _ in profile.of_type(types.MDM)[1:]:
        yield finding("mdm.multiple", "the profile has more than one MDM payload", where=path)


@rule("mdm.capabilities", "mdm.no-per-user-connections")
def capabilities(profile: Profile) -> Iterable[Finding]:
    """Capabilities are known and unique; without per-user-connections no Mac can be managed."""
    for path, each in profile.of_type(types.MDM):
        where = f"{path}.ServerCapabilities"
        given = each.get("ServerCapabilities", [])
        if not isinstance(given, list) or not all(isinstance(value, str) for value in given):
            yield finding("mdm.capabilities", "ServerCapabilities is not a list of text", where=where)
            continue
        if len(set(given)) != len(given):
            yield finding("mdm.capabilities", "ServerCapabilities holds a value twice", where=where)
        for unknown in sorted(set(given) - set(CAPABILITIES.values())):
            yield finding("mdm.capabilities", f"{shown(unknown)} is no capability that devices know", where=where)
        if _PER_USER not in given:
            yield finding("mdm.no-per-user-connections", f"{_PER_USER} is not among them", where=where)


@rule("mdm.sign-message-cost")
def sign_message_cost(profile: Profile) -> Iterable[Finding]:
    """SignMessage costs 2 KB a message."""
    for path, each in profile.of_type(types.MDM):
        if each.get("SignMessage") is True:
            message = "SignMessage is on: every message from a device carries about 2 KB more"
            yield finding("mdm.sign-message-cost", message, where=f"{path}.SignMessage")


@rule("mdm.enrollment-mode", "mdm.removed-key", "profile.value")
def account_driven(profile: Profile) -> Iterable[Finding]:
    """Keys that only account-driven enrollment knows; elsewhere devices refuse EnrollmentMode with 4022."""
    for path, each in profile.of_type(types.MDM):
        # Together they are what a server answers an account-driven enrollment with.
        severity = Severity.INFO if {"EnrollmentMode", "AssignedManagedAppleID"} <= set(each) else None
        for name in _ACCOUNT_DRIVEN:
            if name in each:
                message = f"{name} belongs to account-driven enrollment only"
                yield finding("mdm.enrollment-mode", message, where=f"{path}.{name}", severity=severity)
        if each.get("EnrollmentMode", "BYOD") not in ("BYOD", "ADDE"):
            yield finding("profile.value", "EnrollmentMode is neither BYOD nor ADDE", where=f"{path}.EnrollmentMode")
        if "ManagedAppleID" in each:
            yield finding("mdm.removed-key", "ManagedAppleID is no longer read", where=f"{path}.ManagedAppleID")


@rule("profile.user-scope")
def user_scope(profile: Profile) -> Iterable[Finding]:
    """User scope makes the installing user of a Mac a managed one."""
    if profile.of_type(types.MDM) and profile.plist.get("PayloadScope") == "User":
        yield finding("profile.user-scope", "an enrollment profile is in User scope", where="PayloadScope")


@rule("mdm.missing-key", "identity.missing", on=ENROLLMENT)
def holds_mdm_and_identity(profile: Profile) -> Iterable[Finding]:
    """An enrollment profile has an MDM payload and an identity."""
    if not profile.of_type(types.MDM):
        hint = "add a com.apple.mdm payload"
        yield finding("mdm.missing-key", "the profile has no MDM payload", where="PayloadContent", hint=hint)
    if not profile.of_type(*types.IDENTITIES):
        yield finding("identity.missing", "the profile has no identity payload", where="PayloadContent")
