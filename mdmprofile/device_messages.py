"""Which device a message is from, as the message says: check-in messages, and what a device answers to commands.

https://developer.apple.com/documentation/devicemanagement/check-in
https://developer.apple.com/documentation/devicemanagement/commands-and-queries
"""

from __future__ import annotations

from typing import NamedTuple

from mdmprofile.errors import NotDeviceMessageError, ProfileError
from mdmprofile.propertylist import looks_like_plist, read_plist

AUTHENTICATE = "Authenticate"
LONGEST = 255
_PLACE = "the message's body"


class DeviceMessage(NamedTuple):
    """What a message says of its device.

    ``udid`` is the device's, ``enrollment_id`` stands in its place in a user enrollment; at least one of them is there.
    ``message_type`` is the MessageType of a check-in message, and empty for the answer to a command, which has a
    ``status``. ``serial`` is the SerialNumber, which few messages have.
    """

    udid: str
    enrollment_id: str
    message_type: str
    status: str
    serial: str

    @property
    def identifier(self) -> str:
        """What the device is known by: its UDID, else its EnrollmentID."""
        return self.udid or self.enrollment_id

    @property
    def authenticates(self) -> bool:
        """Whether it is ``Authenticate``, with which an enrollment begins."""
        return self.message_type == AUTHENTICATE


def read_message(body: bytes) -> DeviceMessage:
    """Read what a message says of its device, from XML or binary property-list bytes, which the caller has bounded.

    Raises ``NotDeviceMessageError`` for anything else than a message of a device.
    """
    if not body:
        raise NotDeviceMessageError("is empty", where=_PLACE, hint="refuse the message")
    if not looks_like_plist(body):
        raise NotDeviceMessageError("is not a property list", where=_PLACE, hint="refuse the message")
    try:
        value = read_plist(body, source=_PLACE, unique_keys=True)
    except ProfileError as error:
        raise NotDeviceMessageError(error.message, where=_PLACE, hint="refuse the message") from None
    if not isinstance(value, dict):
        raise NotDeviceMessageError("is no dictionary", where=_PLACE, hint="refuse the message")
    # On the user channel there is a UserID beside it; the certificate is the device's there too.
    udid, enrollment_id = _text(value, "UDID"), _text(value, "EnrollmentID")
    if not udid and not enrollment_id:
        message = "names no device: it has neither UDID nor EnrollmentID"
        raise NotDeviceMessageError(message, where=_PLACE, hint="refuse the message")
    message_type, status = _text(value, "MessageType"), _text(value, "Status")
    if not message_type and not status:
        message = "is neither a check-in message nor an answer: it has neither MessageType nor Status"
        raise NotDeviceMessageError(message, where=_PLACE, hint="refuse the message")
    return DeviceMessage(udid, enrollment_id, message_type, status, _text(value, "SerialNumber"))


def _text(value: dict[str, object], key: str) -> str:
    """The text under a key, empty where there is none."""
    found = value.get(key, "")
    if not isinstance(found, str):
        raise NotDeviceMessageError(f"has {key}, which is no text", where=_PLACE, hint="refuse the message")
    # Whatever stores or logs it is not to be surprised: databases that compare without accents, or fold wide letters,
    # would take one device for another.
    if len(found) > LONGEST or not found.isascii() or not found.isprintable() or found != found.strip():
        message = f"has {key} with more than {LONGEST} characters, or with some that are not printable ASCII"
        raise NotDeviceMessageError(message, where=_PLACE, hint="refuse the message")
    return found
