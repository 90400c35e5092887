"""Certificates without a private key: root, intermediate and PEM payloads.

https://developer.apple.com/documentation/devicemanagement/certificateroot
https://developer.apple.com/documentation/devicemanagement/certificatepkcs1
https://developer.apple.com/documentation/devicemanagement/certificatepem
"""

from __future__ import annotations

from typing import ClassVar

from mdmprofile.payloads import types
from mdmprofile.payloads.base import Payload, key, payload, required_key


@payload
class CertificatePayload(Payload):
    """A certificate; ``data`` is DER, except in a PEM payload."""

    data: bytes = required_key("PayloadContent")
    file_name: str | None = key("PayloadCertificateFileName", default=None)


@payload
class RootPayload(CertificatePayload):
    """A root certificate in DER. As part of an enrollment profile the device trusts it fully."""

    TYPE: ClassVar[str] = types.ROOT


@payload
class Pkcs1Payload(CertificatePayload):
    """A certificate in DER; what an intermediate goes into."""

    TYPE: ClassVar[str] = types.PKCS1


@payload
class PemPayload(CertificatePayload):
    """A certificate in PEM."""

    TYPE: ClassVar[str] = types.PEM
