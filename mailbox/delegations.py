"""Delegations: which professional lets which secretary feed folders for them, and until when."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from dcc.mailbox.records import Delegation
from dcc.mailbox.rows import pack, strings
from dcc.mailbox.schema_people import delegations

# Asked for every mail of a secretary: built once.
_TO = select(delegations).where(delegations.c.secretary == bindparam("wanted")).order_by(delegations.c.start)


def add(conn: Connection, delegation: Delegation) -> None:
    """Record one delegation."""
    conn.execute(insert(delegations).values(**{**asdict(delegation), "types": pack(list(delegation.types))}))


def revoke(conn: Connection, delegation_id: str, *, at: datetime) -> bool:
    """End one delegation at once; False when there is none in force."""
    done = conn.execute(
        update(delegations)
        .where(delegations.c.id == delegation_id, delegations.c.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    return done.rowcount == 1


def get(conn: Connection, delegation_id: str) -> Delegation | None:
    """One delegation by its id."""
    row = conn.execute(select(delegations).where(delegations.c.id == delegation_id)).one_or_none()
    return None if row is None else _delegation(row)


def held_by_secretary(conn: Connection, account_id: str) -> list[Delegation]:
    """Every delegation given to one secretary, ended ones too."""
    return [_delegation(row) for row in conn.execute(_TO, {"wanted": account_id})]


def of_account(conn: Connection, account_id: str) -> list[Delegation]:
    """Every delegation that an account gave or was given, ended ones too."""
    named = or_(delegations.c.secretary == account_id, delegations.c.professional == account_id)
    query = select(delegations).where(named).order_by(delegations.c.start, delegations.c.id)
    return [_delegation(row) for row in conn.execute(query)]


def in_network(conn: Connection, network: str | None) -> list[Delegation]:
    """Every delegation of one network, or of all (None)."""
    query = select(delegations).order_by(delegations.c.start, delegations.c.id)
    if network is not None:
        query = query.where(delegations.c.network == network)
    return [_delegation(row) for row in conn.execute(query)]


def _delegation(row: Row[Any]) -> Delegation:
    return Delegation(**{**row._mapping, "types": strings(row.types)})
