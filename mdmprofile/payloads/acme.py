"""An identity that the device fetches over ACME, with a key that can be bound to its hardware.

https://developer.apple.com/documentation/devicemanagement/acmecertificate
"""

from __future__ import annotations

from typing import Any, ClassVar

from mdmprofile.payloads import types
from mdmprofile.payloads.base import Payload, key, payload, plist_keys, required_key
from mdmprofile.payloads.names import Subject, SubjectAltName, subject_plist


@payload
class AcmePayload(Payload):
    """Where and how a device orders its certificate.

    ``client_identifier`` is the server's anti-replay value: one per profile. ``key_size`` in bits, or the curve's
    number; ``usage_flags`` is 1 (sign) plus 4 (encrypt).
    """

    TYPE: ClassVar[str] = types.ACME

    directory_url: str = required_key("DirectoryURL")
    client_identifier: str = required_key("ClientIdentifier")
    subject: Subject
    key_type: str = key("KeyType", default="ECSECPrimeRandom")
    key_size: int = key("KeySize", default=384)
    hardware_bound: bool = key("HardwareBound", default=True)
    attest: bool = key("Attest", default=False)
    subject_alt_name: SubjectAltName | None = None
    usage_flags: int | None = key("UsageFlags", default=None)
    extended_key_usage: tuple[str, ...] | None = key("ExtendedKeyUsage", default=None)
    key_is_extractable: bool | None = key("KeyIsExtractable", default=False)
    allow_all_apps_access: bool | None = key("AllowAllAppsAccess", default=None)

    def content(self) -> dict[str, Any]:
        """ACME's keys are flat."""
        flat = plist_keys(self)
        flat["Subject"] = subject_plist(self.subject)
        if self.subject_alt_name is not None:
            flat["SubjectAltName"] = self.subject_alt_name.as_plist()
        return flat
