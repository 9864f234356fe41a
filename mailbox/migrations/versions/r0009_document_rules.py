"""Document rules of each network, beside the table of the whole gateway."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the texts, and which one is in force in a network."""
    op.create_table(
        "document_rules",
        sa.Column("network", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_document_rules_network"),
        sa.PrimaryKeyConstraint("network", "sha256", name="pk_document_rules"),
    )
    op.add_column("networks", sa.Column("rules", sa.String(length=64), nullable=True))


def downgrade() -> None:
    """Every network is under the gateway's table again."""
    with op.batch_alter_table("networks") as networks:
        networks.drop_column("rules")
    op.drop_table("document_rules")
