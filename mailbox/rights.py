"""The state of people's rights as one number: every write that may end a right raises it, in the same transaction (I4).

Triggers of the store raise it, on both engines, so that no way of writing can forget to. It says that something has
changed, not what: whoever planned under another number looks again.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from dcc.mailbox.schema_rights import rights

CHANGED = ("UPDATE", "DELETE")  # a new row of such a table gives a right, or nothing; an opposition takes one
WATCHED: Mapping[str, tuple[str, ...]] = {
    "networks": CHANGED,
    "accounts": CHANGED,
    "folders": CHANGED,
    "mandates": CHANGED,
    "oppositions": ("INSERT", *CHANGED),
    "documents": CHANGED,
    "document_rules": CHANGED,
}
_REVISION = select(rights.c.revision).where(rights.c.id == 1)
_NOW = func.coalesce(_REVISION.scalar_subquery(), 0)
UNCHANGED: ColumnElement[bool] = bindparam("rights") == _NOW


def revision(conn: Connection) -> int:
    """The number in this moment of the store; 0 before the first change."""
    return int(conn.execute(_REVISION).scalar_one_or_none() or 0)
