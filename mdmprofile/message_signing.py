"""``Mdm-Signature`` headers in the shapes that devices send: for simulators, and to try a server.

RFC 5652; https://developer.apple.com/documentation/devicemanagement/mdm (SignMessage)
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mdmprofile.certificates import Identity
from mdmprofile.cms.algorithms import DIGEST_IDS, ECDSA_IDS, NULL, RSA_IDS, digest_named
from mdmprofile.cms.detached import CONTENT_TYPE, DATA, MESSAGE_DIGEST, SIGNED_DATA, SIGNING_TIME, parts_of
from mdmprofile.cms.tlv import der, indefinite
from mdmprofile.errors import SigningError

_INTEGER, _OCTETS, _OID, _UTC_TIME, _TIME, _SEQUENCE, _SET, _FIRST = 0x02, 0x04, 0x06, 0x17, 0x18, 0x30, 0x31, 0xA0
_UTC_TIME_YEARS = range(1950, 2050)


def sign_mdm_message(
    body: bytes, signer: Identity, *, digest: str = "sha1", signing_time: datetime | None = None, ber: bool = True
) -> str:
    """The value of the ``Mdm-Signature`` header for a body: a detached signature in base64.

    By default it has the shape of macOS: BER with indefinite lengths, SHA-1, no signed attributes, and the signer's
    certificate alone; a chain in ``signer`` comes with it. ``digest`` may be ``sha256``, ``sha384`` or ``sha512``.
    With a ``signing_time``, aware UTC, there are signed attributes, as tvOS and some iPads have them. Without ``ber``
    it is DER. Raises ``SigningError`` where the key does not belong to the certificate or cannot sign like that.
    """
    if digest not in DIGEST_IDS:
        raise SigningError(f"{digest!r} is no digest of these signatures", hint=f"use one of {', '.join(DIGEST_IDS)}")
    source = signer.certificate.source
    if not signer.key_matches:
        raise SigningError("the signer's key does not belong to its certificate", where=source)
    attributes = b"" if signing_time is None else _attributes(body, digest, signing_time)
    try:
        signature = _signature(signer, der(_SET, attributes) if attributes else body, digest_named(digest))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningError(f"the signature cannot be made: {error}", where=source) from None
    digest_algorithm = der(_SEQUENCE, DIGEST_IDS[digest] + NULL)
    info = der(
        _SEQUENCE,
        der(_INTEGER, b"\1")
        + der(_SEQUENCE, parts_of(signer.certificate.der).issuer_and_serial)
        + digest_algorithm
        + (der(_FIRST, attributes) if attributes else b"")
        + _signature_algorithm(signer, digest)
        + der(_OCTETS, signature),
    )
    # What devices leave open: everything down to the certificates, but not the signer.
    outer = indefinite if ber else der
    certificates = b"".join(each.der for each in (signer.certificate, *signer.chain))
    signed = outer(
        _SEQUENCE,
        der(_INTEGER, b"\1")
        + der(_SET, digest_algorithm)
        + outer(_SEQUENCE, der(_OID, DATA))
        + outer(_FIRST, certificates)
        + der(_SET, info),
    )
    data = outer(_SEQUENCE, der(_OID, SIGNED_DATA) + outer(_FIRST, signed))
    return base64.b64encode(data).decode()


def _attributes(body: bytes, digest: str, moment: datetime) -> bytes:
    """The contents of the signed attributes, sorted as a SET OF in DER has them (X.690 section 11.6)."""
    moment = moment.astimezone(UTC)
    short = moment.year in _UTC_TIME_YEARS
    text = moment.strftime("%y%m%d%H%M%SZ" if short else "%Y%m%d%H%M%SZ").encode()
    found: Sequence[bytes] = (
        _attribute(CONTENT_TYPE, der(_OID, DATA)),
        _attribute(SIGNING_TIME, der(_UTC_TIME if short else _TIME, text)),
        _attribute(MESSAGE_DIGEST, der(_OCTETS, hashlib.new(digest, body, usedforsecurity=False).digest())),
    )
    return b"".join(sorted(found))


def _attribute(oid: bytes, value: bytes) -> bytes:
    return der(_SEQUENCE, der(_OID, oid) + der(_SET, value))


def _signature(signer: Identity, message: bytes, digest: hashes.HashAlgorithm) -> bytes:
    if isinstance(signer.key, rsa.RSAPrivateKey):
        return signer.key.sign(message, padding.PKCS1v15(), digest)
    return signer.key.sign(message, ec.ECDSA(digest))


def _signature_algorithm(signer: Identity, digest: str) -> bytes:
    if isinstance(signer.key, rsa.RSAPrivateKey):
        return der(_SEQUENCE, RSA_IDS[digest] + NULL)
    return der(_SEQUENCE, ECDSA_IDS[digest])
