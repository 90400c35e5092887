"""PKCS#10 requests for a certificate (RFC 2986): read within bounds, and what a CA needs to know before it signs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mdmprofile.certificate_names import check_general_names, check_subject
from mdmprofile.certificates import X509_ERRORS, first_line
from mdmprofile.cms.remote import PublicKey
from mdmprofile.errors import CertificateError, IssueError

MAX_REQUEST = 64 * 1024
_LEAST_RSA, _MOST_RSA = 2048, 16_384
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_PEM = b"-----BEGIN "


@dataclass(frozen=True)
class SigningRequest:
    """What a request asks for that a CA may grant; whoever made it holds the key of ``public``."""

    public: PublicKey
    source: str
    _subject: x509.Name
    _names: tuple[x509.GeneralName, ...]

    def subject(self) -> x509.Name:
        """The subject that it asks for; raises ``IssueError`` for one that no certificate may have."""
        with self._blamed():
            check_subject(self._subject)
        return self._subject

    def alternative_names(self) -> tuple[x509.GeneralName, ...]:
        """The alternative names that it asks for; raises ``IssueError`` for one that no certificate may have."""
        with self._blamed():
            check_general_names(self._names)
        return self._names

    @contextlib.contextmanager
    def _blamed(self) -> Iterator[None]:
        """Have errors about names say where these were written."""
        try:
            yield
        except IssueError as error:
            error.where = self.source
            error.hint = "have it made again, or name it yourself"
            raise


def read_request(data: bytes, *, source: str) -> SigningRequest:
    """Read a request in PEM or DER and verify its own signature; names are not judged yet.

    Raises ``CertificateError`` for bytes that are no intact request, and ``IssueError`` for one that is not to be
    signed: another key than RSA from 2048 bits or EC P-256, P-384 and P-521, or a signature that its key did not make.
    """
    if len(data) > MAX_REQUEST:
        raise CertificateError(
            f"is larger than the limit of {MAX_REQUEST // 1024} KiB",
            where=source,
            hint="check that it is the right file",
        )
    try:
        request = x509.load_pem_x509_csr(data) if _PEM in data else x509.load_der_x509_csr(data)
        public: object = request.public_key()
        if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) or not _is_strong(public):
            raise IssueError(
                "asks for a certificate of a key that devices do not use",
                where=source,
                hint="make it with RSA of 2048 bits or more, or EC P-256, P-384 or P-521",
            )
        if not request.is_signature_valid:
            raise IssueError(
                "its signature does not verify, so whoever made it does not hold the key",
                where=source,
                hint="have it made again",
            )
        return SigningRequest(public, source, request.subject, _alternative(request))
    except X509_ERRORS as error:
        raise CertificateError(
            f"is not an intact certificate request: {first_line(error)}",
            where=source,
            hint="give a PKCS#10 request in PEM or DER, as openssl req -new makes it",
        ) from None


def _is_strong(key: PublicKey) -> bool:
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in _CURVES
    return _LEAST_RSA <= key.key_size <= _MOST_RSA


def _alternative(request: x509.CertificateSigningRequest) -> tuple[x509.GeneralName, ...]:
    """Nothing else that a request asks for is looked at: what a certificate may do is the CA's to say."""
    try:
        return tuple(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        return ()
