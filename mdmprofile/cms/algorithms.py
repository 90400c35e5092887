"""The algorithms that devices sign their messages with, by the contents of their object identifiers."""

from __future__ import annotations

from typing import NamedTuple

from cryptography.hazmat.primitives import hashes


class SignatureAlgorithm(NamedTuple):
    """What an OID stands for: its name in the RFCs, the kind of key, and the digest that it states itself, if any."""

    name: str
    rsa: bool
    digest: str


DIGESTS: dict[bytes, hashes.HashAlgorithm] = {
    # 1.3.14.3.2.26: what devices use, and what nothing but their messages is accepted with.
    bytes.fromhex("2b0e03021a"): hashes.SHA1(),  # noqa: S303
    bytes.fromhex("608648016503040201"): hashes.SHA256(),
    bytes.fromhex("608648016503040202"): hashes.SHA384(),
    bytes.fromhex("608648016503040203"): hashes.SHA512(),
}
# RFC 8017 appendix C, RFC 5758 section 3.2; those without a digest leave it to the digest algorithm.
SIGNATURES: dict[bytes, SignatureAlgorithm] = {
    bytes.fromhex("2a864886f70d010105"): SignatureAlgorithm("sha1WithRSAEncryption", rsa=True, digest="sha1"),
    bytes.fromhex("2a864886f70d01010b"): SignatureAlgorithm("sha256WithRSAEncryption", rsa=True, digest="sha256"),
    bytes.fromhex("2a864886f70d01010c"): SignatureAlgorithm("sha384WithRSAEncryption", rsa=True, digest="sha384"),
    bytes.fromhex("2a864886f70d01010d"): SignatureAlgorithm("sha512WithRSAEncryption", rsa=True, digest="sha512"),
    bytes.fromhex("2a8648ce3d0401"): SignatureAlgorithm("ecdsa-with-SHA1", rsa=False, digest="sha1"),
    bytes.fromhex("2a8648ce3d040302"): SignatureAlgorithm("ecdsa-with-SHA256", rsa=False, digest="sha256"),
    bytes.fromhex("2a8648ce3d040303"): SignatureAlgorithm("ecdsa-with-SHA384", rsa=False, digest="sha384"),
    bytes.fromhex("2a8648ce3d040304"): SignatureAlgorithm("ecdsa-with-SHA512", rsa=False, digest="sha512"),
    bytes.fromhex("2a864886f70d010101"): SignatureAlgorithm("rsaEncryption", rsa=True, digest=""),
    bytes.fromhex("2a8648ce3d0201"): SignatureAlgorithm("id-ecPublicKey", rsa=False, digest=""),
}
# Curves by their names in the library, and the parameters that stand for them (RFC 5480 section 2.1.1.1).
CURVES = {
    "secp256r1": bytes.fromhex("06082a8648ce3d030107"),
    "secp384r1": bytes.fromhex("06052b81040022"),
    "secp521r1": bytes.fromhex("06052b81040023"),
}
