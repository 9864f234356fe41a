"""How alembic reaches the database: through the engine that the program already has."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Engine

from dcc.mailbox.schema import metadata


def run() -> None:
    """Run the asked migrations in one transaction."""
    engine: Engine = context.config.attributes["engine"]
    with engine.connect().execution_options(dcc_write=True) as connection:
        context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
