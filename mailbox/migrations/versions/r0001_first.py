"""The first schema.

The tables are written out by alembic from a frozen copy of the metadata of version 0.1.0; later revisions alter.
"""

from __future__ import annotations

from alembic import op

from dcc.mailbox.schema import metadata

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table of version 0.1.0."""
    metadata.create_all(op.get_bind(), checkfirst=False)


def downgrade() -> None:
    """Drop them all."""
    metadata.drop_all(op.get_bind())
