"""How alembic reaches the database: through the engine that the program already has."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine, text

from dcc.mailbox.schema_people import metadata  # every table: the people's rest on the first ones

ONE_AT_A_TIME = 4712  # an arbitrary number: two gateways that start together migrate one after the other


def run() -> None:
    """Run the asked migrations in one transaction: all of them, or none."""
    engine: Engine = context.config.attributes["engine"]
    with engine.connect().execution_options(dcc_write=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ONE_AT_A_TIME})
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
