"""Leases name the process that holds them, so that what a dead one held is given back at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column to both queues."""
    for table in ("messages", "outbox"):
        op.add_column(table, sa.Column("lease_owner", sa.String(length=40), nullable=True))


def downgrade() -> None:
    """Take it away."""
    for table in ("messages", "outbox"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("lease_owner")
