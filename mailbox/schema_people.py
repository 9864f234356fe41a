"""The tables of what people ask for and networks set: delegations, one-time tokens, consent forms, document rules."""

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

document_rules = Table(
    "document_rules",
    metadata,
    Column("network", String(40), ForeignKey("networks.id"), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("content", Text, nullable=False),
    Column("set_at", UtcDateTime, nullable=False),
    Column("set_by", Text, nullable=False),
    PrimaryKeyConstraint("network", "sha256"),
)

__all__ = ["consent_forms", "delegations", "document_rules", "metadata", "tokens"]
