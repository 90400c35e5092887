"""Whose certificate it is: which device authenticated with which one, and what follows for its messages.

A pin is made by ``Authenticate``, with which an enrollment begins, and moved by a new one alone; every other message
has to come with the same certificate. A certificate belongs to one device for good, unless an administrator removes it.
Where pins are kept is for the stores: ``pins_sqlite`` for one machine, ``pins_sql`` for servers that outgrow it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from mdmprofile.device_messages import DeviceMessage
from mdmprofile.errors import PinError, PinMismatchError, PinTakenError, PinUnknownError

PINNED, MOVED, ADDED, IMPORTED, REMOVED = "pinned", "moved", "added", "imported", "removed"

_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_PLACE = "the device's certificate"


class Pin(NamedTuple):
    """Which certificate is a device's: its SHA-256 in lower-case hexadecimal, since when in UTC."""

    identifier: str
    certificate: str
    since: datetime


class PinEvent(NamedTuple):
    """What happened: the device was ``pinned`` or ``moved`` by itself, ``added`` or ``imported`` by an administrator.

    Or one of its certificates was set free: ``removed``, an event for each.
    """

    at: datetime
    identifier: str
    certificate: str
    what: str


class Reservation(NamedTuple):
    """A certificate that was issued for a device which has not authenticated yet.

    ``identifier`` may be empty where the device is known by its ``serial`` number alone, and the other way round.
    """

    identifier: str
    serial: str
    certificate: str


class PinStore(Protocol):
    """Where pins are kept. Every method raises ``PinStoreError`` when the store cannot be used.

    Identifiers are compared without regard to case. Stores may be used by several threads and processes at once.
    """

    @property
    def quick(self) -> bool:
        """Whether ``find`` answers in microseconds, so that an event loop can wait for it."""

    def find(self, identifier: str) -> Pin | None:
        """The device's pin; None when it has none."""

    def owner(self, certificate: str) -> tuple[str, str] | None:
        """The identifier and serial number of the device that a certificate belongs to; None when it is nobody's."""

    def authenticate(self, identifier: str, certificate: str, *, at: datetime, serial: str = "", twin: str = "") -> Pin:
        """Make or move the device's pin, and return it.

        ``twin`` is another certificate that is the same. Raises ``PinTakenError`` when one of them belongs, or
        belonged, to another device, or was issued for another.
        """

    def add(self, identifier: str, certificate: str, *, at: datetime, force: bool = False) -> Pin:
        """Make or move a device's pin as an administrator decides, and return it.

        Raises ``PinTakenError`` when the certificate belongs to another device; with ``force`` that one is removed.
        """

    def load(self, some: Iterable[tuple[str, str]], *, at: datetime) -> Iterator[PinError]:
        """Take over pins, of an identifier and a certificate each, that were made elsewhere, while it is iterated.

        What cannot be changes nothing and comes back: a certificate that is another device's as ``PinTakenError``, a
        device that has another pin here already, which may be newer, as ``PinMismatchError``.
        """

    def remove(self, identifier: str, *, at: datetime) -> bool:
        """Forget a device, and set its certificates free, those too that were reserved; whether there were any."""

    def reserve(self, some: Iterable[Reservation], *, at: datetime) -> Iterator[Reservation]:
        """Record for which devices certificates were issued, while it is iterated; those of another come back."""

    def pins(self) -> Iterator[Pin]:
        """Every pin, by identifier, however many there are."""

    def history(self, identifier: str = "") -> Iterator[PinEvent]:
        """What happened, to one device or to all, in order."""

    def close(self) -> None:
        """Let go of the store."""


def check_pin(store: PinStore, message: DeviceMessage, certificate: str, *, at: datetime, twin: str = "") -> Pin:
    """Tell whether a message comes from the device that it names; ``Authenticate`` makes or moves the pin.

    ``certificate`` is the SHA-256 of the certificate that signed the message, which is trusted; ``twin`` that of its
    twin, see ``twins``; ``at`` is aware UTC. Raises ``PinUnknownError``, ``PinMismatchError`` or ``PinTakenError``.
    """
    if message.udid and message.enrollment_id:
        # Whoever reads the other name is to find the same device.
        other = store.find(message.enrollment_id)
        if other is not None and other.certificate != certificate:
            raise mismatch(message.enrollment_id)
    if message.authenticates:
        return store.authenticate(message.identifier, certificate, at=at, serial=message.serial, twin=twin)
    return compare(store, message.identifier, certificate)


def compare(store: PinStore, identifier: str, certificate: str) -> Pin:
    """The device's pin, when it is of this certificate. Raises ``PinUnknownError`` or ``PinMismatchError``."""
    pin = store.find(identifier)
    if pin is None:
        raise unknown(identifier)
    if pin.certificate != certificate:
        raise mismatch(identifier)
    return pin


def unknown(identifier: str) -> PinUnknownError:
    """The error for a device that has no pin."""
    message = f"the device {identifier} has not authenticated"
    hint = "have it enroll again, or add its certificate with mdmprofile pins add"
    return PinUnknownError(message, where=_PLACE, hint=hint)


def mismatch(identifier: str) -> PinMismatchError:
    """The error for a device that comes with another certificate."""
    message = f"the device {identifier} authenticated with another certificate"
    return PinMismatchError(message, where=_PLACE, hint="have it enroll again: only Authenticate moves a pin")


def taken(identifier: str) -> PinTakenError:
    """The error for a certificate that is another device's. Whose it is, is nothing for the one who tries."""
    message = f"the certificate that {identifier} comes with belongs to another device"
    hint = "give each device an identity of its own; mdmprofile pins remove sets the certificates of a device free"
    return PinTakenError(message, where=_PLACE, hint=hint)


def fingerprint(text: str) -> str:
    """A SHA-256 fingerprint as people write it, with colons or in capitals. Raises ``PinError`` for anything else."""
    found = text.strip().replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(found):
        message = "is no SHA-256 fingerprint of a certificate"
        raise PinError(message, where=text[:80], hint="write its 64 hexadecimal digits")
    return found


def is_of(owner: Sequence[str], identifier: str, serial: str) -> bool:
    """Whether the owner of a certificate, an identifier and a serial number, is this device."""
    owner_identifier, owner_serial = owner
    if owner_identifier:
        return owner_identifier == identifier.casefold()
    # Issued for a serial number: a device that does not say its own could be any.
    return owner_serial == serial.casefold()
