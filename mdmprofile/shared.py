"""Certificates that thousands of files have in common, parsed once."""

from __future__ import annotations

from functools import lru_cache

from mdmprofile.certificates import Certificate
from mdmprofile.errors import CertificateError

# A fleet's profiles carry the same few certificates; larger ones are rare and would fill the memory.
_LONGEST = 16 * 1024
_KEPT = 256


def shared_certificate(der: bytes, source: str) -> Certificate:
    """The certificate in DER bytes, parsed only when it was not among the last few hundred.

    Raises ``CertificateError`` as ``Certificate`` does, with ``source`` as the place.
    """
    if len(der) <= _LONGEST:
        try:
            return placed(_parsed(der), source)
        except CertificateError as error:
            error.where = source
            raise
    return Certificate(der, source)


def placed(certificate: Certificate, source: str) -> Certificate:
    """The certificate with another source, sharing what was parsed already."""
    twin = object.__new__(Certificate)
    vars(twin).update(vars(certificate), source=source)
    return twin


@lru_cache(maxsize=_KEPT)
def _parsed(der: bytes) -> Certificate:
    certificate = Certificate(der)
    # What every twin would work out again: its name, and for a CA the check of its own signature.
    _ = certificate.name, certificate.sha256, certificate.is_ca and certificate.self_signed
    return certificate
