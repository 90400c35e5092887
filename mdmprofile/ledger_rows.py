"""What a ledger holds: a row for each profile that was begun, and how a row is stored."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

LEDGER_NAME = "ledger.sqlite"
APPLICATION_ID = 0x6D646D70  # "mdmp"
SCHEMA_VERSION = 1

BEGUN, MADE, ABANDONED, SUPERSEDED = "begun", "made", "abandoned", "superseded"
_STATES = frozenset((BEGUN, MADE, ABANDONED, SUPERSEDED))

# Times are seconds since 1970 in UTC. What is unknown of a device is NULL: of those a unique index allows any number.
# The indexes go by ``live``, which finishing a row does not change, and so leaves them alone: they cost most of the
# time.
SCHEMA = (
    "CREATE TABLE runs (id INTEGER PRIMARY KEY, started INTEGER NOT NULL, finished INTEGER) STRICT",
    """CREATE TABLE profiles (
  id INTEGER PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('begun', 'made', 'abandoned', 'superseded')),
  live INTEGER NOT NULL CHECK (live = (state IN ('begun', 'made'))),
  reason TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL,
  udid TEXT COLLATE NOCASE,
  serial TEXT COLLATE NOCASE,
  identity TEXT NOT NULL,
  certificate_sha256 TEXT NOT NULL DEFAULT '',
  certificate_serial TEXT NOT NULL,
  subject TEXT NOT NULL DEFAULT '',
  not_before INTEGER,
  not_after INTEGER,
  client_identifier TEXT NOT NULL DEFAULT '',
  profile_sha256 TEXT NOT NULL DEFAULT '',
  size INTEGER NOT NULL DEFAULT 0,
  made INTEGER NOT NULL,
  config TEXT NOT NULL,
  config_sha256 TEXT NOT NULL
) STRICT""",
    "CREATE UNIQUE INDEX one_of_a_udid ON profiles (udid) WHERE live = 1",
    "CREATE UNIQUE INDEX one_of_a_serial ON profiles (serial) WHERE live = 1",
    "CREATE UNIQUE INDEX one_of_a_name ON profiles (name) WHERE live = 1",
)
COLUMNS = (
    "id, state, reason, name, coalesce(udid, ''), coalesce(serial, ''), identity, certificate_sha256, "
    "certificate_serial, subject, not_before, not_after, client_identifier, profile_sha256, size, made, config, "
    "config_sha256"
)
BEGIN = (
    "INSERT INTO profiles (id, state, live, name, udid, serial, identity, certificate_serial, made, config, "
    "config_sha256) VALUES (?, 'begun', 1, ?, ?, ?, ?, ?, ?, ?, ?)"
)
FINISH = (
    "UPDATE profiles SET state = 'made', certificate_sha256 = ?, certificate_serial = ?, subject = ?, not_before = ?, "
    "not_after = ?, client_identifier = ?, profile_sha256 = ?, size = ?, made = ?, config = ?, config_sha256 = ? "
    "WHERE id = ? AND state = 'begun' AND name = ?"
)
_MAGIC = b"SQLite format 3\0"
HEADER = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Entry(NamedTuple):
    """One profile that was made for one device; ``repr`` shows no client identifier.

    ``name`` is its file, "/"-separated, relative to the ledger's directory. ``udid`` and ``serial`` are empty where
    nobody knows them. ``identity`` is ``scep``, ``acme`` or ``pkcs12``. Of a certificate that the device fetches by
    itself, ``certificate_sha256`` and ``certificate_serial`` (of the X.509 certificate) are empty, ``subject`` is the
    one asked for and ``not_after`` the expected end; all hexadecimal is lower-case, the subject as in RFC 4514.
    ``client_identifier`` is what the ACME server must know. ``size`` is in bytes; times are aware UTC, kept to the
    second. ``config`` and ``config_sha256`` say what it was made from.
    """

    name: str
    udid: str
    serial: str
    identity: str
    certificate_sha256: str
    certificate_serial: str
    subject: str
    not_before: datetime | None
    not_after: datetime | None
    client_identifier: str
    profile_sha256: str
    size: int
    made: datetime
    config: str
    config_sha256: str

    def __repr__(self) -> str:
        fields = (f"{key}={value!r}" for key, value in self._asdict().items() if key != "client_identifier")
        return f"Entry({', '.join(fields)})"


class Begun(NamedTuple):
    """A device whose profile is about to be made: what is recorded before anything is issued for it.

    The fields are those of ``Entry``; ``made`` is the time.
    """

    name: str
    udid: str
    serial: str
    identity: str
    certificate_serial: str
    made: datetime
    config: str
    config_sha256: str


class Recorded(NamedTuple):
    """One row: its id, its state, why it was abandoned, and what is known of the profile so far."""

    id: int
    state: str
    reason: str
    entry: Entry


def says_ledger(start: bytes) -> bool:
    """Whether the first hundred bytes of a file are those of a ledger, whole or not."""
    return start.startswith(_MAGIC) and start[68:72] == APPLICATION_ID.to_bytes(4)


def begun_values(row: int, each: Begun) -> tuple[Any, ...]:
    """What ``BEGIN`` stores, under this id."""
    return (
        row,
        each.name,
        each.udid or None,
        each.serial or None,
        each.identity,
        each.certificate_serial,
        seconds(each.made),
        each.config,
        each.config_sha256,
    )


def finished_values(row: int, entry: Entry) -> tuple[Any, ...]:
    """What ``FINISH`` stores in the row of this id, which keeps its device and its name."""
    begin, end = entry.not_before, entry.not_after
    return (
        *entry[4:7],
        None if begin is None else seconds(begin),
        None if end is None else seconds(end),
        *entry[9:12],
        seconds(entry.made),
        *entry[13:],
        row,
        entry.name,
    )


def recorded(row: tuple[Any, ...]) -> Recorded:
    """A row of ``COLUMNS``; raises ``ValueError`` or ``TypeError`` where damage put there what nobody wrote."""
    begin, end, size = row[10], row[11], row[14]
    # Damage can turn text into numbers and these into text; only text can be joined.
    "".join((*row[1:10], row[12], row[13], *row[16:]))
    if not isinstance(size, int) or row[1] not in _STATES:
        raise TypeError
    times = (None if begin is None else _moment(begin), None if end is None else _moment(end))
    entry = Entry._make((*row[3:10], *times, *row[12:15], _moment(row[15]), *row[16:]))
    return Recorded(row[0], row[1], row[2], entry)


@lru_cache(maxsize=8)  # A run has the same few for all its rows.
def seconds(moment: datetime) -> int:
    """An aware time as it is stored: whole seconds since 1970 in UTC."""
    return math.floor(moment.timestamp())


def folded(text: str) -> str:
    """The text as SQLite's NOCASE compares it, which knows the letters of ASCII alone."""
    return text.lower() if text.isascii() else text.encode("utf-8").lower().decode("utf-8")


def _moment(stored: int) -> datetime:
    return _EPOCH + timedelta(seconds=stored)
