"""Every device of a table in order, and what is wrong with the other rows, however many there are.

A duplicate is known only when the whole table was read, and a table does not fit into the memory. So the rows wait in
a private temporary database, which SQLite removes from the directory as soon as it is open.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import compress, islice
from operator import itemgetter
from typing import Self
from unicodedata import normalize

from mdmprofile.devices.filenames import FileNames
from mdmprofile.devices.table import BadRow, Device
from mdmprofile.errors import InputError, OutputError
from mdmprofile.findings import Finding, finding

MAX_FINDINGS = 1000
_STEP = 1000
# The size of the cache is in KiB; a rollback is never asked for.
_TABLES = """
    PRAGMA temp_store = FILE;
    PRAGMA journal_mode = OFF;
    PRAGMA cache_size = -16384;
    CREATE TABLE device (
        number INTEGER PRIMARY KEY, line INTEGER, record TEXT, name TEXT, serial TEXT, udid TEXT, file TEXT
    );
    CREATE TABLE twice (what TEXT, same TEXT, first INTEGER, PRIMARY KEY (what, same)) WITHOUT ROWID;
    CREATE TABLE later (number INTEGER PRIMARY KEY, line INTEGER, what TEXT, first INTEGER);
"""
_INSERT = "INSERT INTO device (line, record, name, serial, udid, file) VALUES (?, ?, ?, ?, ?, ?)"
# Sorted at the end: an index that grows with each row would be read and written all over.
_TWICE = """
    INSERT INTO twice SELECT '{column}', {column}, min(line) FROM device WHERE {column} <> ''
    GROUP BY {column} HAVING count(*) > 1
"""
_LATER = """
    INSERT OR IGNORE INTO later
    SELECT device.number, device.line, '{column}', twice.first
    FROM device CROSS JOIN twice ON twice.what = '{column}' AND twice.same = device.{column}
    WHERE device.line > twice.first
"""
_FIRST_LATER = "SELECT line, what, first FROM later ORDER BY number LIMIT ?"
_GOOD = "SELECT line, record, name FROM device WHERE number NOT IN (SELECT number FROM later) ORDER BY number"
_SAME = {"udid": "the UDID", "serial": "the serial number", "file": "the file's name"}


class Spool:
    """The devices of a table, read to its end by the constructor; a context manager.

    ``names`` names their files. ``progress`` is told now and then how many rows were read. With ``shard=(K, N)`` only
    every Nth device is kept, beginning with the Kth, K from 1 to N: the shards are disjoint and together the table,
    and what is wrong with the table is found in each.

    ``count`` is the number of devices that are kept, ``bad`` of the rows that give none, and ``findings`` says why, for
    the first 1,000 of these. Of rows with the same UDID, serial number or file the first counts; case makes no
    difference, as in the file systems of macOS and Windows.

    Raises ``InputError`` for a table without a single row, ``OutputError`` where there is no room for it, and whatever
    reading the rows raises.
    """

    def __init__(
        self,
        rows: Iterable[Device | BadRow],
        names: FileNames,
        *,
        source: str,
        progress: Callable[[int], None] | None = None,
        shard: tuple[int, int] | None = None,
    ) -> None:
        self._kept, self._shards = shard or (1, 1)
        if not 1 <= self._kept <= self._shards:
            raise ValueError(f"there is no shard {self._kept} of {self._shards}")
        self.bad = 0
        self._findings: list[tuple[int, Finding]] = []
        # A pool takes the devices from a thread of its own.
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        try:
            with _room():
                self._read(rows, names, source, progress)
        except BaseException:
            self.close()
            raise
        self.findings = tuple(each for _, each in sorted(self._findings, key=itemgetter(0))[:MAX_FINDINGS])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary database."""
        self._database.close()

    def devices(self, wanted: Iterable[int] | None = None) -> Iterator[tuple[Device, str]]:
        """Each device that is kept, and its file's name, in the table's order; any number of times, also at once.

        With ``wanted``, a number for each device, only those whose number is not 0.
        """
        with _room():
            kept = islice(self._database.execute(_GOOD), self._kept - 1, None, self._shards)
            for line, record, name in kept if wanted is None else compress(kept, wanted):
                yield Device(line, _values(record)), name

    def _read(
        self,
        rows: Iterable[Device | BadRow],
        names: FileNames,
        source: str,
        progress: Callable[[int], None] | None,
    ) -> None:
        database = self._database
        database.executescript(_TABLES)
        database.execute("BEGIN")
        good = database.executemany(_INSERT, self._records(rows, names, source, progress)).rowcount
        for column in _SAME:
            if database.execute(_TWICE.format(column=column)).rowcount:
                database.execute(_LATER.format(column=column))
        database.execute("COMMIT")
        (later,) = database.execute("SELECT count(*) FROM later").fetchone()
        for line, column, first in database.execute(_FIRST_LATER, (MAX_FINDINGS,)):
            message = f"{_SAME[column]} is that of the row in line {first}"
            self._findings.append((line, finding("devices.duplicate", message, where=f"{source}:{line}")))
        self.count = len(range(self._kept - 1, good - later, self._shards))
        self.bad += later
        if not good and not self.bad:
            raise InputError("holds no device", where=source, hint="write a line for each device behind the header")

    def _records(
        self,
        rows: Iterable[Device | BadRow],
        names: FileNames,
        source: str,
        progress: Callable[[int], None] | None,
    ) -> Iterator[tuple[int, str, str, str, str, str]]:
        """What is kept of each device; the other rows become findings."""
        number = 0
        for number, row in enumerate(rows, 1):
            if progress is not None and number % _STEP == 0:
                progress(number)
            if isinstance(row, BadRow):
                self._refuse(row.rule, f"the row {row.reason}", source, row.line)
                continue
            try:
                name = names.of(row.values)
            except ValueError as error:
                self._refuse("devices.file-name", str(error), source, row.line)
                continue
            yield row.line, _record(row.values), name, _folded(row.serial), _folded(row.udid), _folded(name)
        if progress is not None and number % _STEP:
            progress(number)

    def _refuse(self, rule: str, message: str, source: str, line: int) -> None:
        self.bad += 1
        if self.bad <= MAX_FINDINGS:
            self._findings.append((line, finding(rule, message, where=f"{source}:{line}")))


def _record(values: Mapping[str, str]) -> str:
    """The columns and then their values. No row holds this character, which a property list cannot hold either."""
    return "\0".join((*values, *values.values()))


def _values(record: str) -> dict[str, str]:
    parts = record.split("\0")
    middle = len(parts) // 2
    return dict(zip(parts[:middle], parts[middle:], strict=True))


def _folded(text: str) -> str:
    """What two texts have in common that differ in case, or in how their accents are written."""
    if text.isascii():
        return text.lower()
    return normalize("NFC", normalize("NFC", text).casefold())


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        hint = "make room where temporary files go, or name another directory in the variable TMPDIR"
        raise OutputError(f"the device table cannot be kept while it is read: {error}", hint=hint) from None
