"""A private PostgreSQL for the tests that need one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, insert, select, text
from sqlalchemy.exc import DBAPIError

from dcc.mailbox.database import Database
from dcc.mailbox.migrate import head
from dcc.mailbox.schema import metadata
from postoffice import free_port

_numbers = count(1)


def _binaries() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    server = shutil.which("postgres")
    if server is not None:
        return Path(server).resolve().parent
    return sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]


class PostgresServer:
    """A private PostgreSQL in a temporary folder, run as a user that is not root; ended with its folder."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dcc-pg-"))
        self._prefix: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
            self._prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self.port = free_port()
        self._shared: str | None = None
        self._bin = _binaries()
        self._data = self._folder / "data"
        self._run("initdb", "-D", self._data, "-U", "dcc", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._prefix, str(self._bin / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd="/")

    def start(self) -> None:
        """Start, and wait until it answers."""
        # Without fsync a crash of the machine loses rows, one of the processes does not: enough here, and quick.
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c max_connections=60 -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", self._folder / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """End it; `immediate` is what a crash does."""
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def url(self, name: str) -> str:
        """The address of one database."""
        return f"postgresql://dcc@127.0.0.1:{self.port}/{name}"

    def new_database(self) -> str:
        """A migrated database of its own for one test."""
        name = f"test{next(_numbers)}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE migrated")
        return self.url(name)

    def emptied_database(self) -> str:
        """One database for most tests, emptied; another where a test changed its schema."""
        if self._shared is None:
            self._shared = self.new_database()
            return self._shared
        engine = create_engine(self._shared)
        try:
            with engine.begin() as conn:
                conn.execute(text("; ".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables))))
                unchanged = conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == head()
        except DBAPIError:
            unchanged = False
        engine.dispose()
        if not unchanged:
            self._shared = self.new_database()
        return self._shared

    def make_template(self) -> None:
        """Migrate once; each test's database is a copy."""
        self._administer("CREATE DATABASE migrated")
        database = Database(self.url("migrated"))
        database.migrate()
        database.close()

    def _administer(self, command: str) -> None:
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as conn:
            conn.execute(text(command))
        engine.dispose()

    def end(self) -> None:
        """Stop and remove."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def onto_postgresql(directory: Path, server: PostgresServer) -> None:
    """Move the state of an instance that nobody uses from its SQLite file into a database of its own."""
    from dcc.gateway.settings import load_settings  # most tests need no gateway

    config = directory / "dcc.toml"
    url = server.new_database()
    source, target = Database(load_settings(config, {}).database_url), Database(url)
    with source.read() as old, target.begin() as new:
        for table in metadata.sorted_tables:
            rows = [dict(row._mapping) for row in old.execute(select(table))]
            if rows:
                new.execute(insert(table), rows)
    source.close()
    target.close()
    (directory / "var" / "dcc.sqlite").unlink()
    config.write_text(f'{config.read_text()}\n[database]\nurl = "{url}"\n')
