"""Pins in the tables of a database: what a store does, in SQL that SQLite and PostgreSQL both understand.

A device that authenticates takes its certificates first, in order, and its pin after them; an administrator's changes
wait until nobody else is at it. So no two wait for each other.
"""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, Self

from mdmprofile.errors import PinError, PinMismatchError, PinStoreError
from mdmprofile.pins import (
    ADDED,
    IMPORTED,
    MOVED,
    PINNED,
    REMOVED,
    Pin,
    PinEvent,
    Reservation,
    is_of,
    taken,
)

# Times are seconds since 1970 in UTC. Identifiers and serial numbers are folded; ``name`` is as the device wrote it.
TABLES = (
    """CREATE TABLE mdm_pin_certificates (
  certificate TEXT PRIMARY KEY,
  identifier TEXT NOT NULL,
  serial TEXT NOT NULL,
  since BIGINT NOT NULL
)""",
    "CREATE INDEX mdm_pin_certificates_of ON mdm_pin_certificates (identifier)",
    """CREATE TABLE mdm_pins (
  identifier TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  certificate TEXT NOT NULL UNIQUE,
  since BIGINT NOT NULL
)""",
    """CREATE TABLE mdm_pin_events (
  id {number} PRIMARY KEY,
  at BIGINT NOT NULL,
  identifier TEXT NOT NULL,
  name TEXT NOT NULL,
  certificate TEXT NOT NULL,
  what TEXT NOT NULL
)""",
    "CREATE INDEX mdm_pin_events_of ON mdm_pin_events (identifier, id)",
)
FIND = "SELECT name, certificate, since FROM mdm_pins WHERE identifier = :identifier"
_OWNER = "SELECT identifier, serial FROM mdm_pin_certificates WHERE certificate = :certificate"
_RESERVE = (
    "INSERT INTO mdm_pin_certificates (certificate, identifier, serial, since) "
    "VALUES (:certificate, :identifier, :serial, :since) ON CONFLICT (certificate) DO NOTHING"
)
# It changes nothing in a row that is there, but holds it: nobody else can take it, or remove it, before this is done.
_TAKE = _RESERVE.replace("NOTHING", "UPDATE SET since = mdm_pin_certificates.since")
_CLAIM = "UPDATE mdm_pin_certificates SET identifier = :identifier WHERE certificate = :certificate AND identifier = ''"
_PIN = (
    "INSERT INTO mdm_pins (identifier, name, certificate, since) VALUES (:identifier, :name, :certificate, :since) "
    "ON CONFLICT (identifier) DO UPDATE SET certificate = excluded.certificate, since = excluded.since"
)
_TELL = (
    "INSERT INTO mdm_pin_events (at, identifier, name, certificate, what) "
    "VALUES (:at, :identifier, :name, :certificate, :what)"
)
_OWN = "SELECT certificate FROM mdm_pin_certificates WHERE identifier = :identifier ORDER BY since, certificate"
_FREE = "DELETE FROM mdm_pin_certificates WHERE identifier = :identifier"
_FORGET = "DELETE FROM mdm_pins WHERE identifier = :identifier"
_PINS = (
    "SELECT identifier, name, certificate, since FROM mdm_pins WHERE identifier > :after ORDER BY identifier LIMIT 1000"
)
_EVENTS = "SELECT id, at, name, certificate, what FROM mdm_pin_events WHERE id > :after{} ORDER BY id LIMIT 1000"
_OF_ONE = " AND identifier = :identifier"
# Values in a statement, and pins in a transaction, during which devices that authenticate wait.
_AT_ONCE = 500
# A quarter of a second, of which little is waiting for the disk.
_RESERVED_AT_ONCE = 5000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Run(Protocol):
    """Runs a statement inside a transaction, with named values; the rows, none where it returns none."""

    def __call__(self, statement: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Any]:
        """``values`` may be a list of them: the statement is then run for each, and returns nothing."""


class TableStore(abc.ABC):
    """A ``PinStore`` over a database; what is left to the database's own class is how to open a transaction."""

    quick = False

    @abc.abstractmethod
    def _reading(self) -> AbstractContextManager[Run]:
        """Run statements that change nothing."""

    @abc.abstractmethod
    def _writing(self, *, alone: bool = False) -> AbstractContextManager[Run]:
        """Run statements of which all take effect, or none; ``alone``: while nobody else writes."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of the database."""

    def find(self, identifier: str) -> Pin | None:
        """The device's pin; None when it has none."""
        with self._reading() as run:
            rows = run(FIND, {"identifier": identifier.casefold()})
        return pin_of(rows[0]) if rows else None

    def owner(self, certificate: str) -> tuple[str, str] | None:
        """The identifier and serial number, folded, of the device that a certificate belongs to."""
        with self._reading() as run:
            rows = run(_OWNER, {"certificate": certificate})
        return (str(rows[0][0]), str(rows[0][1])) if rows else None

    def authenticate(self, identifier: str, certificate: str, *, at: datetime, serial: str = "", twin: str = "") -> Pin:
        """Make or move the device's pin. Raises ``PinTakenError``."""
        now = int(at.timestamp())
        with self._writing() as run:
            # In order, so that two devices which try each other's certificates do not wait for each other.
            for each in sorted({certificate, twin} - {""}):
                if not _take(run, identifier.casefold(), each, now, serial=serial.casefold()):
                    raise taken(identifier)
            return _pin(run, identifier, certificate, now, "")

    def add(self, identifier: str, certificate: str, *, at: datetime, force: bool = False) -> Pin:
        """Make or move a device's pin; with ``force`` another device that has it is removed. Or ``PinTakenError``."""
        now = int(at.timestamp())
        with self._writing(alone=True) as run:
            if not _take(run, identifier.casefold(), certificate, now, serial=None):
                if not force:
                    raise taken(identifier)
                ((owner, _),) = run(_OWNER, {"certificate": certificate})
                _forget(run, owner, now)
                _take(run, identifier.casefold(), certificate, now, serial=None)
            return _pin(run, identifier, certificate, now, ADDED)

    def load(self, some: Iterable[tuple[str, str]], *, at: datetime) -> Iterator[PinError]:
        """Take over pins that were made elsewhere; those that cannot be come back as an error."""
        now = int(at.timestamp())
        whole = iter(some)
        while batch := list(itertools.islice(whole, _AT_ONCE)):
            refused: list[PinError] = []
            with self._writing(alone=True) as run:
                for identifier, certificate in batch:
                    before = run(FIND, {"identifier": identifier.casefold()})
                    if before and before[0][1] != certificate:
                        refused.append(_pinned_here(identifier))
                    elif _take(run, identifier.casefold(), certificate, now, serial=None):
                        _pin(run, identifier, certificate, now, IMPORTED)
                    else:
                        refused.append(taken(identifier))
            yield from refused

    def remove(self, identifier: str, *, at: datetime) -> bool:
        """Forget a device, and set its certificates free; whether there were any."""
        with self._writing(alone=True) as run:
            return _forget(run, identifier, int(at.timestamp()))

    def reserve(self, some: Iterable[Reservation], *, at: datetime) -> Iterator[Reservation]:
        """Record for which devices certificates were issued; those that belong to another device come back."""
        now = int(at.timestamp())
        whole = iter(some)
        while batch := list(itertools.islice(whole, _RESERVED_AT_ONCE)):
            rows = [
                {
                    "certificate": each.certificate,
                    "identifier": each.identifier.casefold(),
                    "serial": each.serial.casefold(),
                    "since": now,
                }
                # Neighbours in the index one after another: each page of it is written once.
                for each in sorted(batch, key=lambda each: each.certificate)
            ]
            with self._writing(alone=True) as run:
                run(_RESERVE, rows)
                owners = _owners(run, [each.certificate for each in batch])
            for each in batch:
                owner = owners[each.certificate]
                same = owner[0] == each.identifier.casefold() or not each.identifier or not owner[0]
                if not same or (owner[1] and each.serial and owner[1] != each.serial.casefold()):
                    yield each

    def pins(self) -> Iterator[Pin]:
        """Every pin, by identifier."""
        after = ""
        while True:
            with self._reading() as run:
                rows = run(_PINS, {"after": after})
            for identifier, name, certificate, since in rows:
                after = identifier
                yield Pin(name, certificate, _moment(since))
            if not rows:
                return

    def history(self, identifier: str = "") -> Iterator[PinEvent]:
        """What happened, to one device or to all, in order."""
        statement = _EVENTS.format(_OF_ONE if identifier else "")
        after = 0
        while True:
            with self._reading() as run:
                rows = run(statement, {"after": after, "identifier": identifier.casefold()})
            for number, at, name, certificate, what in rows:
                after = number
                yield PinEvent(_moment(at), name, certificate, what)
            if not rows:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def pin_of(row: Sequence[Any]) -> Pin:
    """The pin in a row of ``FIND``."""
    return Pin(row[0], row[1], _moment(row[2]))


def _owners(run: Run, certificates: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The identifier and serial number that each certificate belongs to."""
    owners = {}
    for start in range(0, len(certificates), _AT_ONCE):
        names = {f"c{number}": each for number, each in enumerate(certificates[start : start + _AT_ONCE])}
        # What is put together here are names of values.
        marks = ", ".join(f":{each}" for each in names)
        found = run(
            "SELECT certificate, identifier, serial FROM mdm_pin_certificates "  # noqa: S608
            f"WHERE certificate IN ({marks})",
            names,
        )
        owners.update({row[0]: (row[1], row[2]) for row in found})
    return owners


def _take(run: Run, device: str, certificate: str, now: int, *, serial: str | None) -> bool:
    """Have the certificate be the device's; whether it is. ``serial`` is None where that does not matter."""
    values = {"certificate": certificate, "identifier": device, "serial": "", "since": now}
    run(_TAKE, values)
    (owner,) = run(_OWNER, values)
    if serial is None and not owner[0]:
        serial = owner[1]
    if not is_of(owner, device, serial or ""):
        return False
    if not owner[0]:
        run(_CLAIM, values)
    return True


def _forget(run: Run, identifier: str, now: int) -> bool:
    """Remove the device's pin and set its certificates free; whether there were any."""
    device = {"identifier": identifier.casefold()}
    before = run(FIND, device)
    values = device | {"name": before[0][0] if before else identifier, "at": now, "what": REMOVED}
    freed = [values | {"certificate": certificate} for (certificate,) in run(_OWN, device)]
    run(_FORGET, device)
    run(_FREE, device)
    if freed:
        run(_TELL, freed)
    return bool(freed)


def _pinned_here(identifier: str) -> PinMismatchError:
    message = f"the device {identifier} has another pin here, which may be newer"
    hint = "see mdmprofile pins list --history; mdmprofile pins add moves it"
    return PinMismatchError(message, where=identifier, hint=hint)


def _pin(run: Run, identifier: str, certificate: str, now: int, what: str) -> Pin:
    """Make or move the pin, once the certificate is the device's."""
    device = identifier.casefold()
    before = run(FIND, {"identifier": device})
    if before and before[0][1] == certificate:
        return pin_of(before[0])
    values = {"identifier": device, "name": identifier, "certificate": certificate, "since": now}
    run(_PIN, values)
    run(_TELL, values | {"at": now, "what": what or (MOVED if before else PINNED)})
    return Pin(identifier, certificate, _moment(now))


def _moment(seconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, TypeError):
        raise PinStoreError("holds a time that is none", hint="restore it from a backup") from None
