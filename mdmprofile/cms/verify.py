"""Who signed: whether the content is what the signer saw, and the signature the certificate's.

Whether the signer is to be trusted is another question, answered by ``trust``.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mdmprofile.certificates import X509_ERRORS, Certificate
from mdmprofile.cms.structure import SignedData, SignerInfo, parse_signed_data
from mdmprofile.errors import CertificateError, SignatureFormatError
from mdmprofile.findings import Finding, finding, has_errors
from mdmprofile.shared import shared_certificate

_DIGESTS: dict[str, hashes.HashAlgorithm] = {
    "md5": hashes.MD5(),  # noqa: S303 - recognised so that it can be named and refused
    "sha1": hashes.SHA1(),  # noqa: S303
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
_WEAK = ("md5", "sha1")
_ALGORITHMS = ("rsassa_pkcs1v15", "rsassa_pss", "ecdsa", "ed25519")
_UNUSUAL = {"rsassa_pss": "RSA-PSS", "ed25519": "Ed25519"}
_SET = b"\x31"


@dataclass(frozen=True)
class Signer:
    """One signer: its certificate where embedded, and what is wrong with its signature (empty when nothing).

    ``signature_algorithm`` is ``rsassa_pkcs1v15``, ``rsassa_pss``, ``ecdsa``, ``ed25519`` or one that is not verified;
    ``signed_attributes`` are the names of what was signed beside the content, none when the content alone was.
    """

    certificate: Certificate | None
    digest: str
    signing_time: datetime | None
    problem: str
    signature_algorithm: str
    signed_attributes: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether the signature is intact and belongs to the certificate."""
        return not self.problem


@dataclass(frozen=True)
class Signature:
    """A verified structure: the exact signed bytes, who signed, and every certificate it carries."""

    content: bytes = field(repr=False)
    signers: tuple[Signer, ...]
    certificates: tuple[Certificate, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the signature; trust is not judged."""
        found = [
            finding(
                "signature.invalid",
                f"the signature of {_who(each)} is not valid: {each.problem}",
                where="signature",
            )
            for each in self.signers
            if not each.valid
        ]
        found += [
            finding("signature.weak-digest", f"the signature uses {each.digest.upper()}", where="signature")
            for each in self.signers
            if each.digest in _WEAK
        ]
        if len(self.signers) != 1:
            message = f"there are {len(self.signers)} signers where devices expect one"
            known = [each.certificate for each in self.signers if each.certificate]
            if len(set(known)) < len(known):
                message += "; one of them signs more than once"
            found.append(finding("signature.invalid", message, where="signature"))
        found += [
            finding(
                "signature.unusual-algorithm",
                f"the signature uses {_UNUSUAL[each.signature_algorithm]}",
                where="signature",
            )
            for each in self.signers
            if each.valid and each.signature_algorithm in _UNUSUAL
        ]
        return tuple(found)


def verify(data: bytes, *, source: str = "") -> Signature:
    """Open attached CMS SignedData and check every signature in it.

    A broken signature is no exception but a ``problem`` of its signer. Raises ``SignatureFormatError`` when the
    bytes are not attached SignedData at all, or hold another signature where the profile belongs.
    """
    signed = parse_signed_data(data, source=source)
    if signed.content is None:
        raise SignatureFormatError("is a detached signature or a certificate bundle: it holds no content", where=source)
    certificates = tuple(_readable(signed.certificates, source))
    signature = Signature(
        content=signed.content,
        signers=tuple(_check(each, signed, certificates) for each in signed.signers),
        certificates=certificates,
    )
    # A broken signature is worse news than what is inside it.
    if is_signed(signature.content) and not has_errors(signature.findings):
        raise SignatureFormatError(
            "was signed twice: inside the signature is another one, where devices expect the profile",
            where=source,
            hint="take the outer one off: openssl cms -verify -noverify -inform DER -in FILE -out INNER",
        )
    return signature


def _readable(ders: Iterable[bytes], source: str) -> Iterator[Certificate]:
    """The embedded certificates that can be read; a signature needs its signer's alone."""
    for number, der in enumerate(ders, 1):
        with contextlib.suppress(CertificateError):
            yield shared_certificate(der, f"{source} signature #{number}")


def _check(info: SignerInfo, signed: SignedData, certificates: tuple[Certificate, ...]) -> Signer:
    certificate = next((each for each in certificates if _names(info, each)), None)
    problem = _problem(info, signed, certificate)
    algorithm, attributes = info.signature_algorithm, info.attribute_names
    return Signer(certificate, info.digest, info.signing_time, problem, algorithm, attributes)


def _names(info: SignerInfo, certificate: Certificate) -> bool:
    """Whether the signer's identifier names this certificate."""
    if info.issuer is not None:
        parsed = certificate.parsed
        return parsed.serial_number == info.serial and parsed.issuer.public_bytes() == info.issuer
    return info.key_identifier is not None and certificate.subject_key_identifier == info.key_identifier


def _problem(info: SignerInfo, signed: SignedData, certificate: Certificate | None) -> str:
    content = signed.content or b""
    if certificate is None:
        return "the signer's certificate is not embedded"
    if info.signature_algorithm not in _ALGORITHMS:
        return f"signatures with {info.signature_algorithm} are not verified; sign with RSA or ECDSA over SHA-256"
    if info.digest not in _DIGESTS or info.signature_digest not in {None, info.digest}:
        return f"digest {info.digest} is not supported or contradicts the signature algorithm"
    if info.signed_bytes is not None:
        if info.message_digest is None:
            return "its signed attributes lack the digest of the content"
        # The attributes' signature says nothing of the content; only this comparison ties the two together.
        if info.message_digest != hashlib.new(info.digest, content, usedforsecurity=False).digest():
            return "the content was changed after it was signed"
        if info.attribute_content_type != signed.content_type:
            return "the signed content type is not the content's"
    elif signed.content_type != "data":
        return "content of another type than data needs signed attributes"
    elif content.startswith(_SET):
        # Somebody else's signed attributes, shown as content, would carry that signer's valid signature.
        return "content that could be signed attributes needs signed attributes of its own"
    try:
        _verify(certificate, info, content if info.signed_bytes is None else info.signed_bytes)
    except (InvalidSignature, *X509_ERRORS):
        return "the signature does not match the content and the certificate"
    return ""


def _verify(certificate: Certificate, info: SignerInfo, message: bytes) -> None:
    key = certificate.parsed.public_key()
    digest = _DIGESTS[info.digest]
    if isinstance(key, rsa.RSAPublicKey) and info.signature_algorithm == "rsassa_pss":
        scheme = padding.PSS(padding.MGF1(_DIGESTS[info.pss_mask_digest or ""]), info.pss_salt_length or 0)
        key.verify(info.signature, message, scheme, digest)
    elif isinstance(key, rsa.RSAPublicKey) and info.signature_algorithm == "rsassa_pkcs1v15":
        key.verify(info.signature, message, padding.PKCS1v15(), digest)
    elif isinstance(key, ec.EllipticCurvePublicKey) and info.signature_algorithm == "ecdsa":
        key.verify(info.signature, message, ec.ECDSA(digest))
    elif isinstance(key, ed25519.Ed25519PublicKey) and info.signature_algorithm == "ed25519":
        key.verify(info.signature, message)
    else:
        raise InvalidSignature


def _who(signer: Signer) -> str:
    return signer.certificate.name if signer.certificate else "an unknown signer"


def is_signed(data: bytes) -> bool:
    """Whether the bytes begin as CMS SignedData does: a sequence that starts with its object identifier."""
    return b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" in data[:32] and data[:1] == b"\x30"
