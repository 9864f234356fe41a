"""Delegations, one-time tokens and consent forms; registration and nomad reading of a network; closed folders."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what people ask for by mail."""
    with op.batch_alter_table("networks") as networks:
        networks.add_column(sa.Column("registration", sa.Text(), nullable=True))
        networks.add_column(sa.Column("nomad_reads", sa.Boolean(), nullable=False, server_default=sa.true()))
        networks.create_unique_constraint("uq_networks_registration", ["registration"])
    op.add_column("folders", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "delegations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("network", sa.String(length=40), nullable=False),
        sa.Column("secretary", sa.String(length=40), nullable=False),
        sa.Column("professional", sa.String(length=40), nullable=False),
        sa.Column("start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("types", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_delegations"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_delegations_network"),
        sa.ForeignKeyConstraint(["secretary"], ["accounts.id"], name="fk_delegations_secretary"),
        sa.ForeignKeyConstraint(["professional"], ["accounts.id"], name="fk_delegations_professional"),
    )
    op.create_index("ix_delegations_secretary", "delegations", ["secretary"])
    op.create_index("ix_delegations_professional", "delegations", ["professional"])
    op.create_table(
        "tokens",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=40), nullable=False),
        sa.Column("network", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=True),
        sa.Column("folder", sa.String(length=40), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_by", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("hash", name="pk_tokens"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_tokens_network"),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"], name="fk_tokens_account"),
        sa.ForeignKeyConstraint(["folder"], ["folders.id"], name="fk_tokens_folder"),
    )
    op.create_index("ix_tokens_account", "tokens", ["account"])
    op.create_index("ix_tokens_expires_at", "tokens", ["expires_at"])
    op.create_table(
        "consent_forms",
        sa.Column("network", sa.String(length=40), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("language", sa.String(length=2), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("network", "version", "language", name="pk_consent_forms"),
        sa.ForeignKeyConstraint(["network"], ["networks.id"], name="fk_consent_forms_network"),
    )


def downgrade() -> None:
    """Take it all away again."""
    op.drop_table("consent_forms")
    op.drop_table("tokens")
    op.drop_table("delegations")
    with op.batch_alter_table("folders") as folders:
        folders.drop_column("closed_at")
    with op.batch_alter_table("networks") as networks:
        networks.drop_constraint("uq_networks_registration", type_="unique")
        networks.drop_column("nomad_reads")
        networks.drop_column("registration")
