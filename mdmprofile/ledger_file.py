"""The file of a ledger: opened for one writer or for any reader, verified, and its errors as ours."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from mdmprofile.errors import LedgerError, OutputError
from mdmprofile.inputs import read_start
from mdmprofile.ledger_rows import APPLICATION_ID, HEADER, LEDGER_NAME, SCHEMA, SCHEMA_VERSION, says_ledger
from mdmprofile.output import make_private

LOCK_NAME = ".mdmprofile-lock"
# Seconds that are waited for another process to let go of the file.
_PATIENCE = 20.0
_LONGEST_CELL = 64 * 1024
_LONGEST_TEXT = 200
# Pages: rows of random devices touch most pages of the indexes, and each is moved into the file only now and then.
_LONGEST_LOG = 8_000
_CACHE = -20_000  # KiB
# Steps of SQLite's machine. Ours are dozens for the tables, and for all rows together fewer than the file has bytes; a
# damaged file can have it go in circles.
_TABLES_STRIDE, _TABLES_STEPS = 50, 1_000
_STRIDE, _FEWEST_STEPS = 10_000, 10_000_000

_DAMAGED = "restore it from a backup, or move it away; what was issued is then known no more"
_PERMISSIONS = "check its permissions and those of its directory"
_HINTS = {
    sqlite3.SQLITE_CONSTRAINT: "run it again; only one run may work with a ledger",
    sqlite3.SQLITE_BUSY: "wait until the other run has ended",
    sqlite3.SQLITE_LOCKED: "wait until the other run has ended",
    sqlite3.SQLITE_FULL: "free some space on the disk, and run it again",
    sqlite3.SQLITE_IOERR: "check the disk and the space left on it, and run it again",
}
_Connection = TypeVar("_Connection", bound=sqlite3.Connection)
_DAMAGE = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_INTERRUPT))


class _Bounded(sqlite3.Connection):
    """A connection that stops each statement which takes more than so many steps."""

    steps, stride = _TABLES_STEPS, _TABLES_STRIDE
    _left = 0

    def execute(self, *arguments: Any) -> sqlite3.Cursor:  # noqa: ANN401 - as the class above has it
        self._left = self.steps // self.stride
        self.set_progress_handler(self._tick, self.stride)
        return super().execute(*arguments)

    def _tick(self) -> bool:
        self._left -= 1
        return self._left < 0


class _Files:
    """Files that this process has open for writing.

    Whoever closes another descriptor of such a file drops the locks that SQLite has on it, and the next two writers
    destroy it (https://www.sqlite.org/howtocorrupt.html, 2.2). So they are looked into by SQLite alone, one at a time.
    """

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self._open: dict[int, str] = {}

    def add(self, connection: sqlite3.Connection, path: Path) -> None:
        """Remember a writer."""
        self._open[id(connection)] = os.path.realpath(path)

    def remove(self, connection: sqlite3.Connection) -> None:
        """Forget a writer, if it is one."""
        self._open.pop(id(connection), None)

    def has(self, path: Path) -> bool:
        """Whether the file has a writer in this process."""
        # A path that cannot be has none; why it cannot be is said when it is opened.
        return "\0" not in str(path) and os.path.realpath(path) in self._open.values()


_FILES = _Files()


def open_to_write(path: Path) -> sqlite3.Connection:
    """The connection of the one writer; the file is made, readable by its owner alone, where it is absent.

    Raises ``LedgerError``.
    """
    with _FILES.guard:
        connection = _open_to_write(path)
        _FILES.add(connection, path)
    return connection


def _open_to_write(path: Path) -> sqlite3.Connection:
    _make_private(path, path)
    size = _size(path)
    if (size or not path.is_file()) and not _FILES.has(path):
        _refuse_others(path, size)
    with explained(path), contextlib.ExitStack() as undo:
        connection = undo.enter_context(contextlib.closing(_connect(path, "mode=rw", sqlite3.Connection)))
        if not size:
            _make_tables(connection)
        _verify(connection, path)
        # Readers go on while a run writes. The tables are in the file itself before, for whoever looks at its start.
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"cache_size = {_CACHE}",
            f"wal_autocheckpoint = {_LONGEST_LOG}",
        ):
            connection.execute(f"PRAGMA {pragma}")
        undo.pop_all()
        return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, to a file that may come from anybody; also while a run writes to it.

    No file is left beside one that nobody writes to. Raises ``LedgerError``.
    """
    with _FILES.guard:
        return _open_to_read(path)


def _open_to_read(path: Path) -> sqlite3.Connection:
    size = _size(path)
    written = _FILES.has(path)
    if not written:
        _refuse_others(path, size)
    log = Path(f"{os.path.realpath(path)}-wal")
    # Where a file that is written with a log has none, nobody is at work; opened as usual, one would be made.
    alone = not written and read_start(path, HEADER)[19:20] == b"\2" and not _size(log)
    with explained(path), contextlib.ExitStack() as undo:
        connection = undo.enter_context(
            contextlib.closing(_connect(path, "immutable=1" if alone else "mode=ro", _Bounded))
        )
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_CELL)
        connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _LONGEST_CELL)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            connection.execute(f"PRAGMA {pragma}")
        # The tables are read as soon as anything is asked, and a file can hold millions.
        _verify(connection, path)
        connection.stride, connection.steps = _STRIDE, size + _size(log) + _FEWEST_STEPS
        undo.pop_all()
        return connection


def close(connection: sqlite3.Connection) -> None:
    """Close it; one that was written to is a single file afterwards, unless somebody is reading it."""
    if not isinstance(connection, _Bounded):
        with contextlib.suppress(sqlite3.Error):
            connection.execute("PRAGMA busy_timeout = 0")
            connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    _FILES.remove(connection)


@contextlib.contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Have the directory to oneself; however this process ends, the kernel lets go of it.

    An empty hidden file stays in it. Raises ``LedgerError`` when another run is at work there.
    """
    with hold_file(directory / LOCK_NAME, directory):
        yield


@contextlib.contextmanager
def hold_file(lock: Path, where: Path) -> Iterator[None]:
    """As ``hold``, with this file as the lock of whatever ``where`` is, which is what the error names."""
    _make_private(lock, where)
    with contextlib.ExitStack() as undo:
        with explained(lock):
            connection = undo.enter_context(contextlib.closing(_connect(lock, "mode=rw", sqlite3.Connection)))
            connection.execute("PRAGMA busy_timeout = 0")
            try:
                connection.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
                message, hint = "another run is at work in it", "wait until it has ended, or write elsewhere"
                raise LedgerError(message, where=str(where), hint=hint) from None
        yield


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """One transaction, undone where anything fails in it."""
    with explained(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Have every error of SQLite be a ``LedgerError`` that says what to do."""
    try:
        yield
    except UnicodeDecodeError:
        raise damaged(path) from None
    except (sqlite3.Error, UnicodeEncodeError) as error:
        # The low byte is the kind; an error of the module itself has none, nor has text that UTF-8 cannot hold.
        kind, message = getattr(error, "sqlite_errorcode", 0) & 0xFF, str(error)
        # The module shows the text that it cannot decode, which may be a secret.
        if kind in _DAMAGE or message.startswith("Could not decode"):
            raise damaged(path) from None
        if kind == sqlite3.SQLITE_CONSTRAINT:
            message = "a device, or the name of its file, is begun or made in it already"
        hint = _HINTS.get(kind, _PERMISSIONS)
        raise LedgerError(f"cannot be used: {message[:_LONGEST_TEXT]}", where=str(path), hint=hint) from None


def damaged(path: Path) -> LedgerError:
    """The error for what nobody wrote like that."""
    return LedgerError("cannot be used: is damaged", where=str(path), hint=_DAMAGED)


def _make_private(path: Path, where: Path) -> None:
    try:
        make_private(path)
    except OutputError as error:
        raise LedgerError(error.message, where=str(where), hint=error.hint) from None


def _size(path: Path) -> int:
    """The size in bytes; 0 where there is no such file."""
    try:
        return os.path.getsize(path)  # noqa: PTH202 - as Path.stat, for one number
    except (OSError, ValueError):
        return 0


def _refuse_others(path: Path, size: int) -> None:
    """Raise ``LedgerError`` for what its first bytes say is no ledger."""
    start = read_start(path, HEADER)
    if size and not start and path.is_file():
        raise LedgerError("cannot be read", where=str(path), hint=_PERMISSIONS)
    if not says_ledger(start):
        hint = f"name a {LEDGER_NAME} that mdmprofile batch wrote"
        raise LedgerError("cannot be used: is no ledger", where=str(path), hint=hint)


def _connect(path: Path, how: str, kind: type[_Connection]) -> _Connection:
    # Every letter that means something in a URI is quoted by as_uri.
    uri = f"{Path(os.path.realpath(path)).as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=_PATIENCE, factory=kind)


def _make_tables(connection: sqlite3.Connection) -> None:
    """Write the empty tables, unless another process did meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        for statement in SCHEMA:
            connection.execute(statement)
    connection.execute("COMMIT")


def _verify(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ``LedgerError`` unless it has our tables and nothing else: no view, trigger or index of other people's."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        message = "cannot be used: was written by a newer version of mdmprofile"
        raise LedgerError(message, where=str(path), hint="update mdmprofile")
    tables = connection.execute("SELECT sql FROM sqlite_master ORDER BY rowid LIMIT ?", (len(SCHEMA) + 1,))
    if version != SCHEMA_VERSION or [each for (each,) in tables] != list(SCHEMA):
        raise LedgerError("cannot be used: its tables are not those of a ledger", where=str(path), hint=_DAMAGED)
