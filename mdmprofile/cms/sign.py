"""Attached CMS signatures in DER with SHA-256, as Apple's devices expect them around a profile.

https://developer.apple.com/documentation/devicemanagement/configuring-multiple-devices-using-profiles
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import PublicKeyAlgorithmOID

from mdmprofile.certificates import Identity
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
    _probe(signer)
    builder = (
        pkcs7.PKCS7SignatureBuilder()
        .set_data(content)
        .add_signer(signer.certificate.parsed, signer.key, hashes.SHA256())
    )
    for each in signer.chain:
        builder = builder.add_certificate(each.parsed)
    # Binary: without it, line ends are changed to CRLF and the signed bytes are no longer the profile's.
    options = [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities]
    try:
        return builder.sign(Encoding.DER, options)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise SigningError(f"the signature cannot be made: {error}", where=signer.certificate.source) from None


def _probe(signer: Identity) -> None:
    """Sign something and verify it with the certificate.

    Keys are read without the slow RSA consistency check; a damaged one is noticed here, before it signs a profile that
    no device accepts.
    """
    message, key, public = b"mdmprofile", signer.key, signer.certificate.parsed.public_key()
    try:
        if isinstance(key, rsa.RSAPrivateKey) and isinstance(public, rsa.RSAPublicKey):
            public.verify(
                key.sign(message, padding.PKCS1v15(), hashes.SHA256()), message, padding.PKCS1v15(), hashes.SHA256()
            )
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey):
            public.verify(key.sign(message, ec.ECDSA(hashes.SHA256())), message, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        raise SigningError(
            "the signer's key is damaged: its signatures do not verify", where=signer.certificate.source
        ) from None
