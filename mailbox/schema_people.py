"""The tables of what people ask for: delegations, one-time tokens, consent forms."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, PrimaryKeyConstraint, String, Table

from dcc.mailbox.columns import Text, UtcDateTime
from dcc.mailbox.schema import metadata

delegations = Table(
    "delegations",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("network", String(40), ForeignKey("networks.id"), nullable=False),
    Column("secretary", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("professional", String(40), ForeignKey("accounts.id"), nullable=False, index=True),
    Column("start", UtcDateTime, nullable=False),
    Column("until", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("types", Text, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("purpose", String(40), nullable=False),
    Column("network", String(40), ForeignKey("networks.id"), nullable=False),
    Column("account", String(40), ForeignKey("accounts.id"), index=True),
    Column("folder", String(40), ForeignKey("folders.id")),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("used_at", UtcDateTime),
    Column("used_by", String(40)),
)

consent_forms = Table(
    "consent_forms",
    metadata,
    Column("network", String(40), ForeignKey("networks.id"), nullable=False),
    Column("version", String(40), nullable=False),
    Column("language", String(2), nullable=False),
    Column("title", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("network", "version", "language"),
)

__all__ = ["consent_forms", "delegations", "metadata", "tokens"]
