"""The database: one synchronous code path on SQLite and PostgreSQL (decision 0005)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dcc.mailbox.sqlitedialect import engines
from dcc.mailbox.turn import Turn

BUSY_SECONDS = 30
NOT_DURABLE = text("SET LOCAL synchronous_commit TO OFF")
NO_ROOM_STATES = {"53100"}  # PostgreSQL: disk_full
DAMAGED_STATES = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002")  # PostgreSQL: data_corrupted, index_corrupted
FAILURES = (DBAPIError, PoolTimeout, sqlite3.Error)
REFUSED = (IntegrityError, DataError, ProgrammingError)  # the statement is at fault, not the store


class DatabaseFull(Exception):
    """No room left for the database (SQLITE_FULL, disk full)."""


class DatabaseGone(Exception):
    """The database cannot be reached or written; try later."""


class DatabaseDamaged(DatabaseGone):
    """The file is not a database, or not a whole one: no waiting helps, a copy does (`dcc restore`)."""


class DatabaseReplaced(DatabaseGone):
    """The file is not the one that was opened: the name of this class is what the operator reads in the log."""


class SchemaMismatch(DatabaseGone):
    """The database holds another version's tables: `dcc migrate`."""


class Database:
    """One engine; `begin` for transactions that write, `read` for those that do not. Safe for threads."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._engine, self._reader, self._passing = (
            engines(url, BUSY_SECONDS) if self.is_sqlite else _postgresql_engines(url)
        )
        self._file = _file_of(self._engine) if self.is_sqlite else None
        self._identity: tuple[int, int] | None = None  # device and inode of the file that was opened
        self._turn = Turn(self._file, BUSY_SECONDS) if self.is_sqlite else None

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, for migrations."""
        return self._engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One write transaction, committed at the end; BEGIN IMMEDIATE on SQLite.

        Raises DatabaseFull or DatabaseGone where the store itself fails, and SQLAlchemy's own class, emptied of
        values, where a statement is refused (IntegrityError: a unique key exists already).
        """
        self._same_file()
        try:
            with nullcontext() if self._turn is None else self._turn.taken(), self._engine.begin() as conn:
                yield conn
        except FAILURES as error:
            raise mapped(error) from None  # the cause quotes the row: identities (I3)

    @contextmanager
    def passing(self) -> Iterator[Connection]:
        """`begin` for what means nothing once the machine has lost its power, as a lease: no wait for the disk.

        It survives the end of the process, and is durable with the next transaction that is. Raises as `begin`.
        """
        self._same_file()
        try:
            with nullcontext() if self._turn is None else self._turn.taken(), self._passing.begin() as conn:
                if not self.is_sqlite:
                    conn.execute(NOT_DURABLE)
                yield conn
        except FAILURES as error:
            raise mapped(error) from None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot to read from; writes in it are refused or rolled back."""
        self._same_file()
        try:
            with self._reader.connect() as conn:
                yield conn
                conn.rollback()
        except FAILURES as error:
            raise mapped(error) from None

    def _same_file(self) -> None:
        """An open file lives on when its name goes, or becomes another's: what is written there is lost with the process.

        Raises DatabaseReplaced: a copy that was put back is opened by a new start.
        """
        if self._file is None:
            return
        try:
            found = self._file.stat()
        except OSError:
            if self._identity is not None:
                raise DatabaseReplaced("its file is gone") from None
            return  # never opened: the driver makes it, or says why it cannot
        if self._identity is None:
            self._identity = (found.st_dev, found.st_ino)
        elif self._identity != (found.st_dev, found.st_ino):
            raise DatabaseReplaced("its file was replaced")

    def migrate(self) -> None:
        """Bring the schema to this version (alembic, up). Raises DatabaseFull, DatabaseGone."""
        from dcc.mailbox.migrate import upgrade

        try:
            upgrade(self._engine)
        except FAILURES as error:
            raise mapped(error) from None

    def check(self) -> None:
        """Raises DatabaseGone unless the database answers, SchemaMismatch unless it holds this version's tables."""
        from dcc.mailbox.migrate import head

        with self.read() as conn:
            try:
                found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
            except DBAPIError as error:
                refusal = mapped(error)
                missing = isinstance(refusal, ProgrammingError) or "no such table" in str(error.orig)
                raise SchemaMismatch("no tables yet") if missing else refusal from None
        if found != head():
            raise SchemaMismatch(f"schema {found}, this program needs {head()}")

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()
        self._passing.dispose()
        if self._turn is not None:
            self._turn.close()


def _file_of(engine: Engine) -> Path | None:
    """The file of an SQLite database; None for one in memory."""
    path = engine.url.database
    return None if not path or path == ":memory:" or path.startswith("file:") else Path(path)


def mapped(error: DBAPIError | PoolTimeout | sqlite3.Error) -> Exception:
    """The store's answer to a driver's error, without any value of the row it was about (I3)."""
    if isinstance(error, PoolTimeout):
        return DatabaseGone("no free connection")
    cause = error.orig if isinstance(error, DBAPIError) else error
    state = str(getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None) or "unknown")
    if state in NO_ROOM_STATES or state == "SQLITE_FULL":
        return DatabaseFull("no room left for the database")
    if isinstance(error, REFUSED) and not error.connection_invalidated:
        return type(error)(None, None, RuntimeError(state), hide_parameters=True)
    if state.startswith(DAMAGED_STATES):
        return DatabaseDamaged(f"database damaged: {state}")
    return DatabaseGone(f"database unavailable: {state}")


def _postgresql_engines(url: str) -> tuple[Engine, Engine, Engine]:
    engine = create_engine(
        url,
        pool_size=16,
        max_overflow=16,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"connect_timeout": 10},
    )
    # PostgreSQL's default shows each statement another moment; one snapshot is what SQLite gives anyway.
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return engine, reading, engine
