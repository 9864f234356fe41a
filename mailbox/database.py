"""The database: one synchronous code path on SQLite and PostgreSQL (decision 0005)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

BUSY_SECONDS = 30


class DatabaseFull(Exception):
    """No room left for the database (SQLITE_FULL, disk full)."""


class DatabaseGone(Exception):
    """The database cannot be reached or written; try later."""


class Database:
    """One engine; `begin` for transactions that write, `read` for those that do not."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self.is_sqlite = self._url.get_backend_name() == "sqlite"
        self._engine = _sqlite_engine(url) if self.is_sqlite else _postgresql_engine(url)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, for migrations."""
        return self._engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """One write transaction, committed at the end; BEGIN IMMEDIATE on SQLite.

        Raises DatabaseFull or DatabaseGone where the store itself fails.
        """
        try:
            with self._engine.connect().execution_options(dcc_write=True) as conn, conn.begin():
                yield conn
        except DBAPIError as error:
            raise _mapped(error) from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent snapshot to read from; writes in it are rolled back."""
        try:
            with self._engine.connect() as conn:
                yield conn
                conn.rollback()
        except DBAPIError as error:
            raise _mapped(error) from error

    def migrate(self) -> None:
        """Bring the schema to this version (alembic, up)."""
        from dcc.mailbox.migrate import upgrade

        upgrade(self._engine)

    def check(self) -> None:
        """Raises DatabaseGone unless the database answers and holds this version's tables."""
        with self.read() as conn:
            conn.execute(text("SELECT count(*) FROM networks"))

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()


def _mapped(error: DBAPIError) -> Exception:
    original = str(error.orig).lower()
    if "full" in original or "no space" in original:
        return DatabaseFull("no room left for the database")
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return DatabaseGone(f"database unavailable: {type(error.orig).__name__}")
    return error


def _sqlite_engine(url: str) -> Engine:
    # The driver's own transactions are off: with deferred ones, read-then-write fails at once (facts/mail §4).
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "isolation_level": None},
        pool_size=16,
        max_overflow=16,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # NORMAL loses commits at power failure
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("dcc_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _postgresql_engine(url: str) -> Engine:
    return create_engine(url, pool_size=16, max_overflow=16, pool_pre_ping=True)
