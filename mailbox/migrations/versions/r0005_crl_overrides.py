"""Overrides of stale opposition lists: explicit, for a time, under a name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "crl_overrides",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("because", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_crl_overrides"),
    )
    op.create_index("ix_crl_overrides_until", "crl_overrides", ["until"])


def downgrade() -> None:
    """Take them away."""
    op.drop_table("crl_overrides")
