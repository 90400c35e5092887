"""What both kinds of middleware ask: who sent this message, and whether it is that device's own certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.device_messages import DeviceMessage, read_message
from mdmprofile.device_trust import DeviceTrust
from mdmprofile.errors import BadSignatureError, MessageFormatError, MissingSignatureError
from mdmprofile.message import CLOCK_SKEW, HEADER, Signer, verify_mdm_signature
from mdmprofile.middleware.proxies import ProxyCertificates
from mdmprofile.pins import PinStore, check_pin
from mdmprofile.shared import shared_certificate
from mdmprofile.twins import twin_of

SIGNATURE = HEADER.lower()
# How long reading a body of this size takes is no matter of an event loop.
_LONG = 64 * 1024


class Sender(NamedTuple):
    """Who sent a message: the certificate in DER, what the message says of the device, and how it was signed.

    ``signer`` is None when a proxy passed the certificate on. ``twin`` is, for an Authenticate, the fingerprint of the
    certificate's twin, see ``twins``.
    """

    der: bytes
    message: DeviceMessage
    signer: Signer | None
    twin: str

    def __repr__(self) -> str:
        return f"Sender(udid={self.udid!r}, sha256={self.sha256!r})"

    @property
    def udid(self) -> str:
        """The device's UDID, or in a user enrollment its EnrollmentID."""
        return self.message.identifier

    @property
    def sha256(self) -> str:
        """The SHA-256 fingerprint of the certificate, lower-case hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def certificate(self) -> Certificate:
        """The certificate, parsed in full."""
        return shared_certificate(self.der, HEADER)


class Headers(NamedTuple):
    """What is needed of a request: the values of both headers, and the address it comes from; None for a socket."""

    signatures: Sequence[bytes]
    certificates: Sequence[bytes]
    address: str | None


class Guard:
    """Verifies messages, trusts their signers, and holds them against the pins; for any number of threads.

    ``trust`` has the CAs that issue the devices' identities. Without ``pins`` the application has to compare the
    certificate with the device's itself. With ``proxy``, a certificate that a trusted proxy passes on stands for a
    signature. ``clock`` is aware UTC.
    """

    def __init__(
        self,
        trust: DeviceTrust,
        pins: PinStore | None = None,
        *,
        proxy: ProxyCertificates | None = None,
        clock_skew: timedelta = CLOCK_SKEW,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._trust = trust
        self._pins = pins
        self._skew = clock_skew
        self._clock = clock
        self.proxy = proxy

    def judge(self, headers: Headers, body: bytes) -> Sender:
        """Who sent the message. Raises ``MessageError`` for one to refuse, ``PinStoreError`` when nobody can tell."""
        sender = self.verified(headers, body)
        self.pinned(sender)
        return sender

    def verified(self, headers: Headers, body: bytes) -> Sender:
        """The first half of ``judge``: who signed it, trusted; ``is_quick`` says how long it takes."""
        return self._sender(headers, body, self._clock())

    def pinned(self, sender: Sender) -> None:
        """The second half: whether that is the device's certificate; ``pins_quickly`` says how long it takes."""
        if self._pins is not None:
            check_pin(self._pins, sender.message, sender.sha256, at=self._clock(), twin=sender.twin)

    def is_quick(self, body: bytes) -> bool:
        """Whether verifying takes no longer than an event loop may wait."""
        return len(body) <= _LONG

    def pins_quickly(self, sender: Sender) -> bool:
        """Whether an event loop may wait for the pin: an Authenticate writes to the disk, and waits for others."""
        return self._pins is None or (self._pins.quick and not sender.message.authenticates)

    def _sender(self, headers: Headers, body: bytes, now: datetime) -> Sender:
        passed = self._passed_on(headers)
        if len(headers.signatures) > 1:
            raise MessageFormatError("is there more than once", where=HEADER, hint="refuse the message")
        if headers.signatures:
            signer = verify_mdm_signature(headers.signatures[0], body, clock_skew=self._skew)
            if passed is not None and passed != signer.der:
                message = "was made with another certificate than the one that the proxy passes on"
                raise BadSignatureError(message, where=HEADER, hint="refuse the message")
            path = self._trust.judge(signer, now=now)
            return _sender(signer.der, read_message(body), signer, path)
        if passed is None:
            raise self._nothing(headers)
        path = self._trust.judge_certificate(passed, now=now)
        return _sender(passed, read_message(body), None, path)

    def _passed_on(self, headers: Headers) -> bytes | None:
        """The certificate that a proxy passes on, where there is one that may."""
        if self.proxy is None or not self.proxy.trusts(headers.address):
            return None
        return self.proxy.certificate(headers.certificates)

    def _nothing(self, headers: Headers) -> MissingSignatureError:
        if headers.certificates and self.proxy is not None:
            message = f"is missing, and {self.proxy.header} comes from {headers.address!r}, which is not trusted"
            return MissingSignatureError(message, where=HEADER, hint="name the proxy's address as trusted")
        message = "is missing from the message"
        return MissingSignatureError(message, where=HEADER, hint="set sign_message = true in the profile's [server]")


def _sender(der: bytes, message: DeviceMessage, signer: Signer | None, path: Sequence[Certificate]) -> Sender:
    # Only an Authenticate can give a certificate to another device.
    twin = twin_of(path[0], path[1]) if message.authenticates and path[1:] else ""
    return Sender(der, message, signer, twin)
