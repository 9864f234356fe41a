"""Upkeep of the encrypted files: those that no row names, and keys wrapped by an older version."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, or_, select, update

from dcc.mailbox.blobs import BlobStore
from dcc.mailbox.keyring import KeyRing
from dcc.mailbox.outbox import REQUEUABLE
from dcc.mailbox.records import DeliveryState
from dcc.mailbox.rows import pack, pairs
from dcc.mailbox.schema import messages, outbox, parts
from dcc.mailbox.schema_factors import factors

SEALED = frozenset(
    {"secret", "motive"}
)  # parameters of mails still owed: `version:wrapped`, as Services.seal_secret writes
MAY_LEAVE = (DeliveryState.QUEUED.value, *REQUEUABLE)
ORIGINAL = "original"  # in a message's evidence: the blob of a mail that came in clear (I3)
_WITH_ORIGINAL = messages.c.evidence.contains('"original"')


def orphan_blobs(conn: Connection, store: BlobStore, older_than: datetime) -> list[Path]:
    """Files last written before this time that neither a document nor a message names: a settling that failed."""
    return list(store.orphans(older_than, blob_ids(conn).__contains__))


def blob_ids(conn: Connection) -> set[str]:
    """The id of every blob that a row names."""
    found = set(conn.execute(select(parts.c.blob_id)).scalars())
    for _, evidence in _originals(conn):
        found.add(str(evidence[ORIGINAL]["id"]))
    return found


def protected_messages(conn: Connection) -> list[str]:
    """The messages that came in clear and whose bytes lie under a key: nothing of them belongs in the spool (I3)."""
    return [message_id for message_id, _ in _originals(conn)]


def rewrap(conn: Connection, ring: KeyRing, limit: int = 1000) -> int:
    """Wrap up to `limit` document keys and secrets of older versions anew; returns how many rows changed (0: all done).

    Files stay as they are. Once it returns 0, an older key-encryption key can be destroyed. Raises KeyMissing.
    """
    old = select(parts.c.document, parts.c.position, parts.c.key_version, parts.c.wrapped_key).where(
        parts.c.key_version != ring.current
    )
    changed = _rewrap_owed(conn, ring, limit)
    for row in conn.execute(old.limit(limit - changed)).all():
        version, wrapped = ring.rewrap(row.key_version, row.wrapped_key)
        this = (parts.c.document == row.document, parts.c.position == row.position)
        conn.execute(update(parts).where(*this).values(key_version=version, wrapped_key=wrapped))
        changed += 1
    secrets = select(factors.c.id, factors.c.key_version, factors.c.wrapped_key)
    for secret in conn.execute(secrets.where(factors.c.key_version != ring.current).limit(limit - changed)).all():
        version, wrapped = ring.rewrap(secret.key_version, secret.wrapped_key)
        conn.execute(update(factors).where(factors.c.id == secret.id).values(key_version=version, wrapped_key=wrapped))
        changed += 1
    for message_id, evidence in _originals(conn):
        kept = evidence[ORIGINAL]
        if changed >= limit:
            break
        if kept["key_version"] == ring.current:
            continue
        version, wrapped = ring.rewrap(kept["key_version"], bytes.fromhex(kept["wrapped_key"]))
        evidence[ORIGINAL] = {**kept, "key_version": version, "wrapped_key": wrapped.hex()}
        told = json.dumps(evidence, ensure_ascii=False)
        conn.execute(update(messages).where(messages.c.id == message_id).values(evidence=told))
        changed += 1
    return changed


def _rewrap_owed(conn: Connection, ring: KeyRing, limit: int) -> int:
    """The secrets of mails that may still leave; what has left is never unsealed again."""
    named = or_(*(outbox.c.parameters.contains(f'"{name}"') for name in sorted(SEALED)))
    owed = select(outbox.c.id, outbox.c.parameters).where(outbox.c.state.in_(MAY_LEAVE), named)
    changed = 0
    for row in conn.execute(owed).all():
        before = pairs(row.parameters)
        after = [[name, _sealed_again(value, ring) if name in SEALED else value] for name, value in before]
        if after != [list(one) for one in before]:
            conn.execute(update(outbox).where(outbox.c.id == row.id).values(parameters=pack(after)))
            changed += 1
        if changed >= limit:
            break
    return changed


def _sealed_again(sealed: str, ring: KeyRing) -> str:
    version, _, wrapped = sealed.partition(":")
    if int(version) == ring.current:
        return sealed
    newer, again = ring.rewrap(int(version), bytes.fromhex(wrapped))
    return f"{newer}:{again.hex()}"


def _originals(conn: Connection) -> list[tuple[str, dict[str, Any]]]:
    found = conn.execute(select(messages.c.id, messages.c.evidence).where(_WITH_ORIGINAL))
    read = [(row.id, json.loads(row.evidence)) for row in found]
    return [(message_id, evidence) for message_id, evidence in read if isinstance(evidence.get(ORIGINAL), dict)]
