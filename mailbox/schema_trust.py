"""The table of what an operator decided about trust: overrides of stale opposition lists."""

from __future__ import annotations

from sqlalchemy import Column, String, Table

from dcc.mailbox.columns import Text, UtcDateTime
from dcc.mailbox.schema_people import metadata

crl_overrides = Table(
    "crl_overrides",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("start", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False, index=True),
    Column("ended_at", UtcDateTime),
    Column("operator", Text, nullable=False),
    Column("because", Text, nullable=False),
)

__all__ = ["crl_overrides", "metadata"]
