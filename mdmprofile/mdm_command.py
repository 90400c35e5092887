"""The MDM command that has a device install a profile.

https://developer.apple.com/documentation/devicemanagement/install-profile-command
"""

from __future__ import annotations

import re
import uuid

from mdmprofile.errors import ProfileError
from mdmprofile.propertylist import write_plist

INSTALL_PROFILE = "InstallProfile"
# A server may use it as the name of a file.
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def fresh_command_uuid() -> str:
    """A random UUID in upper case: what a device answers a command with, so no two commands may share one."""
    return str(uuid.uuid4()).upper()


def is_command_uuid(text: str) -> bool:
    """Whether the text is a UUID as it is usually written, 8-4-4-4-12 hexadecimal digits."""
    return _UUID.fullmatch(text) is not None


def install_profile(profile: bytes, command_uuid: str) -> bytes:
    """The command as an XML property list, whose payload is exactly the bytes of ``profile``, signed or not.

    Raises ``ProfileError`` where ``command_uuid`` is no UUID.
    """
    if not is_command_uuid(command_uuid):
        raise ProfileError("is no UUID", where="CommandUUID", hint="write it as 8-4-4-4-12 hexadecimal digits")
    return write_plist(
        {"Command": {"Payload": profile, "RequestType": INSTALL_PROFILE}, "CommandUUID": command_uuid},
    )
