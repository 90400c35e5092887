"""Device identities issued by an own CA: a key pair, a client certificate, and both in a PKCS#12 for one device.

https://www.rfc-editor.org/rfc/rfc5280
https://www.rfc-editor.org/rfc/rfc7292
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    KeySerializationEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, PublicKeyAlgorithmOID

from mdmprofile.certificate_names import general_names, subject_name
from mdmprofile.certificates import X509_ERRORS, Certificate, Identity, SigningKey, first_line
from mdmprofile.cms.remote import PublicKey, remote_key, sign_with, verifies
from mdmprofile.containers import MAX_PASSWORD
from mdmprofile.errors import IssueError, SigningError, collect
from mdmprofile.findings import Severity
from mdmprofile.issuers import end_of_identities, judge_issuer, naming_the_ca
from mdmprofile.moments import spoken
from mdmprofile.payloads.names import Subject, SubjectAltName
from mdmprofile.signing_requests import read_request

__all__ = [
    "KEYS",
    "IssuedIdentity",
    "Issuer",
    "Wanted",
    "fresh_client_identifier",
    "fresh_password",
    "fresh_serial_number",
    "judge_issuer",
]

KEYS: Mapping[str, Callable[[], SigningKey]] = MappingProxyType(
    {
        "rsa2048": partial(rsa.generate_private_key, 65537, 2048),
        "rsa3072": partial(rsa.generate_private_key, 65537, 3072),
        "rsa4096": partial(rsa.generate_private_key, 65537, 4096),
        "p256": partial(ec.generate_private_key, ec.SECP256R1()),
        "p384": partial(ec.generate_private_key, ec.SECP384R1()),
    }
)

# A device whose clock is a little slow must not find its certificate not valid yet.
_SKEW = timedelta(hours=1)

# Letters and digits that do not look alike; 32 of them, so that a random byte chooses each as often.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_PASSWORD_LENGTH = 26
_CLIENT_IDENTIFIER_BYTES = 20
# As OpenSSL does. The MAC is hashed 2048 times whatever is asked for, and tells whoever guesses a password as much as
# the encryption does: more rounds would take time and protect nothing. A fresh password cannot be guessed anyway.
_ROUNDS = 2048
ENCRYPTIONS: Mapping[str, tuple[pkcs12.PBES, type[hashes.HashAlgorithm]]] = MappingProxyType(
    {
        "compatible": (pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC, hashes.SHA1),
        "modern": (pkcs12.PBES.PBESv2SHA256AndAES256CBC, hashes.SHA256),
    }
)


class Wanted(NamedTuple):
    """What each identity is to be: a key of ``KEYS``, how long it is valid from now on, and how it is encrypted.

    ``encryption`` is ``compatible`` (PBE with SHA-1 and 3DES, which every Apple release imports) or ``modern`` (PBES2
    with AES-256, which macOS 12 and 13 and the iOS of their time did not import).
    """

    key: str = "rsa2048"
    validity: timedelta = timedelta(days=365)
    encryption: str = "compatible"


@dataclass(frozen=True, repr=False)
class IssuedIdentity:
    """An identity for one device: its certificate, and with its key as PKCS#12 in DER, encrypted with ``password``."""

    certificate: Certificate
    data: bytes
    password: str


def fresh_serial_number() -> int:
    """A serial number of its own: random, positive, at most 20 octets (RFC 5280 section 4.1.2.2)."""
    return x509.random_serial_number()


def fresh_password() -> str:
    """A password of 130 random bits in lower-case letters and digits, which every keyboard has and no shell changes."""
    return "".join(_ALPHABET[each % len(_ALPHABET)] for each in secrets.token_bytes(_PASSWORD_LENGTH))


def fresh_client_identifier() -> str:
    """A value of 160 random bits in hexadecimal that an ACME server takes once, from one device."""
    return secrets.token_hex(_CLIENT_IDENTIFIER_BYTES)


class Issuer:
    """A CA that issues identities of one kind; several threads may use it at once.

    Whatever is the same for every identity is prepared once. The first signature is verified with the CA's certificate,
    so that a damaged key is an error and never a bad certificate; keys that are elsewhere verify each themselves.
    """

    not_after: datetime

    def __init__(self, ca: Identity, wanted: Wanted, *, now: datetime) -> None:
        """Raises ``IssueError`` for a CA that may not issue, and for what no identity can be. ``now`` is aware UTC."""
        _refuse(ca, wanted, now)
        self.not_after = end_of_identities(ca.certificate, wanted, now)
        self._ca = ca
        self._make_key = KEYS[wanted.key]
        self._trial_key: SigningKey | None = remote_key(ca.key.public_key(), lambda message: _checked(ca, message))
        algorithm, digest = ENCRYPTIONS[wanted.encryption]
        encryption = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(_ROUNDS)
        self._encryption = encryption.key_cert_algorithm(algorithm).hmac_hash(digest())
        self._builder = (
            x509.CertificateBuilder()
            .issuer_name(ca.certificate.parsed.subject)
            .not_valid_before(max(now - _SKEW, ca.certificate.not_before))
            .not_valid_after(self.not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_digital_signature(), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(_authority(ca), critical=False)
        )

    def issue(
        self,
        subject: Subject,
        alternative: SubjectAltName | None = None,
        *,
        password: str | None = None,
        serial_number: int | None = None,
    ) -> IssuedIdentity:
        """A fresh key with its certificate; a fresh password and serial number unless given.

        Raises ``IssueError`` for names, a password or a number that cannot be used, and ``SigningError`` where the CA's
        key is elsewhere and does not sign.
        """
        secret = fresh_password() if password is None else password
        encryption = self._encryption.build(_password_bytes(secret))
        names = general_names(alternative) if alternative else ()
        name = subject_name(subject)
        key = self._make_key()
        certificate = self._certificate(key.public_key(), name, names, serial_number)
        data = _pkcs12(key, certificate, encryption)
        return IssuedIdentity(Certificate.issued(certificate), data, secret)

    def sign_request(
        self,
        request: bytes,
        subject: Subject | None,
        alternative: SubjectAltName | None = None,
        *,
        serial_number: int | None = None,
        source: str = "certificate request",
    ) -> Certificate:
        """A certificate for whoever made the request, in PEM or DER (PKCS#10, RFC 2986); its key stays where it is.

        The subject and the alternative names are the request's unless given; nothing else that it asks for is granted.
        ``source`` is what errors call it. Raises ``CertificateError`` for what is no request, and as ``issue`` does.
        """
        asked = read_request(request, source=source)
        name = asked.subject() if subject is None else subject_name(subject)
        names = asked.alternative_names() if alternative is None else general_names(alternative)
        certificate = self._certificate(asked.public, name, names, serial_number)
        return Certificate.issued(certificate)

    def _certificate(
        self, public: PublicKey, name: x509.Name, names: Sequence[x509.GeneralName], serial_number: int | None
    ) -> x509.Certificate:
        builder = (
            self._builder.subject_name(name)
            .public_key(public)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        try:
            numbered = builder.serial_number(fresh_serial_number() if serial_number is None else serial_number)
            with naming_the_ca():
                made = numbered.sign(self._trial_key or self._ca.key, hashes.SHA256())
        except X509_ERRORS as error:
            raise IssueError(
                f"the certificate cannot be made: {first_line(error)}", where=self._ca.certificate.source
            ) from None
        self._trial_key = None
        return made


def _refuse(ca: Identity, wanted: Wanted, now: datetime) -> None:
    problems = [each for each in judge_issuer(ca, wanted, now=now) if each.severity is Severity.ERROR]
    if problems:
        raise collect(IssueError(each.message, where=each.where, hint=each.hint) for each in problems)
    if ca.certificate.parsed.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSASSA_PSS:
        message = "the CA's key is restricted to RSA-PSS, which identities are not signed with"
        raise IssueError(message, where=ca.certificate.source, hint="use an RSA or EC CA")
    if wanted.key not in KEYS or wanted.encryption not in ENCRYPTIONS or wanted.validity <= timedelta():
        message = f"no identity can be {wanted.key}, {wanted.encryption} and valid for {spoken(wanted.validity)}"
        hint = f"use {', '.join(KEYS)}, {' or '.join(ENCRYPTIONS)}, and some time"
        raise IssueError(message, where="identity", hint=hint)


def _checked(ca: Identity, message: bytes) -> bytes:
    """A signature that verifies: keys are read without the slow RSA consistency check, so one may be damaged."""
    try:
        signature = sign_with(ca.key, message)
    except ValueError:
        signature = b""
    if not verifies(ca.key.public_key(), message, signature):
        raise SigningError(
            "the CA's key is damaged: its signatures do not verify",
            where=ca.certificate.source,
            hint="export the key again",
        )
    return signature


def _authority(ca: Identity) -> x509.AuthorityKeyIdentifier:
    """The CA's own subjectKeyIdentifier, which it may have derived in any way (RFC 5280 section 4.2.1.1)."""
    own = ca.certificate.subject_key_identifier
    if own is None:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key())
    return x509.AuthorityKeyIdentifier(own, None, None)


def _digital_signature() -> x509.KeyUsage:
    names = (
        "content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign",
        "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(digital_signature=True, **dict.fromkeys(names, False))


def _password_bytes(password: str) -> bytes:
    try:
        data = password.encode("utf-8")
    except UnicodeEncodeError:
        data = b""
    if not data or len(data) > MAX_PASSWORD:
        message = f"is empty, longer than {MAX_PASSWORD:,} bytes, or no text"
        raise IssueError(message, where="identity.password", hint="choose another, or leave it out for a fresh one")
    return data


def _pkcs12(key: SigningKey, certificate: x509.Certificate, encryption: KeySerializationEncryption) -> bytes:
    """Both in DER; called by the common name, else by the serial number."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else f"{certificate.serial_number:x}"
    return pkcs12.serialize_key_and_certificates(name.encode("utf-8"), key, certificate, None, encryption)
