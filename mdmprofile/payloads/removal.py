"""The password that lets a user remove a profile whose removal is disallowed.

https://developer.apple.com/documentation/devicemanagement/profileremovalpassword
"""

from __future__ import annotations

from typing import ClassVar

from mdmprofile.payloads import types
from mdmprofile.payloads.base import Payload, payload, required_key


@payload
class RemovalPasswordPayload(Payload):
    """Supervised devices and Macs ask for ``password`` before they remove the profile."""

    TYPE: ClassVar[str] = types.REMOVAL_PASSWORD

    password: str = required_key("RemovalPassword")
