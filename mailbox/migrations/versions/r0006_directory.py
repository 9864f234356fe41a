"""The national directory of mailboxes, one import after another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.create_table(
        "directory_imports",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("in_force", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_directory_imports"),
    )
    op.create_table(
        "directory_entries",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("import_id", sa.String(length=40), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("national_id", sa.Text(), nullable=True),
        sa.Column("structure", sa.Text(), nullable=True),
        sa.Column("family_name", sa.Text(), nullable=True),
        sa.Column("given_name", sa.Text(), nullable=True),
        sa.Column("profession", sa.String(length=8), nullable=True),
        sa.Column("structure_name", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["import_id"], ["directory_imports.id"], name="fk_directory_entries_import_id_directory_imports"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_directory_entries"),
    )
    for column in ("import_id", "address", "national_id"):
        op.create_index(f"ix_directory_entries_{column}", "directory_entries", [column])


def downgrade() -> None:
    """Take it away."""
    op.drop_table("directory_entries")
    op.drop_table("directory_imports")
