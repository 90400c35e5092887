"""Devices, what they send, and signatures put together by hand: for what no tool makes."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.algorithms import DIGEST_IDS, ECDSA_IDS, NULL, RSA_IDS, digest_named
from mdmprofile.cms.tlv import der, indefinite
from pki import DAY, NOW, Entity, Key, issue, root_ca, rsa_key

IDLE = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
    b'<plist version="1.0">\n<dict>\n\t<key>Status</key>\n\t<string>Idle</string>\n'
    b"\t<key>UDID</key>\n\t<string>00008030-000A11111111802E</string>\n</dict>\n</plist>\n"
)
CLIENT = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])


@functools.cache
def device_ca() -> Entity:
    """The CA that issues the devices' identities."""
    return root_ca("Device CA", key=rsa_key())


def device(
    subject: x509.Name | str = "device",
    issuer: Entity | None = None,
    *,
    key: Key | None = None,
    start: datetime = NOW - DAY,
    end: datetime = NOW + 365 * DAY,
    extensions: Sequence[x509.ExtensionType] = (CLIENT,),
) -> Entity:
    """A device's identity, from the device CA unless another is given."""
    issuer = issuer or device_ca()
    return issue(subject, issuer, key=key or rsa_key(), start=start, end=end, extensions=extensions)


def identity(entity: Entity, *chain: Entity) -> Identity:
    """The same as the project's own value."""
    return Identity(entity.ours, entity.key, tuple(each.ours for each in chain))


@dataclass(frozen=True)
class Parts:
    """The elements of a detached signature, each in DER; ``None`` leaves one out.

    ``ber`` leaves every length open that may be: of everything that holds others, but what is signed itself.
    """

    signers: Sequence[bytes]
    certificates: Sequence[bytes] | None
    digests: Sequence[bytes]
    version: int = 1
    content_type: bytes = bytes.fromhex("06092a864886f70d010701")
    content: bytes = b""
    revocation: bytes = b""
    ber: bool = True
    trailing: bytes = b""

    def encoded(self) -> bytes:
        """The ContentInfo."""
        outer = indefinite if self.ber else der
        certificates = b"" if self.certificates is None else outer(0xA0, b"".join(self.certificates))
        signed = outer(
            0x30,
            der(0x02, bytes((self.version,)))
            + outer(0x31, b"".join(outer(0x30, each) for each in self.digests))
            + outer(0x30, self.content_type + self.content)
            + certificates
            + self.revocation
            + outer(0x31, b"".join(self.signers)),
        )
        return outer(0x30, bytes.fromhex("06092a864886f70d010702") + outer(0xA0, signed)) + self.trailing

    def header(self) -> str:
        """The value of Mdm-Signature."""
        return base64.b64encode(self.encoded()).decode()


def signer_info(
    entity: Entity,
    body: bytes,
    *,
    digest: str = "sha1",
    attributes: Sequence[bytes] | None = None,
    sid: bytes | None = None,
    version: int = 1,
    digest_id: bytes | None = None,
    algorithm: bytes | None = None,
    unsigned: bytes = b"",
    ber: bool = True,
    key: Key | None = None,
) -> bytes:
    """A SignerInfo over the body, or over the attributes where there are any (as they stand, unsorted)."""
    outer = indefinite if ber else der
    key = key or entity.key
    message = body if attributes is None else der(0x31, b"".join(attributes))
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(message, padding.PKCS1v15(), digest_named(digest))
        named = RSA_IDS[digest] + NULL
    else:
        signature = key.sign(message, ec.ECDSA(digest_named(digest)))
        named = ECDSA_IDS[digest]
    return outer(
        0x30,
        der(0x02, bytes((version,)))
        + (sid if sid is not None else outer(0x30, issuer_and_serial(entity)))
        + outer(0x30, digest_id if digest_id is not None else DIGEST_IDS[digest] + NULL)
        + (outer(0xA0, b"".join(attributes)) if attributes is not None else b"")
        + outer(0x30, algorithm if algorithm is not None else named)
        + der(0x04, signature)
        + unsigned,
    )


def issuer_and_serial(entity: Entity) -> bytes:
    """What names the certificate in a SignerInfo."""
    serial = entity.certificate.serial_number
    return entity.certificate.issuer.public_bytes() + der(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, "big"))


def attribute(oid: int, *values: bytes) -> bytes:
    """A signed attribute of PKCS #9 (RFC 2985): 3 contentType, 4 messageDigest, 5 signingTime."""
    return der(0x30, bytes.fromhex(f"06092a864886f70d0109{oid:02x}") + der(0x31, b"".join(values)))


CONTENT_TYPE = attribute(3, bytes.fromhex("06092a864886f70d010701"))


def message_digest(body: bytes, digest: str = "sha1") -> bytes:
    """The attribute that ties the attributes to a body."""
    return attribute(4, der(0x04, hashlib.new(digest, body, usedforsecurity=False).digest()))


def parts(entity: Entity, body: bytes, *, digest: str = "sha1", info: bytes | None = None) -> Parts:
    """The parts of the usual signature."""
    info = info if info is not None else signer_info(entity, body, digest=digest)
    return Parts(signers=(info,), certificates=(entity.der,), digests=(DIGEST_IDS[digest] + NULL,))


def twin_certificate(entity: Entity, curve: ec.EllipticCurve) -> Certificate:
    """The twin itself. One of s and n - s is a byte longer than the other, so lengths change all around."""
    r, s = decode_dss_signature(entity.certificate.signature)
    changed = encode_dss_signature(r, curve.group_order - s)
    tbs = entity.certificate.tbs_certificate_bytes
    start = entity.der.index(tbs) + len(tbs)
    algorithm = entity.der[start : start + 2 + entity.der[start + 1]]
    return Certificate(der(0x30, tbs + algorithm + der(0x03, b"\0" + changed)))
