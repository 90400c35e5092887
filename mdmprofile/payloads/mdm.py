"""The MDM payload, and the rights and capabilities it names.

https://developer.apple.com/documentation/devicemanagement/mdm
"""

from __future__ import annotations

from enum import IntFlag
from typing import ClassVar

from mdmprofile.payloads import types
from mdmprofile.payloads.base import Payload, key, payload, required_key

TOPIC_PREFIX = "com.apple.mgmt."


class AccessRights(IntFlag):
    """What the server may ask of a device; a replacement may drop rights, never add one."""

    INSPECT_PROFILES = 1
    INSTALL_PROFILES = 2
    LOCK_AND_PASSCODE = 4
    ERASE = 8
    DEVICE_INFORMATION = 16
    NETWORK_INFORMATION = 32
    INSPECT_PROVISIONING_PROFILES = 64
    INSTALL_PROVISIONING_PROFILES = 128
    INSPECT_APPS = 256
    RESTRICTIONS = 512
    SECURITY = 1024
    SETTINGS = 2048
    MANAGE_APPS = 4096


ALL_RIGHTS = 8191


def right_names() -> tuple[str, ...]:
    """The rights as a config names them, lowest bit first: ``inspect-profiles`` and so on."""
    return tuple(str(right.name).lower().replace("_", "-") for right in AccessRights)


CAPABILITIES = {
    "per-user-connections": "com.apple.mdm.per-user-connections",
    "bootstraptoken": "com.apple.mdm.bootstraptoken",
    "token": "com.apple.mdm.token",
}


@payload
class MdmPayload(Payload):
    """Which server manages the device, with which identity, and what it may do.

    ``topic``, both URLs, the account keys and per-user-connections cannot change when the profile is replaced.
    """

    TYPE: ClassVar[str] = types.MDM

    identity_certificate_uuid: str = required_key("IdentityCertificateUUID")
    topic: str = required_key("Topic")
    server_url: str = required_key("ServerURL")
    checkin_url: str | None = key("CheckInURL", default=None)
    access_rights: int | None = key("AccessRights", default=ALL_RIGHTS)
    server_capabilities: tuple[str, ...] | None = key("ServerCapabilities", default=None)
    sign_message: bool | None = key("SignMessage", default=None)
    check_out_when_removed: bool | None = key("CheckOutWhenRemoved", default=True)
    use_development_apns: bool | None = key("UseDevelopmentAPNS", default=None)
    managed_apple_id: str | None = key("ManagedAppleID", default=None)
    assigned_managed_apple_id: str | None = key("AssignedManagedAppleID", default=None)
    enrollment_mode: str | None = key("EnrollmentMode", default=None)
    required_app_id: int | None = key("RequiredAppIDForMDM", default=None)
    server_pinning_uuids: tuple[str, ...] | None = key("ServerURLPinningCertificateUUIDs", default=None)
    checkin_pinning_uuids: tuple[str, ...] | None = key("CheckInURLPinningCertificateUUIDs", default=None)
    pinning_revocation_check_required: bool | None = key("PinningRevocationCheckRequired", default=None)
    prompt_for_bootstrap_token: bool | None = key("PromptUserToAllowBootstrapTokenForAuthentication", default=None)
