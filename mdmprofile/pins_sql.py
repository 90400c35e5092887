"""Pins in PostgreSQL, for servers that outgrow one machine: the optional extra ``mdmprofile[sql]``.

SQLAlchemy keeps the connections; https://www.postgresql.org/docs/current/sql-insert.html#SQL-ON-CONFLICT is what makes
exactly one of several devices win that try the same certificate at the same moment.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from mdmprofile.errors import PinStoreError
from mdmprofile.pins_tables import TABLES, Run, TableStore

_VERSION = 1
# Any number that nobody else takes: those who make the tables at the same moment wait for each other.
_LOCK = 0x6D70696E
_LONGEST = 200
# A device waits for the answer. Seconds until a server that says nothing is given up, and milliseconds for one that
# stops in the middle; then how long somebody else may hold what is to be written.
_PATIENCE = {"connect_timeout": "10", "tcp_user_timeout": "20000"}
_NO_LONGER = "SET LOCAL lock_timeout = '20s'"
_NUMBER = "BIGINT GENERATED ALWAYS AS IDENTITY"
_SCHEMA = (
    "CREATE TABLE mdm_pin_version (version INTEGER NOT NULL)",
    f"INSERT INTO mdm_pin_version VALUES ({_VERSION})",  # noqa: S608 - a number of ours
    *(each.format(number=_NUMBER) for each in TABLES),
)


class SqlPinStore(TableStore):
    """Pins in a PostgreSQL database, in tables that are made where they are absent.

    ``url`` is SQLAlchemy's, such as ``postgresql+psycopg://user:password@host/database``; the password shows in no
    error. Raises ``PinStoreError`` when the database cannot be reached or holds tables of another version, and when the
    extra is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            import psycopg  # noqa: F401, PLC0415 - optional, as the next one
            import sqlalchemy  # noqa: PLC0415
        except ImportError:
            message = "pins in PostgreSQL need SQLAlchemy and psycopg, which are not installed"
            raise PinStoreError(message, hint="pip install 'mdmprofile[sql]'") from None
        self._errors = (sqlalchemy.exc.SQLAlchemyError, UnicodeError, ValueError)
        self._where = "the database's URL"
        # In a password that is not encoded it would have the rest of that be the host, which errors show.
        if url.count("@") > 1:
            raise PinStoreError("has more than one @", where=self._where, hint="write one in a password as %40")
        with self._explained():
            parsed = sqlalchemy.make_url(url)
        if parsed.get_backend_name() != "postgresql":
            hint = "name a PostgreSQL database; SQLite needs no extra: give its file"
            raise PinStoreError("is not PostgreSQL's", where=self._where, hint=hint)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        # The options may have passwords in them too.
        self._where = parsed.set(query={}).render_as_string(hide_password=True)
        with self._explained():
            # A connection that the server closed meanwhile is noticed before it is used. Read committed: whoever waited
            # for a certificate sees whose it became.
            self._engine = sqlalchemy.create_engine(
                parsed.set(query=_PATIENCE | dict(parsed.query)),
                pool_pre_ping=True,
                hide_parameters=True,
                isolation_level="READ COMMITTED",
            )
        # Over the same connections.
        self._lookups = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._process = os.getpid()
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"SqlPinStore({self._where!r})"

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Run]:
        self._leave_inherited()
        with self._explained(), self._lookups.connect() as connection:
            yield _run_in(connection)

    @contextlib.contextmanager
    def _writing(self, *, alone: bool = False) -> Iterator[Run]:
        self._leave_inherited()
        with self._explained(), self._engine.begin() as connection:
            run = _run_in(connection)
            run(_NO_LONGER, {})
            if alone:
                run("LOCK TABLE mdm_pin_certificates IN SHARE ROW EXCLUSIVE MODE", {})
            yield run

    def _leave_inherited(self) -> None:
        """Leave the connections of the process that forked this one to it: both would read each other's answers."""
        if self._process != os.getpid():
            self._engine.dispose(close=False)
            self._process = os.getpid()

    def _prepare(self) -> None:
        with self._writing() as run:
            run(f"SELECT pg_advisory_xact_lock({_LOCK})", {})
            if run("SELECT to_regclass('mdm_pin_version')", {}) == [(None,)]:
                for each in _SCHEMA:
                    run(each, {})
            elif run("SELECT version FROM mdm_pin_version", {}) != [(_VERSION,)]:
                message = "holds pins of another version of mdmprofile"
                raise PinStoreError(message, where=self._where, hint="update mdmprofile")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Have every error of the database be a ``PinStoreError``, without what was sent to it."""
        try:
            yield
        except self._errors as error:
            reason = (str(getattr(error, "orig", None) or type(error).__name__).splitlines() or [""])[0]
            message = f"cannot be used: {reason[:_LONGEST]}"
            hint = "check its address, the user's rights, and that it runs"
            raise PinStoreError(message, where=self._where, hint=hint) from None


def _run_in(connection: Any) -> Run:  # noqa: ANN401 - SQLAlchemy is optional
    def run(statement: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Any]:
        result = connection.execute(_text(statement), values)
        return [tuple(row) for row in result] if result.returns_rows else []

    return run


@cache
def _text(statement: str) -> Any:  # noqa: ANN401 - SQLAlchemy is optional
    """The statement, compiled once."""
    from sqlalchemy import text  # noqa: PLC0415

    return text(statement)
