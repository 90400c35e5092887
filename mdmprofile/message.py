"""Who signed a device's message: the ``Mdm-Signature`` header verified, and its signer trusted.

https://developer.apple.com/documentation/devicemanagement/mdm (SignMessage) has a device sign each message that it
sends with its identity: a detached CMS signature (RFC 5652) over the body, in base64. These are two questions: a
signature says who signed, ``DeviceTrust`` whether they may. Whose certificate it is, ``pins`` knows.
"""

from __future__ import annotations

import binascii
import hashlib
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mdmprofile.certificates import X509_ERRORS, Certificate
from mdmprofile.cms.algorithms import CURVES, DIGESTS, RSA_KEY, SIGNATURES
from mdmprofile.cms.detached import (
    DATA,
    DetachedSigner,
    MalformedError,
    parts_of,
    read_detached,
)
from mdmprofile.cms.tlv import der
from mdmprofile.cms.usual import read_usual
from mdmprofile.errors import (
    BadSignatureError,
    DigestMismatchError,
    MissingSignatureError,
    NoCertificateError,
    NotBase64Error,
    NotCmsError,
    SignersError,
    SigningTimeError,
)
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.moments import stamp
from mdmprofile.shared import shared_certificate

HEADER = "Mdm-Signature"
CLOCK_SKEW = timedelta(minutes=5)
# A real one has about 2 KB; several RSA-4096 certificates fit into this.
MAX_HEADER = 64 * 1024

_KNOWN = 2048
_SMALLEST_RSA, _LARGEST_RSA, _LONGEST_EXPONENT = 1024, 8192, 64
_SHOWN = 40
_ALGORITHM_ENDS = 24
_OCTETS, _SET = 0x04, 0x31
# The OID of subjectKeyIdentifier (RFC 5280 section 4.2.1.2), which is never critical.
_KEY_IDENTIFIER = bytes.fromhex("0603551d0e")
# 65537, where a subjectPublicKeyInfo of an RSA key ends (RFC 8017 appendix A.1.1).
_USUAL_EXPONENT = bytes.fromhex("0203010001")
_PKCS1 = padding.PKCS1v15()

_ATTRIBUTES = {
    bytes.fromhex("2a864886f70d010903"): "contentType",
    bytes.fromhex("2a864886f70d010904"): "messageDigest",
    bytes.fromhex("2a864886f70d010905"): "signingTime",
}


class Signer(NamedTuple):
    """Who signed a message.

    ``der`` is the certificate and ``embedded`` are all that came with it, in DER; ``digest`` is ``sha1``, ``sha256``,
    ``sha384`` or ``sha512``, ``signature_algorithm`` its name in the RFCs, ``signing_time`` aware UTC or None, and
    ``signed_attributes`` the names of what was signed beside the body, none when the body alone was.
    """

    der: bytes
    digest: str
    signature_algorithm: str
    signing_time: datetime | None
    signed_attributes: tuple[str, ...]
    embedded: tuple[bytes, ...]

    def __repr__(self) -> str:
        return f"Signer(sha256={self.sha256!r}, digest={self.digest!r}, signing_time={self.signing_time!r})"

    @property
    def sha256(self) -> str:
        """The SHA-256 fingerprint of the certificate, lower-case hexadecimal: what a pin holds."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def certificate(self) -> Certificate:
        """The certificate, parsed in full. Raises ``CertificateError`` when something in it cannot be read."""
        return shared_certificate(self.der, HEADER)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is weak about the signature, as info: devices use SHA-1 here."""
        if self.digest != "sha1":
            return ()
        message = "the signature uses SHA1, as devices do"
        hint = "nothing has to be done; SHA-1 is accepted here only"
        return (finding("signature.weak-digest", message, where=HEADER, hint=hint, severity=Severity.INFO),)


def verify_mdm_signature(header: str | bytes, body: bytes, *, clock_skew: timedelta = CLOCK_SKEW) -> Signer:
    """Verify the value of an ``Mdm-Signature`` header over the body of the message; who signed it.

    ``header`` is base64, which may be folded; ``body`` are the bytes as they were received, which the caller has
    bounded. A signature without signed attributes covers the body itself; one with them covers the attributes, whose
    messageDigest is compared with the body's digest, and whose signingTime may lie ``clock_skew`` outside of the
    certificate's validity, since the clock of a device that has just enrolled is often slow. Whether the certificate
    is valid now, and from whom, is for ``DeviceTrust``.

    Raises ``MissingSignatureError``, ``NotBase64Error``, ``NotCmsError``, ``SignersError``, ``NoCertificateError``,
    ``DigestMismatchError``, ``SigningTimeError`` or ``BadSignatureError``, which all are ``MessageError``.
    """
    data = _decoded(header)
    try:
        detached = read_usual(data) or read_detached(data)
        if len(detached.signers) != 1:
            raise _signers(len(detached.signers))
        (signer,) = detached.signers
        known = _signing_certificate(signer, detached.certificates)
    except MalformedError as error:
        raise NotCmsError(f"is no signature of a device: {error}", where=HEADER, hint=_CUT_HINT) from None
    digest, name = _algorithms(signer, known)
    signed = _signed_bytes(signer, digest, body)
    try:
        if known.curve:
            known.key.verify(signer.signature, signed, ec.ECDSA(digest))
        else:
            known.key.verify(signer.signature, signed, _PKCS1, digest)
    except (InvalidSignature, *X509_ERRORS):
        _refuse(known.key, signer.signature, digest, of_body=signed is body)
    attributes = signer.attributes
    if attributes is not None and attributes.signing_time is not None:
        _judge_signing_time(attributes.signing_time, known, clock_skew)
    if attributes is None:
        return Signer(known.der, digest.name, name, None, (), detached.certificates)
    names = tuple(map(_attribute_name, attributes.oids))
    return Signer(known.der, digest.name, name, attributes.signing_time, names, detached.certificates)


_CUT_HINT = "see whether a proxy cut the header short or changed it; it needs room for 8 KB"


class _Known(NamedTuple):
    """A certificate that may sign messages, its key, and the curve of that; no curve for an RSA key."""

    der: bytes
    issuer_and_serial: bytes
    key: Any
    curve: str


def _decoded(header: str | bytes) -> bytes:
    """The bytes in base64 (RFC 4648 section 4), which may be folded (RFC 9110 section 5.5)."""
    if len(header) > MAX_HEADER:
        raise NotBase64Error(
            f"has {len(header):,} characters, where {MAX_HEADER:,} are the most", where=HEADER, hint=_CUT_HINT
        )
    try:
        text = header.encode("ascii") if isinstance(header, str) else bytes(header)
        data = binascii.a2b_base64(text)
    except ValueError:
        raise NotBase64Error("is not base64", where=HEADER, hint=_CUT_HINT) from None
    if not _is_exactly(text, data) and not _is_exactly(b"".join(text.split()), data):
        raise NotBase64Error("is not base64", where=HEADER, hint=_CUT_HINT)
    if not data:
        message = "is missing from the message"
        raise MissingSignatureError(message, where=HEADER, hint="set sign_message = true in the profile's [server]")
    return data


def _is_exactly(text: bytes, data: bytes) -> bool:
    """Whether the text is the data in base64, and nothing else that the decoder passes over.

    It passes over characters that it does not know, over padding, and over bits that stand for nothing. The first make
    the text too long, the others can only be at its end.
    """
    size = len(data)
    return (
        len(text) == (size + 2) // 3 * 4
        and b"=" not in text[:-2]
        and binascii.b2a_base64(data[(size - 1) // 3 * 3 :], newline=False) == text[-4:]
    )


def _signers(count: int) -> SignersError:
    message = f"has {count} signers, where a device is the only one" if count else "has no signer"
    return SignersError(message, where=HEADER, hint="refuse the message")


def _signing_certificate(signer: DetachedSigner, certificates: tuple[bytes, ...]) -> _Known:
    """The one embedded certificate that the signer names. Raises ``NoCertificateError``, or ``MalformedError``."""
    name = signer.issuer_and_serial
    if len(certificates) == 1 and name:
        # The usual case: it is known already, with its name.
        known = _known(certificates[0])
        if known.issuer_and_serial == name:
            return known
    if len(set(certificates)) < len(certificates):
        raise MalformedError("it carries a certificate twice")
    if name:
        named = [each for each in certificates if parts_of(each).issuer_and_serial == name]
    else:
        # Only a choice: whether it is the right one, the signature shows. Parsing them all would take long.
        extension = _KEY_IDENTIFIER + der(_OCTETS, der(_OCTETS, signer.key_identifier))
        named = [each for each in certificates if extension in each]
    if not named:
        message = "does not carry the certificate of its signer"
        raise NoCertificateError(message, where=HEADER, hint=_CUT_HINT)
    if len(named) > 1:
        message = "carries several certificates with the name of its signer"
        raise NoCertificateError(message, where=HEADER, hint="refuse the message")
    return _known(named[0])


@lru_cache(maxsize=_KNOWN)
def _known(der: bytes) -> _Known:
    """The certificate with its key, where that is one that devices have. Raises as ``verify_mdm_signature`` does."""
    parts = parts_of(der)
    try:
        key: Any = x509.load_der_x509_certificate(der).public_key()
        # Asking the key for its class takes longer than reading it.
        if RSA_KEY in parts.public_key_info[:_ALGORITHM_ENDS]:
            curve = ""
            usable = _SMALLEST_RSA <= key.key_size <= _LARGEST_RSA and (
                # A huge exponent makes each verification a hundred times slower; nearly all have this one.
                parts.public_key_info.endswith(_USUAL_EXPONENT)
                or key.public_numbers().e.bit_length() <= _LONGEST_EXPONENT
            )
        else:
            curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else ""
            usable = curve in CURVES
    except (Warning, *X509_ERRORS):
        raise _unreadable() from None
    if not usable:
        raise _foreign_key()
    return _Known(der, parts.issuer_and_serial, key, curve)


def _unreadable() -> NoCertificateError:
    message = "has a signer's certificate that cannot be parsed"
    return NoCertificateError(message, where=HEADER, hint="refuse the message")


def _foreign_key() -> BadSignatureError:
    message = "has a signer's certificate with a key that no device has"
    hint = f"use RSA keys of {_SMALLEST_RSA} to {_LARGEST_RSA} bits, P-256, P-384 or P-521"
    return BadSignatureError(message, where=HEADER, hint=hint)


def _algorithms(signer: DetachedSigner, known: _Known) -> tuple[hashes.HashAlgorithm, str]:
    """The digest, and the name of the signature algorithm, where both go together with the key."""
    digest = DIGESTS.get(signer.digest)
    if digest is None:
        message = "uses another digest than SHA-1, SHA-256, SHA-384 or SHA-512"
        raise BadSignatureError(message, where=HEADER, hint="refuse the message; no device uses it")
    algorithm = SIGNATURES.get(signer.algorithm)
    if algorithm is None:
        message = "uses another signature algorithm than RSA (PKCS #1 v1.5) or ECDSA"
        raise BadSignatureError(message, where=HEADER, hint="refuse the message; no device uses it")
    if (
        algorithm.digest not in {"", digest.name}
        or algorithm.rsa is bool(known.curve)
        or algorithm.curve not in {"", known.curve}
    ):
        message = f"uses {algorithm.name}, which contradicts its digest or the certificate's key"
        raise BadSignatureError(message, where=HEADER, hint="refuse the message")
    return digest, algorithm.name


def _signed_bytes(signer: DetachedSigner, digest: hashes.HashAlgorithm, body: bytes) -> bytes:
    """What the signature covers, once that is tied to the body."""
    attributes = signer.attributes
    if attributes is None:
        # Signed attributes shown as a body would carry the valid signature of the message that they belong to.
        if body[:1] == bytes((_SET,)):
            message = "covers a body that could be signed attributes"
            raise BadSignatureError(message, where=HEADER, hint="refuse the message")
        return body
    # The signature over the attributes says nothing of the body; only this comparison ties the two together.
    if attributes.message_digest != hashlib.new(digest.name, body, usedforsecurity=False).digest():
        message = "the body is not the one that was signed"
        raise DigestMismatchError(message, where=HEADER, hint=_CHANGED_HINT)
    if attributes.content_type != DATA:
        message = "has signed attributes of another content type than data"
        raise BadSignatureError(message, where=HEADER, hint="refuse the message")
    return attributes.signed


_CHANGED_HINT = "refuse the message, or see what changed the body between the device and here"


def _refuse(key: object, signature: bytes, digest: hashes.HashAlgorithm, *, of_body: bool) -> NoReturn:
    """Raise ``BadSignatureError``, which says whether another body was signed: RSA signatures tell."""
    message, hint = "the signature does not match the body and the certificate", "refuse the message"
    if of_body and isinstance(key, rsa.RSAPublicKey):
        try:
            key.recover_data_from_signature(signature, _PKCS1, digest)
        except (InvalidSignature, *X509_ERRORS):
            pass
        else:
            message, hint = "the signature is the certificate's, but of another body", _CHANGED_HINT
    raise BadSignatureError(message, where=HEADER, hint=hint)


def _judge_signing_time(moment: datetime, known: _Known, skew: timedelta) -> None:
    try:
        parsed = x509.load_der_x509_certificate(known.der)
        start, end = parsed.not_valid_before_utc, parsed.not_valid_after_utc
    except (Warning, *X509_ERRORS):
        # The year 0, which ASN.1 has and the calendar has not.
        raise _unreadable() from None
    # Compared as differences: a date near the end of time has no later one.
    if start - moment > skew or moment - end > skew:
        message = f"was made {stamp(moment)}, while the certificate is valid from {stamp(start)} to {stamp(end)}"
        hint = "check the device's clock, or allow it more with clock_skew"
        raise SigningTimeError(message, where=HEADER, hint=hint)


def _attribute_name(oid: bytes) -> str:
    """An attribute's name in the RFCs; for another the hexadecimal of its OID's contents."""
    return _ATTRIBUTES.get(oid) or oid.hex()[:_SHOWN]
