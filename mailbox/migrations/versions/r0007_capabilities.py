"""What readers announced that they can read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.create_table(
        "capabilities",
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("algorithms", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name="fk_capabilities_account"),
        sa.PrimaryKeyConstraint("account", name="pk_capabilities"),
    )


def downgrade() -> None:
    """Take it away."""
    op.drop_table("capabilities")
