"""The algorithms that devices sign their messages with, by the contents of their AlgorithmIdentifiers.

Each may have NULL for parameters, or none (RFC 8017 appendix A.2, RFC 5754 section 2).
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives import hashes


class SignatureAlgorithm(NamedTuple):
    """What one stands for: its name in the RFCs, the kind of key, and the digest and curve that it states, if any."""

    name: str
    rsa: bool
    digest: str
    curve: str = ""


NULL = b"\5\0"
# What is put into a signature: with NULL for digests and RSA, without for ECDSA.
DIGEST_IDS = {
    # What devices use, and what nothing but their messages is accepted with.
    "sha1": bytes.fromhex("06052b0e03021a"),
    "sha256": bytes.fromhex("0609608648016503040201"),
    "sha384": bytes.fromhex("0609608648016503040202"),
    "sha512": bytes.fromhex("0609608648016503040203"),
}
# RFC 8017 appendix C.
RSA_IDS = {
    "sha1": bytes.fromhex("06092a864886f70d010105"),
    "sha256": bytes.fromhex("06092a864886f70d01010b"),
    "sha384": bytes.fromhex("06092a864886f70d01010c"),
    "sha512": bytes.fromhex("06092a864886f70d01010d"),
}
# RFC 5758 section 3.2.
ECDSA_IDS = {
    "sha1": bytes.fromhex("06072a8648ce3d0401"),
    "sha256": bytes.fromhex("06082a8648ce3d040302"),
    "sha384": bytes.fromhex("06082a8648ce3d040303"),
    "sha512": bytes.fromhex("06082a8648ce3d040304"),
}
# Those of the keys, which leave the digest to the digest algorithm; RFC 5480 section 2.1.1 has the curves.
RSA_KEY = bytes.fromhex("06092a864886f70d010101")
_EC_KEY = bytes.fromhex("06072a8648ce3d0201")
CURVES = {
    "secp256r1": bytes.fromhex("06082a8648ce3d030107"),
    "secp384r1": bytes.fromhex("06052b81040022"),
    "secp521r1": bytes.fromhex("06052b81040023"),
}
_CLASSES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - see above
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def digest_named(name: str) -> hashes.HashAlgorithm:
    """The digest of this name. Raises ``KeyError``."""
    return _CLASSES[name]


DIGESTS = {oid + end: _CLASSES[name] for name, oid in DIGEST_IDS.items() for end in (b"", NULL)}
SIGNATURES = (
    {
        oid + end: SignatureAlgorithm(f"{name}WithRSAEncryption", rsa=True, digest=name)
        for name, oid in RSA_IDS.items()
        for end in (b"", NULL)
    }
    | {
        oid + end: SignatureAlgorithm(f"ecdsa-with-{name.upper()}", rsa=False, digest=name)
        for name, oid in ECDSA_IDS.items()
        for end in (b"", NULL)
    }
    | {RSA_KEY + end: SignatureAlgorithm("rsaEncryption", rsa=True, digest="") for end in (b"", NULL)}
    | {
        _EC_KEY + end: SignatureAlgorithm("id-ecPublicKey", rsa=False, digest="", curve=curve)
        for curve, end in (("", b""), ("", NULL), *CURVES.items())
    }
)
