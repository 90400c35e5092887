"""The other certificate that one signature of a CA makes.

Of an ECDSA signature (r, s) anybody can make (r, n - s), which verifies too (SEC 1 section 4.1.4). So whoever has a
certificate of an EC CA has two, with two fingerprints; where a certificate belongs to one device, both do.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from mdmprofile.certificates import X509_ERRORS, Certificate
from mdmprofile.cms.tlv import der

_BIT_STRING, _SEQUENCE = 0x03, 0x30


def twin_of(certificate: Certificate, issuer: Certificate) -> str:
    """The SHA-256 fingerprint of the certificate's twin, lower-case hexadecimal; empty where it has none."""
    try:
        key = issuer.parsed.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return ""
        parsed = certificate.parsed
        r, s = decode_dss_signature(parsed.signature)
        twin = encode_dss_signature(r, key.curve.group_order - s)
    except X509_ERRORS:
        return ""
    signed = parsed.tbs_certificate_bytes
    ends = der(_BIT_STRING, b"\0" + parsed.signature), der(_BIT_STRING, b"\0" + twin)
    # Between what is signed and the signature is the signature algorithm, as it stands.
    start = certificate.der.index(signed) + len(signed)
    algorithm = certificate.der[start : len(certificate.der) - len(ends[0])]
    return hashlib.sha256(der(_SEQUENCE, signed + algorithm + ends[1])).hexdigest()


def is_exact(certificate: Certificate) -> bool:
    """Whether the signature is written in the one way that DER has: without bits that count for nothing."""
    signature = certificate.parsed.signature
    return certificate.der.endswith(der(_BIT_STRING, b"\0" + signature))
