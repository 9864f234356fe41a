"""What readers announced that they can read, as their newest signature said it (RFC 8551 §2.7.2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, select, update

from dcc.mailbox.rows import insert_new, strings
from dcc.mailbox.schema_capabilities import capabilities

# Asked for every mail: built once, since building a statement costs more than running it.
_ANNOUNCED = select(capabilities.c.algorithms).where(capabilities.c.account == bindparam("wanted"))
_SOME = select(capabilities.c.account, capabilities.c.algorithms).where(
    capabilities.c.account.in_(bindparam("ids", expanding=True))
)


def announced(conn: Connection, account: str) -> tuple[str, ...]:
    """The algorithms, dotted, best first; none: nothing is known."""
    found = conn.execute(_ANNOUNCED, {"wanted": account}).scalar_one_or_none()
    return () if found is None else strings(found)


def some(conn: Connection, accounts: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """`announced` of these accounts; those of whom nothing is known are left out."""
    return {account: strings(found) for account, found in conn.execute(_SOME, {"ids": list(accounts)})}


def signed_at(conn: Connection, account: str) -> datetime | None:
    """When the signature was made that said so."""
    return conn.execute(select(capabilities.c.signed_at).where(capabilities.c.account == account)).scalar_one_or_none()


def remember(conn: Connection, account: str, algorithms: tuple[str, ...], at: datetime) -> None:
    """Keep them, unless a newer signature said otherwise."""
    row = {"account": account, "algorithms": json.dumps(algorithms), "signed_at": at}
    if insert_new(conn, capabilities, [row], capabilities.c.account):
        return
    conn.execute(
        update(capabilities).where(capabilities.c.account == account, capabilities.c.signed_at <= at).values(**row)
    )
