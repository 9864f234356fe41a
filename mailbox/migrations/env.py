"""How alembic reaches the database: through the engine that the program already has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic import context
from sqlalchemy import Connection, Engine, text

from dcc.mailbox.schema_rights import metadata  # every table: each schema rests on the ones before

ONE_AT_A_TIME = 4712  # an arbitrary number: two gateways that start together migrate one after the other


def run() -> None:
    """Run the asked migrations in one transaction: all of them, or none."""
    engine: Engine = context.config.attributes["engine"]
    with engine.connect() as connection, _without_foreign_keys(connection):
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
        if connection.dialect.name == "sqlite" and connection.execute(text("PRAGMA foreign_key_check")).first():
            raise ValueError("a migration left a row that points at nothing")
        connection.commit()


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by making it anew and dropping the old one, to which rows of other tables point.

    The pragma is without effect inside a transaction (sqlite.org/lang_altertable.html, the twelve steps), so it goes
    to the driver before the first statement and after the last.
    """
    driver: Any = connection.connection.driver_connection if connection.dialect.name == "sqlite" else None
    if driver is not None:
        driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        if driver is not None:
            connection.rollback()
            driver.execute("PRAGMA foreign_keys=ON")


run()
