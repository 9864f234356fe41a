"""The national directory of mailboxes, as its extraction lists them: personal data, never in a log."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Integer, String, Table

from dcc.mailbox.columns import Text, UtcDateTime
from dcc.mailbox.schema_trust import metadata

directory_imports = Table(
    "directory_imports",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("entries", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("in_force", Boolean, nullable=False),
)

directory_entries = Table(
    "directory_entries",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("import_id", String(40), ForeignKey("directory_imports.id"), nullable=False, index=True),
    Column("address", Text, nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("national_id", Text, index=True),
    Column("structure", Text),
    Column("family_name", Text),
    Column("given_name", Text),
    Column("profession", String(8)),
    Column("structure_name", Text),
)

__all__ = ["directory_entries", "directory_imports", "metadata"]
