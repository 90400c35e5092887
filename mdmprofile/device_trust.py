"""Whether a certificate may speak for a device: issued by one of our CAs, valid now, and for a client.

Revocation is not checked.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cryptography import x509

from mdmprofile.certificates import X509_ERRORS, Certificate, is_signed_by
from mdmprofile.cms.trust import trust_path
from mdmprofile.errors import CertificateError, ExpiredSignerError, UntrustedSignerError
from mdmprofile.message import CLOCK_SKEW, Signer
from mdmprofile.moments import shift, stamp
from mdmprofile.shared import shared_certificate
from mdmprofile.twins import is_exact

_REMEMBERED = 4096
_PLACE = "the device's certificate"


class DeviceTrust:
    """The CAs that issue the devices' identities; several threads may share one.

    ``authorities`` may be roots, or the issuing CAs themselves. A path that was found is remembered for as long as
    all of its certificates are valid, so that a server does not build it again for each message.
    """

    def __init__(self, authorities: Sequence[Certificate], *, clock_skew: timedelta = CLOCK_SKEW) -> None:
        self._authorities = tuple(authorities)
        self._skew = clock_skew
        self._found: dict[tuple[bytes, ...], _Path] = {}
        self._guard = threading.Lock()

    def judge(self, signer: Signer, *, now: datetime) -> tuple[Certificate, ...]:
        """The path from the signer's certificate to an authority, both included, where all of it is valid at ``now``.

        ``now`` is aware UTC; a certificate that becomes valid within the clock skew counts as valid. Raises
        ``ExpiredSignerError`` or ``UntrustedSignerError``, which are ``MessageError``.
        """
        return self.judge_certificate(signer.der, signer.embedded, now=now)

    def judge_certificate(
        self, der: bytes, embedded: Sequence[bytes] = (), *, now: datetime
    ) -> tuple[Certificate, ...]:
        """``judge`` for a certificate in DER, of which others have verified that the client has its key."""
        # With what came with it, so that the answer is the same whatever came before.
        key = (der, *embedded)
        found = self._found.get(key)
        if found is None or not found.start <= now <= found.end:
            found = self._find(der, embedded, now)
            with self._guard:
                while len(self._found) >= _REMEMBERED:
                    del self._found[next(iter(self._found))]
                self._found[key] = found
        return found.certificates

    def _find(self, der: bytes, embedded: Sequence[bytes], now: datetime) -> _Path:
        try:
            certificate = Certificate(der, _PLACE)
        except CertificateError as error:
            raise UntrustedSignerError(error.message, where=_PLACE, hint="refuse the message") from None
        if not is_exact(certificate):
            # The same certificate with another fingerprint would be another device's.
            message = f"{certificate.name} is not written as its CA wrote it"
            raise UntrustedSignerError(message, where=_PLACE, hint="refuse the message")
        if certificate.is_ca:
            message = f"{certificate.name} is a CA, and no device has its key"
            raise UntrustedSignerError(message, where=_PLACE, hint="refuse the message")
        if not certificate.may_authenticate_client:
            message = f"{certificate.name} has an extendedKeyUsage without clientAuth"
            raise UntrustedSignerError(message, where=_PLACE, hint="issue identities with clientAuth")
        others = self._joining(embedded)
        if not any(is_signed_by(certificate.parsed, each) for each in (*others, *self._authorities)):
            raise _untrusted(certificate, "no path to a trusted certificate")
        early = timedelta() < certificate.not_before - now <= self._skew
        at = certificate.not_before if early else now
        path, reason = trust_path(certificate, others, self._authorities, at=at)
        if not path:
            self._refuse(certificate, others, reason, at)
        start = max(each.not_before for each in path)
        return _Path(path, shift(start, -self._skew), min(each.not_after for each in path))

    def _joining(self, embedded: Sequence[bytes]) -> tuple[Certificate, ...]:
        """Those certificates that an authority signed, or another one of them.

        The others are the sender's own: building paths from CAs of one name that sign each other takes a second, and so
        does each key with an exponent as long as itself.
        """
        found: list[Certificate] = []
        left = dict.fromkeys(embedded)
        issuers: Sequence[Certificate] = self._authorities
        while left and issuers:
            fresh = [each for each in left if _is_signed_by_any(each, issuers)]
            for each in fresh:
                del left[each]
            issuers = tuple(_readable(fresh))
            found += issuers
        return tuple(found)

    def _refuse(self, certificate: Certificate, others: Sequence[Certificate], reason: str, at: datetime) -> None:
        """Raise the error that tells what has ended from what was never trusted."""
        valid = certificate.not_before <= at <= certificate.not_after
        path, _ = trust_path(certificate, others, self._authorities, at=certificate.not_before)
        if not path:
            raise _untrusted(certificate, reason)
        if valid:
            message = f"a CA above {certificate.name} has expired or is not valid yet"
            hint = "have the CA renewed, then name the new one too"
        else:
            message = (
                f"{certificate.name} is valid from {stamp(certificate.not_before)} to {stamp(certificate.not_after)}"
            )
            hint = "have the device get a new identity: replace its profile"
        raise ExpiredSignerError(message, where=_PLACE, hint=hint)


class _Path(NamedTuple):
    """A path that was found, and the time in which all of it is valid."""

    certificates: tuple[Certificate, ...]
    start: datetime
    end: datetime


def _untrusted(certificate: Certificate, reason: str) -> UntrustedSignerError:
    message = f"{certificate.name} was not issued by a trusted CA: {reason}"
    hint = "name the CA that issues the devices' identities, or refuse the message"
    return UntrustedSignerError(message, where=_PLACE, hint=hint)


def _is_signed_by_any(der: bytes, issuers: Sequence[Certificate]) -> bool:
    try:
        parsed = x509.load_der_x509_certificate(der)
    except (Warning, *X509_ERRORS):
        return False
    return any(is_signed_by(parsed, each) for each in issuers)


def _readable(ders: Sequence[bytes]) -> Iterator[Certificate]:
    """The certificates that can be read; the others join nothing."""
    for der in ders:
        with contextlib.suppress(CertificateError):
            yield shared_certificate(der, _PLACE)
