"""An identity as a PKCS#12 file, for one device.

https://developer.apple.com/documentation/devicemanagement/certificatepkcs12
"""

from __future__ import annotations

from typing import ClassVar

from mdmprofile.payloads import types
from mdmprofile.payloads.base import Payload, key, payload, required_key


@payload
class Pkcs12Payload(Payload):
    """A PKCS#12 identity in DER.

    The profile only obfuscates ``password``: whoever reads the profile holds the key. Without one, the device asks
    the user. ``key_is_extractable`` is false unless asked for, so that a Mac's user cannot export the key.
    """

    TYPE: ClassVar[str] = types.PKCS12

    data: bytes = required_key("PayloadContent")
    file_name: str | None = key("PayloadCertificateFileName", default=None)
    password: str | None = key("Password", default=None)
    allow_all_apps_access: bool | None = key("AllowAllAppsAccess", default=None)
    key_is_extractable: bool | None = key("KeyIsExtractable", default=False)
