"""The record of what was issued to which device: one SQLite file, written while it happens, read by anybody later.

A row is ``begun`` before anything is issued for it, and ``made`` once its profile is complete; what came to nothing is
``abandoned``, what was made again is ``superseded``. No row is ever deleted. https://www.sqlite.org/wal.html says how
readers and the one writer get along.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mdmprofile.errors import PARSER_ERRORS, LedgerError
from mdmprofile.ledger_file import close, damaged, explained, hold, open_to_read, open_to_write, transaction
from mdmprofile.ledger_rows import (
    ABANDONED,
    BEGIN,
    BEGUN,
    COLUMNS,
    FINISH,
    LEDGER_NAME,
    MADE,
    SUPERSEDED,
    Begun,
    Entry,
    Recorded,
    begun_values,
    finished_values,
    folded,
    recorded,
    seconds,
)

__all__ = ["ABANDONED", "BEGUN", "LEDGER_NAME", "MADE", "SUPERSEDED", "Begun", "Entry", "Ledger", "Recorded", "hold"]

INTERRUPTED = "interrupted"
_AT_ONCE = 400


class Ledger:
    """A ledger that is open, for one thread; a context manager that closes it.

    Every method raises ``LedgerError`` where the file cannot be read or written, or is damaged. What a method writes
    is on the disk when it returns, or not at all.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Open it to write, made readable by its owner alone where it is absent.

        Raises ``LedgerError`` for anything else than a ledger, and for one of a newer version, locked or read-only.
        """
        return cls(open_to_write(path), path)

    @classmethod
    def read(cls, path: Path) -> Ledger:
        """Open it to read, also while a run writes to it; the file may come from anybody.

        No file is left beside one that nobody writes to. Raises ``LedgerError``.
        """
        return cls(open_to_read(path), path)

    def close(self) -> None:
        """Close it; one that was written to is a single file afterwards, unless somebody is reading it."""
        close(self._connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, devices: Sequence[Begun]) -> list[int]:
        """Record that profiles are about to be made, all or none; the rows' ids, in order.

        Raises ``LedgerError`` where a device, or the name of its file, has a row that is begun or made.
        """
        with transaction(self._connection, self._path):
            first = self._connection.execute("SELECT coalesce(max(id), 0) + 1 FROM profiles").fetchone()[0]
            self._connection.executemany(BEGIN, (begun_values(row, each) for row, each in enumerate(devices, first)))
        return list(range(first, first + len(devices)))

    def finish(self, entries: Sequence[tuple[int, Entry]]) -> None:
        """Record that the profiles of these begun rows are made, all or none."""
        self._change(FINISH, (finished_values(row, entry) for row, entry in entries), len(entries))

    def abandon(self, ids: Sequence[int], reason: str) -> None:
        """Record that nothing came of these begun rows, and why; all or none."""
        self._change(
            "UPDATE profiles SET state = 'abandoned', live = 0, reason = ? WHERE id = ? AND state = 'begun'",
            ((reason, each) for each in ids),
            len(ids),
        )

    def abandon_interrupted(self) -> int:
        """Abandon every row that a run which was killed had begun; how many there were.

        Only for whoever holds the directory: the rows of a run that is at work are begun too.
        """
        with transaction(self._connection, self._path):
            return self._connection.execute(
                "UPDATE profiles SET state = 'abandoned', live = 0, reason = ? WHERE state = 'begun'", (INTERRUPTED,)
            ).rowcount

    def supersede(self, ids: Collection[int]) -> None:
        """Record that the profiles of these made rows are about to be made again; all or none."""
        self._change(
            "UPDATE profiles SET state = 'superseded', live = 0 WHERE id = ? AND state = 'made'",
            ((each,) for each in ids),
            len(ids),
        )

    def current(self, udid: str, serial: str) -> tuple[int, Entry] | None:
        """The made row of this device: of the same UDID, or else of the same serial number, whatever their case."""
        return self.lookup([(udid, serial)]).get((udid, serial))

    def lookup(self, devices: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, Entry]]:
        """``current`` of any number of devices, by UDID and serial number as they were given; others are left out."""
        found: dict[tuple[str, str], tuple[int, Entry]] = {}
        for start in range(0, len(devices), _AT_ONCE):
            some = devices[start : start + _AT_ONCE]
            known = self._made("udid", [udid for udid, _ in some if udid])
            found |= {each: known[folded(each[0])] for each in some if folded(each[0]) in known}
            others = [each for each in some if each not in found]
            known = self._made("serial", [serial for _, serial in others if serial])
            found |= {each: known[folded(each[1])] for each in others if folded(each[1]) in known}
        return found

    def by_id(self, ids: Sequence[int]) -> dict[int, Recorded]:
        """The rows of these ids, in whatever state; ids that nobody gave are left out."""
        found: dict[int, Recorded] = {}
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            found |= {each.id: each for each in self._rows(f"WHERE id IN ({_marks(some)})", some)}
        return found

    def entries(self) -> Iterator[Entry]:
        """Every profile that is made and not superseded, in the order they were begun, however many there are."""
        return (each.entry for each in self.history() if each.state == MADE)

    def history(self) -> Iterator[Recorded]:
        """Every row in every state, in the order they were begun."""
        last = 0
        for each in self._rows("ORDER BY id"):
            if each.id <= last:
                # Damage can lead the reader in a circle.
                raise damaged(self._path)
            last = each.id
            yield each

    def count(self) -> int:
        """How many profiles are made and not superseded."""
        with explained(self._path):
            row = self._connection.execute("SELECT count(*) FROM profiles WHERE state = 'made'").fetchone()
        return int(row[0])

    def begin_run(self, at: datetime) -> int:
        """Record that a run begins; its id, for ``mark_finished``."""
        with transaction(self._connection, self._path):
            return self._connection.execute("INSERT INTO runs (started) VALUES (?)", (seconds(at),)).lastrowid or 0

    def mark_finished(self, run: int, at: datetime) -> None:
        """Record that a run ended well."""
        self._change("UPDATE runs SET finished = ? WHERE id = ? AND finished IS NULL", [(seconds(at), run)], 1)

    def was_interrupted(self) -> bool:
        """Whether the run that was begun last has not ended well."""
        with explained(self._path):
            row = self._connection.execute("SELECT finished IS NULL FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        return row is not None and bool(row[0])

    def _made(self, column: str, values: Sequence[str]) -> dict[str, tuple[int, Entry]]:
        """The made rows by the value in an indexed column, its case folded."""
        if not values:
            return {}
        where = f"WHERE live = 1 AND {column} IN ({_marks(values)})"
        found = (each for each in self._rows(where, values) if each.state == MADE)
        return {
            folded(each.entry.udid if column == "udid" else each.entry.serial): (each.id, each.entry) for each in found
        }

    def _rows(self, where: str, values: Sequence[Any] = ()) -> Iterator[Recorded]:
        with explained(self._path):
            # What is put together here are column names and question marks.
            for row in self._connection.execute(f"SELECT {COLUMNS} FROM profiles {where}", values):  # noqa: S608
                yield self._recorded(row)

    def _recorded(self, row: tuple[Any, ...]) -> Recorded:
        try:
            return recorded(row)
        except PARSER_ERRORS:
            raise damaged(self._path) from None

    def _change(self, statement: str, rows: Iterable[Sequence[Any]], count: int) -> None:
        """Run the statement for each of so many, all or none; each must change exactly one row."""
        with transaction(self._connection, self._path):
            changed = self._connection.executemany(statement, rows).rowcount if count else 0
            if changed != count:
                message = f"cannot be used: {count - changed} of {count} rows are in another state"
                hint = "run it again; only one run may work with a ledger"
                raise LedgerError(message, where=str(self._path), hint=hint)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
