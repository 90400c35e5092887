"""Pins in an SQLite file, for the processes and threads of one machine.

https://www.sqlite.org/wal.html says how they get along. What a method writes is on the disk when it returns: a pin that
is lost locks its device out.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mdmprofile.errors import OutputError, PinStoreError
from mdmprofile.output import make_private
from mdmprofile.pins import Pin
from mdmprofile.pins_tables import FIND, TABLES, Run, TableStore, pin_of

# "mpin" in ASCII.
_APPLICATION_ID, _VERSION = 0x6D70696E, 1
# Seconds that are waited for another process to let go of the file.
_PATIENCE = 20.0
_LONGEST = 200
_ANOTHER = "name another file; it is made where it is absent"
_SCHEMA = tuple(f"{each.format(number='INTEGER')}" for each in TABLES)


class SqlitePinStore(TableStore):
    """Pins in a file, which is made, readable by its owner alone, where it is absent and ``create`` is given.

    Every thread has a connection of its own, and every process after a fork new ones. Raises ``PinStoreError`` for a
    file that is something else, which stays as it is.
    """

    quick = True

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self._path = path
        self._mine = _Own()
        self._all: weakref.WeakSet[_Connection] = weakref.WeakSet()
        if not os.path.lexists(path):
            if not create:
                raise PinStoreError("does not exist", where=str(path), hint="name the file that holds the pins")
            try:
                # Only here: whoever closes another descriptor of a file drops the locks that SQLite has on it.
                make_private(path)
            except OutputError as error:
                raise PinStoreError(error.message, where=str(path), hint=error.hint) from None
        self._connection()

    def close(self) -> None:
        """Close every connection; the store cannot be used any more."""
        with self._explained():
            for each in list(self._all):
                each.close()
        self._all.clear()

    def find(self, identifier: str) -> Pin | None:
        """The device's pin; None when it has none. It is asked for each message, so it goes the shortest way."""
        try:
            row = self._connection().execute(FIND, {"identifier": identifier.casefold()}).fetchone()
        except (sqlite3.Error, UnicodeEncodeError):
            return super().find(identifier)
        return None if row is None else pin_of(row)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Run]:
        with self._explained():
            connection = self._connection()
            yield lambda statement, values: connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _writing(self, *, alone: bool = False) -> Iterator[Run]:
        # SQLite has one writer at a time.
        del alone
        with self._explained():
            connection = self._connection()

            def run(statement: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Any]:
                if isinstance(values, Mapping):
                    return connection.execute(statement, values).fetchall()
                connection.executemany(statement, values)
                return []

            connection.execute("BEGIN IMMEDIATE")
            try:
                yield run
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _connection(self) -> _Connection:
        """This thread's connection."""
        own = self._mine
        # SQLite forbids to use, and even to close, a connection in another process than the one that opened it.
        if own.connection is not None and own.process == os.getpid():
            return own.connection
        if own.connection is not None:
            _INHERITED.append(own.connection)
        with self._explained():
            own.connection = self._open()
        own.process = os.getpid()
        self._all.add(own.connection)
        return own.connection

    def _open(self) -> _Connection:
        uri = f"{Path(os.path.realpath(self._path)).as_uri()}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=_PATIENCE, check_same_thread=False, factory=_Connection
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: _Connection) -> None:
        """Make the tables in an empty file; refuse one that is somebody else's."""
        # Nobody who only looks a pin up may wait for whoever writes one, so the writer's lock is for an empty file.
        if not _is_ours(connection):
            connection.execute("BEGIN IMMEDIATE")
            try:
                (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if count == 0 and connection.execute("PRAGMA application_id").fetchone() == (0,):
                    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
                    for each in _SCHEMA:
                        connection.execute(each)
                self._refuse_others(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
        self._refuse_others(connection)
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            connection.execute("PRAGMA journal_mode = WAL")

    def _refuse_others(self, connection: _Connection) -> None:
        """Raise ``PinStoreError`` for a database of another kind or version."""
        if connection.execute("PRAGMA application_id").fetchone() != (_APPLICATION_ID,):
            raise PinStoreError("holds something else than pins", where=str(self._path), hint=_ANOTHER)
        if connection.execute("PRAGMA user_version").fetchone() != (_VERSION,):
            message = "was written by another version of mdmprofile"
            raise PinStoreError(message, where=str(self._path), hint="update mdmprofile")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Have every error of SQLite be a ``PinStoreError``."""
        try:
            yield
        except UnicodeEncodeError:
            raise PinStoreError("cannot hold such text", where=str(self._path), hint="refuse the message") from None
        except sqlite3.Error as error:
            message = f"cannot be used: {str(error)[:_LONGEST]}"
            other = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_NOTADB
            hint = _ANOTHER if other else "check its permissions, and the space left on the disk"
            raise PinStoreError(message, where=str(self._path), hint=hint) from None


def _is_ours(connection: sqlite3.Connection) -> bool:
    """Whether the file says that it holds pins: whoever makes one says so with the tables, all or none."""
    return bool(connection.execute("PRAGMA application_id").fetchone() == (_APPLICATION_ID,))


class _Connection(sqlite3.Connection):
    """A connection that can be referred to weakly: a thread's own goes when the thread does."""


class _Own(threading.local):
    """A thread's connection, and the process that opened it."""

    connection: _Connection | None = None
    process = 0


# Connections of a process that forked: they must not be closed here, not even by being forgotten.
_INHERITED: list[_Connection] = []
