"""The document rules that networks have set for themselves: each text once, kept; a network's row names the one in force."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, bindparam, insert, select, update

from dcc.mailbox.records import DocumentRules
from dcc.mailbox.schema import networks
from dcc.mailbox.schema_people import document_rules

TEXT = select(document_rules.c.content).where(
    document_rules.c.network == bindparam("network"), document_rules.c.sha256 == bindparam("sha256")
)


class RulesLost(LookupError):
    """The text of rules that are in force is not there, or is not what it was."""


def digest(content: str) -> str:
    """What names a text of rules: its SHA-256."""
    return hashlib.sha256(content.encode()).hexdigest()


def choose(conn: Connection, rules: DocumentRules, *, before: str | None) -> bool:
    """Put these rules in force where `before` was; False when something else is in force by now."""
    key = (document_rules.c.network == rules.network) & (document_rules.c.sha256 == rules.sha256)
    again = update(document_rules).where(key).values(set_at=rules.set_at, set_by=rules.set_by)
    if conn.execute(again).rowcount == 0:
        values = {
            "network": rules.network, "sha256": rules.sha256, "content": rules.content, "set_at": rules.set_at,
            "set_by": rules.set_by,
        }  # fmt: skip
        conn.execute(insert(document_rules).values(**values))
    return _point(conn, rules.network, rules.sha256, before)


def leave(conn: Connection, network: str, *, before: str | None) -> bool:
    """The gateway's table holds again; the text that was in force is kept."""
    return _point(conn, network, None, before)


def text(conn: Connection, network: str, sha256: str) -> str:
    """The text of one network's rules. Raises RulesLost: rules that cannot be read bar nobody and open nothing."""
    row = conn.execute(TEXT, {"network": network, "sha256": sha256}).one_or_none()
    if row is None or digest(row.content) != sha256:
        raise RulesLost(f"the rules of network {network}")
    return str(row.content)


def in_force(conn: Connection, network: str) -> DocumentRules | None:
    """A network's own rules, who set them and when; None: the gateway's table holds."""
    query = (
        select(document_rules)
        .join(networks, (networks.c.id == document_rules.c.network) & (networks.c.rules == document_rules.c.sha256))
        .where(networks.c.id == network)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else DocumentRules(**row._mapping)


def _point(conn: Connection, network: str, after: str | None, before: str | None) -> bool:
    where = (networks.c.id == network, networks.c.rules.is_not_distinct_from(before))
    return conn.execute(update(networks).where(*where).values(rules=after)).rowcount == 1
