"""How transactions of SQLite begin and end: an engine for each kind of transaction.

The driver's own transactions are off: with deferred ones, read-then-write fails at once (facts/mail §4). A dialect says
it, not an event: once an engine has listeners, SQLAlchemy looks for some at every statement.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import Pool


class Writing(SQLiteDialect_pysqlite):
    """Takes the write lock at once, and is durable: NORMAL loses commits at power failure."""

    supports_statement_cache = True
    synchronous = "FULL"

    def connect(self, *cargs: Any, **cparams: Any) -> Any:
        # Identities lie in it: nobody else on the machine may read it; the -wal and -shm files take its mode. A file
        # that exists is never opened here: closing it would drop this process's POSIX locks on it, and another process
        # that ends would then take the write-ahead log away from under us (sqlite.org, "How To Corrupt", §2.2).
        path = _file(cargs[0])
        if path is not None and path.parent.is_dir() and not path.exists():
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        return super().connect(*cargs, **cparams)

    def on_connect(self) -> Callable[[Any], None]:
        functions = super().on_connect()

        def configure(connection: Any) -> None:
            functions(connection)
            for pragma in ("journal_mode=WAL", f"synchronous={self.synchronous}", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}").close()

        return configure

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.driver_connection.execute("BEGIN IMMEDIATE")


class Reading(Writing):
    """One consistent snapshot from the first statement on."""

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        dbapi_connection.driver_connection.execute("BEGIN")


class Passing(Writing):
    """Writes what means nothing after a power failure: it survives the process, not the machine.

    Its connections are its own: one that is not durable never serves a transaction that must be.
    """

    supports_statement_cache = True
    synchronous = "NORMAL"


for _one in (Writing, Reading, Passing):
    registry.register(f"sqlite.dcc_{_one.__name__.lower()}", __name__, _one.__name__)


def engines(url: str, patience: float) -> tuple[Engine, Engine, Engine]:
    """The engines that write, read, and write in passing; `patience`: seconds that a locked database is waited for."""
    writing = _engine(url, "writing", patience)
    return writing, _engine(url, "reading", patience, writing.pool), _engine(url, "passing", patience)


def _file(name: str) -> Path | None:
    return None if name == ":memory:" or name.startswith("file:") else Path(name)


def _engine(url: str, kind: str, patience: float, pool: Pool | None = None) -> Engine:
    own: dict[str, Any] = {"pool": pool}
    if pool is None:
        connect = {"timeout": patience, "check_same_thread": False, "isolation_level": None}
        own = {"connect_args": connect, "pool_size": 16, "max_overflow": 16}
    return create_engine(make_url(url).set(drivername=f"sqlite+dcc_{kind}"), hide_parameters=True, **own)
