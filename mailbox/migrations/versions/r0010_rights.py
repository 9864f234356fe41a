"""A number that every change of people's rights raises, by triggers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CHANGED = ("UPDATE", "DELETE")
WATCHED = {
    "networks": CHANGED,
    "accounts": CHANGED,
    "folders": CHANGED,
    "mandates": CHANGED,
    "oppositions": ("INSERT", *CHANGED),
    "documents": CHANGED,
    "document_rules": CHANGED,
}
RAISE = """
    INSERT INTO rights (id, revision) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET revision = rights.revision + 1;
"""
# Once a transaction, however many rows it writes
FUNCTION = f"""
    CREATE FUNCTION rights_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF current_setting('dcc.rights_raised', true) IS DISTINCT FROM txid_current()::text THEN
            PERFORM set_config('dcc.rights_raised', txid_current()::text, true);
            {RAISE}
        END IF;
        RETURN NULL;
    END
    $$
"""


def upgrade() -> None:
    """Add the table, and the triggers that keep it; a migration that makes a watched table anew must add them again."""
    op.create_table(
        "rights",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rights"),
    )
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    if on_postgresql:
        op.get_bind().exec_driver_sql(FUNCTION)
    for table, events in WATCHED.items():
        if on_postgresql:
            # At the commit, after every other lock of the transaction: two of them cannot wait for each other, and
            # none waits for the whole of another
            op.execute(
                f"CREATE CONSTRAINT TRIGGER rights_{table} AFTER {' OR '.join(events)} ON {table} "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION rights_changed()"
            )
            continue
        for event in events:  # SQLite: one event a trigger
            op.execute(f"CREATE TRIGGER rights_{table}_{event.lower()} AFTER {event} ON {table} BEGIN {RAISE} END")


def downgrade() -> None:
    """Take them away."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for table, events in WATCHED.items():
        if on_postgresql:
            op.execute(f"DROP TRIGGER rights_{table} ON {table}")
            continue
        for event in events:
            op.execute(f"DROP TRIGGER rights_{table}_{event.lower()}")
    if on_postgresql:
        op.execute("DROP FUNCTION rights_changed()")
    op.drop_table("rights")
