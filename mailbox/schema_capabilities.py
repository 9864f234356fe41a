"""The table of what readers announced that they can read."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, Table

from dcc.mailbox.columns import Text, UtcDateTime
from dcc.mailbox.schema_directory import metadata

capabilities = Table(
    "capabilities",
    metadata,
    Column("account", String(40), ForeignKey("accounts.id"), primary_key=True),
    Column("algorithms", Text, nullable=False),
    Column("signed_at", UtcDateTime, nullable=False),
)

__all__ = ["capabilities", "metadata"]
