"""Attached CMS signatures in DER with SHA-256, as Apple's devices expect them around a profile.

https://developer.apple.com/documentation/devicemanagement/configuring-multiple-devices-using-profiles
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import PublicKeyAlgorithmOID

from mdmprofile.certificates import Identity
from mdmprofile.cms.remote import PublicKey, remote_key, sign_with, verifies
from mdmprofile.errors import SigningError


def sign(content: bytes, signer: Identity) -> bytes:
    """``content``, byte for byte, inside SignedData in DER; the signer's chain is embedded.

    Raises ``SigningError`` when the key does not belong to the certificate or the signature cannot be made.
    """
    if not signer.key_matches:
        raise SigningError("the signer's key does not belong to its certificate", where=signer.certificate.source)
    if signer.certificate.parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        raise SigningError(
            "the signer's key is restricted to RSA-PSS, which profiles are not signed with",
            where=signer.certificate.source,
            hint="use an RSA or EC certificate",
        )
    public = signer.key.public_key()
    key = remote_key(public, lambda message: _checked(signer, public, message))
    builder = (
        pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(signer.certificate.parsed, key, hashes.SHA256())
    )
    for each in signer.chain:
        builder = builder.add_certificate(each.parsed)
    # Binary: without it, line ends are changed to CRLF and the signed bytes are no longer the profile's.
    options = [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities]
    try:
        return builder.sign(Encoding.DER, options)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise SigningError(f"the signature cannot be made: {error}", where=signer.certificate.source) from None


def _checked(signer: Identity, public: PublicKey, message: bytes) -> bytes:
    """A signature that the certificate verifies.

    Keys are read without the slow RSA consistency check, or are elsewhere; a damaged one is noticed here, before a
    profile leaves that no device accepts.
    """
    try:
        signature = sign_with(signer.key, message)
    except ValueError:
        signature = b""
    if not verifies(public, message, signature):
        raise SigningError(
            "the signer's key is damaged: its signatures do not verify",
            where=signer.certificate.source,
            hint="export the key again",
        )
    return signature
