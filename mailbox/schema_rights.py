"""The table of one number: how often anything has changed that a mail's being sent may rest on; kept by triggers."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table

from dcc.mailbox.schema_factors import metadata

rights = Table(
    "rights",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

__all__ = ["metadata", "rights"]
