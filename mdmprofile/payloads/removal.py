"""The password that lets a user remove a profile whose removal is disallowed.

https://developer.apple.com/documentation/devicemanagement/profileremovalpassword
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mdmprofile.payloads.base import Payload


@dataclass(frozen=True, kw_only=True)
class RemovalPasswordPayload(Payload):
    """Supervised devices and Macs ask for ``password`` before they remove the profile."""

    TYPE: ClassVar[str] = "com.apple.profileRemovalPassword"

    password: str = field(repr=False, metadata={"apple": "RemovalPassword"})
