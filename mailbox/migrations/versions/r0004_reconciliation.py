"""The reconciliation queue looks for identities by birth date: an index, so that it costs nothing in a large table."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.create_index("ix_patients_birth_date", "patients", ["birth_date"])


def downgrade() -> None:
    """Take it away."""
    op.drop_index("ix_patients_birth_date", table_name="patients")
