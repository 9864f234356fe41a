"""The table of second factors: what a person holds beside the card, enrolled while the card was present."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, String, Table

from dcc.mailbox.columns import Text, UtcDateTime
from dcc.mailbox.schema_capabilities import metadata

factors = Table(
    "factors",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("account", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("national_id", Text, nullable=False),
    Column("card", LargeBinary, nullable=False),
    Column("key_version", Integer),
    Column("wrapped_key", LargeBinary),
    Column("credential", LargeBinary, unique=True),
    Column("public_key", LargeBinary),
    Column("counter", BigInteger),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("confirmed_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("because", String(12)),
    Column("failures", Integer, nullable=False),
    Column("failed_at", UtcDateTime),
    Column("used_at", UtcDateTime),
)

__all__ = ["factors", "metadata"]
