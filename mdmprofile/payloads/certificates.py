"""Certificates without a private key: root, intermediate and PEM payloads.

https://developer.apple.com/documentation/devicemanagement/certificateroot
https://developer.apple.com/documentation/devicemanagement/certificatepkcs1
https://developer.apple.com/documentation/devicemanagement/certificatepem
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mdmprofile.payloads.base import Payload, key, required_key


@dataclass(frozen=True, kw_only=True)
class CertificatePayload(Payload):
    """A certificate; ``data`` is DER, except in a PEM payload."""

    data: bytes = required_key("PayloadContent")
    file_name: str | None = key("PayloadCertificateFileName")


@dataclass(frozen=True, kw_only=True)
class RootPayload(CertificatePayload):
    """A root certificate in DER. As part of an enrollment profile the device trusts it fully."""

    TYPE: ClassVar[str] = "com.apple.security.root"


@dataclass(frozen=True, kw_only=True)
class Pkcs1Payload(CertificatePayload):
    """A certificate in DER; what an intermediate goes into."""

    TYPE: ClassVar[str] = "com.apple.security.pkcs1"


@dataclass(frozen=True, kw_only=True)
class PemPayload(CertificatePayload):
    """A certificate in PEM."""

    TYPE: ClassVar[str] = "com.apple.security.pem"


CERTIFICATE_TYPES = (RootPayload.TYPE, Pkcs1Payload.TYPE, PemPayload.TYPE)
