"""Certificates and identities as frozen values, with what the rest of the project asks of them."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple, Self, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from mdmprofile.errors import PARSER_ERRORS, CertificateError

PUSH_TOPIC_PREFIX = "com.apple.mgmt."
X509_ERRORS = (
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    *PARSER_ERRORS,
)
# md2WithRSAEncryption and md4WithRSAEncryption (RFC 3279 section 2.2.1), which no library verifies any more.
_ANCIENT = ("1.2.840.113549.1.1.2", "1.2.840.113549.1.1.3")

# clientAuth and anyExtendedKeyUsage (RFC 5280 section 4.2.1.12).
_CLIENT_AUTH = frozenset(("1.3.6.1.5.5.7.3.2", "2.5.29.37.0"))

_LONGEST_NAME = 120
_LONGEST_EXPONENT, _LONGEST_KEY = 64, 16_384
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True)
class Certificate:
    """One X.509 certificate: its DER bytes, and ``source``, the file and place it was read from.

    Two certificates are equal when their DER bytes are. Constructing one parses it fully; malformed DER raises
    ``CertificateError``.
    """

    der: bytes = field(repr=False)
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        try:
            self._touch()
        except X509_ERRORS as error:
            raise CertificateError(
                f"a certificate cannot be parsed: {first_line(error)}",
                where=self.source,
                hint="export it again as PEM or DER",
            ) from None

    @classmethod
    def issued(cls, made: x509.Certificate) -> Self:
        """One that was made here, and need not be parsed again to know that it can be."""
        certificate = object.__new__(cls)
        vars(certificate).update(der=made.public_bytes(Encoding.DER), source="", parsed=made)
        return certificate

    def _touch(self) -> None:
        _ = self.is_ca, self.subject, self.issuer_name, self.not_before, self.not_after, self.key_cert_sign

    @cached_property
    def parsed(self) -> x509.Certificate:
        """The parsed certificate of the ``cryptography`` package."""
        return x509.load_der_x509_certificate(self.der)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 fingerprint of the DER bytes, lower-case hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def subject(self) -> str:
        """The subject as RFC 4514 text, most specific name first; empty when the subject is."""
        return self.parsed.subject.rfc4514_string()

    @cached_property
    def issuer(self) -> str:
        """The issuer as RFC 4514 text."""
        return self.parsed.issuer.rfc4514_string()

    @cached_property
    def name(self) -> str:
        """What a person calls it: the common name, else the subject, else its fingerprint's start.

        At most 120 characters, because every message has it.
        """
        names = self.parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        text = (str(names[0].value) if names else self.subject) or f"sha256 {self.sha256[:16]}"
        return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 3]}..."

    @property
    def has_common_name(self) -> bool:
        """Whether the subject has a common name."""
        return bool(self.parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME))

    @cached_property
    def not_before(self) -> datetime:
        """Start of validity, aware UTC."""
        return self.parsed.not_valid_before_utc

    @cached_property
    def not_after(self) -> datetime:
        """End of validity, aware UTC; the certificate is still valid in that second."""
        return self.parsed.not_valid_after_utc

    @cached_property
    def subject_name(self) -> tuple[object, ...]:
        """The subject, normalised for comparison as RFC 5280 section 7.1 asks."""
        return _normalised(self.parsed.subject)

    @cached_property
    def issuer_name(self) -> tuple[object, ...]:
        """The issuer, normalised for comparison as RFC 5280 section 7.1 asks."""
        return _normalised(self.parsed.issuer)

    @cached_property
    def key_info(self) -> bytes:
        """The subjectPublicKeyInfo in DER; where the key type is not known, something no other key equals."""
        try:
            return self.parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except X509_ERRORS:
            return self.der

    @cached_property
    def basic_constraints(self) -> x509.BasicConstraints | None:
        """The basicConstraints extension; None when absent."""
        return self._extension(x509.BasicConstraints)

    @cached_property
    def is_ca(self) -> bool:
        """Whether it may issue certificates: basicConstraints CA, or a version 1 certificate that signed itself.

        Version 1 certificates cannot carry basicConstraints; those that signed themselves are the old roots.
        """
        if self.parsed.version is x509.Version.v1:
            return self.self_signed
        return self.basic_constraints is not None and self.basic_constraints.ca

    @cached_property
    def key_cert_sign(self) -> bool:
        """Whether keyUsage, where present, lets the key sign certificates (RFC 5280 section 4.2.1.3)."""
        usage = self._extension(x509.KeyUsage)
        return usage is None or usage.key_cert_sign

    @cached_property
    def key_encipherment(self) -> bool:
        """Whether keyUsage, where present, lets the key encrypt other keys (RFC 5280 section 4.2.1.3)."""
        usage = self._extension(x509.KeyUsage)
        return usage is None or usage.key_encipherment

    @cached_property
    def extended_key_usage(self) -> tuple[str, ...]:
        """The extendedKeyUsage OIDs in dotted notation; empty when the extension is absent."""
        usage = self._extension(x509.ExtendedKeyUsage)
        return () if usage is None else tuple(oid.dotted_string for oid in usage)

    @property
    def may_authenticate_client(self) -> bool:
        """Whether extendedKeyUsage, where present, lets it authenticate a client (RFC 5280 section 4.2.1.12)."""
        usages = self.extended_key_usage
        return not usages or not _CLIENT_AUTH.isdisjoint(usages)

    @cached_property
    def key_strength(self) -> tuple[str, int]:
        """``("RSA", 2048)`` or ``("EC", 256)``: the kind of public key and its bits; ``("", 0)`` for any other."""
        try:
            key = self.parsed.public_key()
        except X509_ERRORS:
            return "", 0
        if isinstance(key, rsa.RSAPublicKey):
            return "RSA", key.key_size
        return ("EC", key.key_size) if isinstance(key, ec.EllipticCurvePublicKey) else ("", 0)

    @property
    def curve(self) -> str:
        """The name of an EC key's curve, such as ``secp256r1``; empty for any other key."""
        try:
            key = self.parsed.public_key()
        except X509_ERRORS:
            return ""
        return key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else ""

    @property
    def unknown_critical_extensions(self) -> tuple[str, ...]:
        """The OIDs of critical extensions that are not known: reason to refuse it (RFC 5280 section 4.2)."""
        found = (each for each in self.parsed.extensions if isinstance(each.value, x509.UnrecognizedExtension))
        return tuple(each.oid.dotted_string for each in found if each.critical)

    @cached_property
    def subject_key_identifier(self) -> bytes | None:
        """The subjectKeyIdentifier; None when absent."""
        identifier = self._extension(x509.SubjectKeyIdentifier)
        return None if identifier is None else identifier.digest

    @cached_property
    def self_signed(self) -> bool:
        """Whether its subject is its issuer and its own key verifies its signature."""
        return self.subject_name == self.issuer_name and self.signed_by(self)

    @cached_property
    def push_topic(self) -> str:
        """The UID (0.9.2342.19200300.100.1.1) of the subject, which for a push certificate is the MDM topic."""
        values = self.parsed.subject.get_attributes_for_oid(NameOID.USER_ID)
        return str(values[0].value) if values else ""

    @cached_property
    def weak_signature(self) -> bool:
        """Whether it is signed with SHA-1 or an older digest."""
        try:
            algorithm = self.parsed.signature_hash_algorithm
        except UnsupportedAlgorithm:
            return self.parsed.signature_algorithm_oid.dotted_string in _ANCIENT
        return isinstance(algorithm, hashes.SHA1 | hashes.MD5)

    def signed_by(self, issuer: Certificate) -> bool:
        """Whether ``issuer``'s public key verifies this certificate's signature; names are not compared.

        SHA-1 is accepted here: a root's own signature carries no trust, and rules judge it elsewhere.
        """
        return is_signed_by(self.parsed, issuer)

    @property
    def facts(self) -> CertificateFacts:
        """What reports say of it, without the certificate."""
        return CertificateFacts(
            self.subject, sys.intern(self.issuer), self.name, self.sha256, self.not_before, self.not_after
        )

    def _extension(self, kind: type[_Extension]) -> _Extension | None:
        try:
            return self.parsed.extensions.get_extension_for_class(kind).value
        except x509.ExtensionNotFound:
            return None


class CertificateFacts(NamedTuple):
    """What reports say of a certificate: a small part of it, for those who have thousands. Times are aware UTC."""

    subject: str
    issuer: str
    name: str
    sha256: str
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True)
class Identity:
    """A private key, its certificate, and the other certificates that came with them.

    The key never shows in ``repr``.
    """

    certificate: Certificate
    key: SigningKey = field(repr=False, compare=False)
    chain: tuple[Certificate, ...] = ()

    @property
    def key_matches(self) -> bool:
        """Whether the key is the one that the certificate was issued for."""
        public = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return public == self.certificate.key_info


def first_line(error: BaseException) -> str:
    """The first line of a parser's own message, short enough for a one-line error; never the input itself."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    if "ParseError" in line:
        return "its DER is damaged or cut short"
    other = any(each in line for each in ("deserialize", "delimiters"))
    return "it is damaged, or of another kind" if other else line


def is_signed_by(parsed: x509.Certificate, issuer: Certificate) -> bool:
    """``Certificate.signed_by`` for one that need not be read any further: a hostile one can take long."""
    try:
        _verify(issuer.parsed.public_key(), parsed)
    except (InvalidSignature, *X509_ERRORS):
        return False
    return True


def _verify(key: object, subject: x509.Certificate) -> None:
    """Check ``subject``'s signature with ``key``; raises ``InvalidSignature`` or a parser error."""
    digest = subject.signature_hash_algorithm
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        key.verify(subject.signature, subject.tbs_certificate_bytes)
    elif digest is None:
        raise InvalidSignature
    elif isinstance(key, rsa.RSAPublicKey):
        # There are none for MD5, which cryptography knows as a digest but not as a signature of today.
        parameters = subject.signature_algorithm_parameters or padding.PKCS1v15()
        if not isinstance(parameters, padding.PSS | padding.PKCS1v15):
            raise InvalidSignature
        # The usual one has 17 bits; a signature by one of thousands takes a hundred times as long to verify.
        if key.public_numbers().e.bit_length() > _LONGEST_EXPONENT or key.key_size > _LONGEST_KEY:
            raise InvalidSignature
        key.verify(subject.signature, subject.tbs_certificate_bytes, parameters, digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(subject.signature, subject.tbs_certificate_bytes, ec.ECDSA(digest))
    elif isinstance(key, dsa.DSAPublicKey):
        key.verify(subject.signature, subject.tbs_certificate_bytes, digest)
    else:
        raise InvalidSignature


def _normalised(name: x509.Name) -> tuple[object, ...]:
    """A name with case folded and white space collapsed, relative names as sets."""
    return tuple(
        frozenset((each.oid.dotted_string, _folded(each.value)) for each in relative) for relative in name.rdns
    )


def _folded(value: str | bytes) -> str | bytes:
    return " ".join(value.casefold().split()) if isinstance(value, str) else value
