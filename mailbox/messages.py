"""Received messages: durable rows, claimed under a lease, advanced by compare-and-set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, literal_column, or_, select, update

from dcc.mailbox.records import ENDS, Message, MessageState, StageTiming
from dcc.mailbox.rows import insert_new, iso, pack, pairs, storable, strings
from dcc.mailbox.schema import messages, replays

IN_PROGRESS = tuple(state.value for state in MessageState if state not in ENDS)

# Built once: building a statement costs more than running it.
_DUE = (
    select(messages.c.id)
    .where(
        messages.c.state.in_(
            [literal_column(f"'{state}'") for state in IN_PROGRESS]
        ),  # values would be set in each time
        messages.c.due <= bindparam("at"),
        or_(messages.c.lease_until.is_(None), messages.c.lease_until < bindparam("at")),
    )
    .order_by(messages.c.due)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(messages)
    .where(messages.c.id.in_(_DUE.scalar_subquery()))
    .values(lease_until=bindparam("until"), lease_owner=bindparam("owner"), attempts=messages.c.attempts + 1)
    .returning(messages)
)
_MOVE = update(messages).where(messages.c.id == bindparam("which"), messages.c.state == bindparam("before"))
_RENEW = (
    update(messages)
    .where(
        messages.c.id == bindparam("which"),
        messages.c.attempts == bindparam("attempt"),
        messages.c.lease_until.is_not(None),
        or_(*(messages.c.state == one for one in IN_PROGRESS)),
    )
    .values(lease_until=bindparam("until"))
)
_DOCUMENTS = select(messages.c.documents).where(messages.c.id == bindparam("which"))
AT_ONCE = 500  # an engine bounds the parameters of a statement
_KNOWN = select(messages.c.id).where(messages.c.id.in_(bindparam("ids", expanding=True)))
_SAME = select(messages.c.id).where(
    or_(
        messages.c.id == bindparam("which"),
        (messages.c.envelope_key == bindparam("key")) & messages.c.settled_at.is_(None),
    )
)


def envelope_key(message: Message) -> str:
    """What makes a retransmission: the same envelope and the same bytes."""
    envelope = [message.mail_from, sorted(message.recipients), message.sha256]
    return hashlib.sha256(pack(envelope).encode()).hexdigest()


def insert_received(conn: Connection, message: Message) -> str:
    """Write a received message; returns its id, or the first id of a retransmission.

    A retransmission is the same envelope and the same bytes while the first has no end yet: the sender lost our 250.
    """
    key = envelope_key(message)
    row = {"envelope_key": key, **_values(message)}
    while not insert_new(conn, messages, [row], messages.c.id):
        known = conn.execute(_SAME, {"which": message.id, "key": key}).scalars().first()
        if known is not None:  # None: it was settled between the two statements, so ours is a new message
            return str(known)
    return message.id


def claim(conn: Connection, *, now: datetime, lease: timedelta, limit: int, owner: str | None = None) -> list[Message]:
    """Take up to `limit` due messages under a lease; counts an attempt, so that a crash counts too.

    `owner` names the process, so that `release` gives back what it held when it is known to have died.
    """
    taken = conn.execute(_CLAIM, {"at": now, "until": now + lease, "most": limit, "owner": owner})
    return sorted((_message(row) for row in taken), key=lambda message: message.received_at)


def advance(
    conn: Connection,
    message_id: str,
    *,
    expected: MessageState,
    to: MessageState,
    stages: Sequence[StageTiming],
    **columns: Any,
) -> bool:
    """Move from `expected` to `to`, or do nothing and return False when another worker was first."""
    return _move(conn, message_id, expected, {"state": to.value, "stages": _stages(stages), **columns})


def settle(
    conn: Connection,
    message_id: str,
    *,
    expected: MessageState,
    end: MessageState,
    now: datetime,
    stages: Sequence[StageTiming],
    reason_code: str | None = None,
    reason_parameters: Sequence[tuple[str, str]] = (),
    documents: Sequence[str] = (),
    **columns: Any,
) -> bool:
    """Bring to one of the four ends, by compare-and-set; the lease is given back."""
    if end not in ENDS:
        raise ValueError("not an end")
    values = {
        "state": end.value,
        "settled_at": now,
        "lease_until": None,
        "reason_code": reason_code,
        "reason_parameters": pack([list(pair) for pair in reason_parameters]),
        "documents": pack(list(documents)),
        "stages": _stages(stages),
    }
    return _move(conn, message_id, expected, values | columns)


def defer(conn: Connection, message_id: str, *, until: datetime, attempt: int | None = None) -> None:
    """Give the lease back and look again at `until`; a message that has its end keeps it as it is.

    `attempt` is the number under which it was claimed: without effect where somebody else has claimed it since.
    """
    mine = update(messages).where(messages.c.id == message_id, messages.c.state.in_(IN_PROGRESS))
    if attempt is not None:
        mine = mine.where(messages.c.attempts == attempt)
    conn.execute(mine.values(lease_until=None, due=until))


def release(conn: Connection, owner: str) -> int:
    """Give back every lease of a process that has died; returns how many. The attempts stay counted."""
    held = update(messages).where(messages.c.lease_owner == owner, messages.c.lease_until.is_not(None))
    return conn.execute(held.values(lease_until=None)).rowcount


def renew(conn: Connection, held: Mapping[str, int], lease_until: datetime) -> int:
    """Hold leases longer, the work is long, not dead: id -> the attempt under which each was claimed; how many.

    Without effect on what has its end, was given back, or was claimed by somebody else since.
    """
    rows = [{"which": one, "attempt": attempt, "until": lease_until} for one, attempt in held.items()]
    return conn.execute(_RENEW, rows).rowcount if rows else 0


def reopen(conn: Connection, message_id: str, *, now: datetime, evidence: str | None = None) -> bool:
    """A held message is worked on again from its received bytes; False when it is not held.

    Its envelope key is given up: the same mail may be in work a second time. `evidence` replaces what is kept.
    """
    kept = {} if evidence is None else {"evidence": storable(evidence)}
    moved = conn.execute(
        update(messages)
        .where(messages.c.id == message_id, messages.c.state == MessageState.HELD.value)
        .values(
            state=MessageState.RECEIVED.value, due=now, attempts=0, lease_until=None, settled_at=None,
            envelope_key=messages.c.id, reason_code=None, reason_parameters="[]", **kept,
        )
    )  # fmt: skip
    return moved.rowcount == 1


def due_for_retry(conn: Connection, *, code: str, now: datetime, limit: int = 100) -> list[str]:
    """Held messages of this reason whose time to be judged again has come."""
    found = select(messages.c.id).where(
        messages.c.state == MessageState.HELD.value, messages.c.reason_code == code, messages.c.due <= now
    )
    return list(conn.execute(found.limit(limit)).scalars())


def get(conn: Connection, message_id: str) -> Message | None:
    """One message by its id."""
    row = conn.execute(select(messages).where(messages.c.id == message_id)).one_or_none()
    return None if row is None else _message(row)


def documents_of(conn: Connection, message_id: str) -> tuple[str, ...]:
    """The ids of the documents that a message ended with; empty when there are none, or no such message."""
    found = conn.execute(_DOCUMENTS, {"which": message_id}).scalar()
    return strings(found) if found else ()


def list_messages(conn: Connection, state: MessageState | None = None, limit: int = 100) -> list[Message]:
    """The latest messages, newest first."""
    query = select(messages).order_by(messages.c.received_at.desc()).limit(limit)
    if state is not None:
        query = query.where(messages.c.state == state.value)
    return [_message(row) for row in conn.execute(query)]


def queue_depth(conn: Connection) -> int:
    """Messages that have no end yet."""
    query = select(func.count()).select_from(messages).where(messages.c.state.in_(IN_PROGRESS))
    return int(conn.execute(query).scalar_one())


def depth_by_state(conn: Connection) -> dict[MessageState, tuple[int, datetime | None]]:
    """For each state: how many, and when the oldest came."""
    query = select(messages.c.state, func.count(), func.min(messages.c.received_at)).group_by(messages.c.state)
    found = {MessageState(state): (int(count), oldest) for state, count, oldest in conn.execute(query)}
    return {state: found.get(state, (0, None)) for state in MessageState}


def find_replay(conn: Connection, key: str) -> str | None:
    """The message that first used this (certificate, digest, time): R-REPLAY."""
    return conn.execute(select(replays.c.message).where(replays.c.key == key)).scalar_one_or_none()


def record_replay(conn: Connection, key: str, message_id: str) -> str:
    """Remember it; the first message stays, and is returned."""
    if insert_new(conn, replays, [{"key": key, "message": message_id}], replays.c.key):
        return message_id
    return str(conn.execute(select(replays.c.message).where(replays.c.key == key)).scalar_one())


def unsettled_ids(conn: Connection) -> set[str]:
    """The ids of messages without an end, for the check of the spool at start."""
    return set(conn.execute(select(messages.c.id).where(messages.c.state.in_(IN_PROGRESS))).scalars())


def known_ids(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Those of `ids`, however many, that have a row."""
    found: set[str] = set()
    for start in range(0, len(ids), AT_ONCE):
        found.update(conn.execute(_KNOWN, {"ids": list(ids[start : start + AT_ONCE])}).scalars())
    return found


def _move(conn: Connection, message_id: str, expected: MessageState, values: dict[str, Any]) -> bool:
    return conn.execute(_MOVE, {"which": message_id, "before": expected.value, **values}).rowcount == 1


def _stages(stages: Sequence[StageTiming]) -> str:
    return pack([[stage.name, iso(stage.at), stage.ms] for stage in stages])


def _values(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "received_at": message.received_at,
        "size": message.size,
        "sha256": message.sha256,
        "mail_from": message.mail_from,
        "recipients": pack(list(message.recipients)),
        "peer": message.peer,
        "state": message.state.value,
        "due": message.due,
        "attempts": message.attempts,
        "reason_parameters": "[]",
        "documents": "[]",
        "stages": _stages(message.stages),
        "evidence": message.evidence,
    }


def _message(row: Row[Any]) -> Message:
    stages = tuple(StageTiming(name, datetime.fromisoformat(at), ms) for name, at, ms in json.loads(row.stages))
    return replace(
        Message(
            id=row.id, received_at=row.received_at, size=row.size, sha256=row.sha256, mail_from=row.mail_from,
            recipients=strings(row.recipients), peer=row.peer, state=MessageState(row.state), due=row.due,
        ),
        attempts=row.attempts, lease_until=row.lease_until, reason_code=row.reason_code,
        reason_parameters=pairs(row.reason_parameters), signer=row.signer,
        signer_certificate=row.signer_certificate, folder=row.folder, documents=strings(row.documents),
        settled_at=row.settled_at, stages=stages, evidence=row.evidence,
    )  # fmt: skip
