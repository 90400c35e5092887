"""An identity that the device fetches over SCEP.

https://developer.apple.com/documentation/devicemanagement/scep
"""

from __future__ import annotations

from typing import Any, ClassVar

from mdmprofile.payloads import types
from mdmprofile.payloads.base import Payload, key, payload, plist_keys, required_key
from mdmprofile.payloads.names import Subject, SubjectAltName, subject_plist

SIGN, ENCRYPT = 1, 4


@payload
class ScepPayload(Payload):
    """Where and how a device enrolls for its certificate.

    ``key_size`` in bits; ``key_usage`` is 1 (sign) plus 4 (encrypt); ``ca_fingerprint`` is the SHA-1 (20 bytes) or
    MD5 (16 bytes) of the CA certificate's DER; ``retry_delay`` in seconds. Devices make 1024-bit exportable keys when
    key size and extractability are left out, so both are always written.
    """

    TYPE: ClassVar[str] = types.SCEP

    url: str = required_key("URL")
    name: str | None = key("Name", default=None)
    subject: Subject | None = None
    challenge: str | None = key("Challenge", default=None)
    key_size: int | None = key("Keysize", default=2048)
    key_type: str | None = key("Key Type", default="RSA")
    key_usage: int | None = key("Key Usage", default=SIGN | ENCRYPT)
    ca_fingerprint: bytes | None = key("CAFingerprint", default=None)
    retries: int | None = key("Retries", default=None)
    retry_delay: int | None = key("RetryDelay", default=None)
    subject_alt_name: SubjectAltName | None = None
    key_is_extractable: bool | None = key("KeyIsExtractable", default=False)
    allow_all_apps_access: bool | None = key("AllowAllAppsAccess", default=None)

    def content(self) -> dict[str, Any]:
        """SCEP's keys sit one level down, in a dictionary of their own."""
        inner = plist_keys(self)
        if self.subject:
            inner["Subject"] = subject_plist(self.subject)
        if self.subject_alt_name is not None:
            inner["SubjectAltName"] = self.subject_alt_name.as_plist()
        return {"PayloadContent": inner}
