"""The outbox: mails that are owed to people, and how far each has come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, or_, select, update

from dcc.mailbox.records import Delivery, DeliveryState
from dcc.mailbox.rights import UNCHANGED
from dcc.mailbox.rows import insert_new, pack, pairs, strings
from dcc.mailbox.schema import outbox

OPEN = (DeliveryState.QUEUED, DeliveryState.UNCERTAIN)  # what the relay's answer may still change
RECEIPT_AFTER = {
    DeliveryState.DELIVERED: (*OPEN, DeliveryState.SENT, DeliveryState.FAILED),
    DeliveryState.READ: (*OPEN, DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.FAILED),
    DeliveryState.FAILED: (*OPEN, DeliveryState.SENT),  # a late DSN does not undo a delivery that was confirmed
}
NAMES = tuple(field.name for field in fields(Delivery))
# Built once: building a statement costs more than running it.
_LOST = (
    select(outbox.c.id)
    .where(
        outbox.c.state == DeliveryState.QUEUED.value,
        outbox.c.started_at.is_not(None),
        or_(outbox.c.lease_until.is_(None), outbox.c.lease_until < bindparam("at")),
    )
    .with_for_update(skip_locked=True)  # a locked one is being written by a worker that lives
)
_INTERRUPTED = (
    update(outbox)
    .where(outbox.c.id.in_(_LOST.scalar_subquery()))
    .values(state=DeliveryState.UNCERTAIN.value, lease_until=None)
    .returning(outbox)
)
_DUE = (
    select(outbox.c.id)
    .where(
        outbox.c.state == DeliveryState.QUEUED.value,
        outbox.c.due <= bindparam("at"),
        outbox.c.started_at.is_(None),
        or_(outbox.c.lease_until.is_(None), outbox.c.lease_until < bindparam("at")),
    )
    .order_by(outbox.c.due, outbox.c.message)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(outbox)
    .where(outbox.c.id.in_(_DUE.scalar_subquery()))
    .values(lease_until=bindparam("until"), lease_owner=bindparam("owner"), attempts=outbox.c.attempts + 1)
    .returning(outbox)
)
_SENT = (
    update(outbox)
    .where(outbox.c.id == bindparam("which"), or_(*(outbox.c.state == state.value for state in OPEN)))
    .values(
        state=DeliveryState.SENT.value,
        message_id=func.coalesce(bindparam("mail"), outbox.c.message_id),
        sent_at=bindparam("at"),
        lease_until=None,
        sealed_file=None,
    )
)
_RENEW = (
    update(outbox)
    .where(
        outbox.c.id == bindparam("which"),
        outbox.c.attempts == bindparam("attempt"),
        outbox.c.lease_until.is_not(None),
        outbox.c.state == DeliveryState.QUEUED.value,
    )
    .values(lease_until=bindparam("until"))
)
_SET = update(outbox).where(outbox.c.id == bindparam("which"))
_MOVE = _SET.where(outbox.c.state.in_(bindparam("before", expanding=True)))
REQUEUABLE = (DeliveryState.FAILED.value, DeliveryState.UNCERTAIN.value)


def enqueue(conn: Connection, delivery: Delivery) -> bool:
    """Owe one mail; False when the same one (dedupe key) is owed already."""
    return enqueue_all(conn, [delivery]) == 1


def enqueue_all(conn: Connection, deliveries: Sequence[Delivery]) -> int:
    """Owe several mails at once; returns how many were new (dedupe key), whoever else writes."""
    return len(insert_new(conn, outbox, [_values(delivery) for delivery in deliveries], outbox.c.id))


def interrupted(conn: Connection, *, now: datetime) -> list[Delivery]:
    """Sendings that began and whose worker died: from now on `uncertain`, never sent again by themselves (I1)."""
    return [_delivery(row) for row in conn.execute(_INTERRUPTED, {"at": now})]


def claim_due(
    conn: Connection, *, now: datetime, lease: timedelta, limit: int, owner: str | None = None
) -> list[Delivery]:
    """Take up to `limit` due mails under a lease; counts an attempt. `owner` names the process, for `release`.

    A mail whose sending had begun is never among them: `interrupted` makes it uncertain, and tells the caller, who
    records it (I2).
    """
    taken = conn.execute(_CLAIM, {"at": now, "until": now + lease, "most": limit, "owner": owner})
    return sorted((_delivery(row) for row in taken), key=lambda one: (one.due, one.id))


def release(conn: Connection, owner: str) -> int:
    """Give back every lease of a process that has died; returns how many. What it had begun to send stays begun."""
    held = update(outbox).where(outbox.c.lease_owner == owner, outbox.c.lease_until.is_not(None))
    return conn.execute(held.values(lease_until=None)).rowcount


def mark_sealed(conn: Connection, delivery_id: str, *, message_id: str, sealed_file: str) -> None:
    """The mail is built and durable; its Message-ID is fixed for ever."""
    _set(conn, delivery_id, message_id=message_id, sealed_file=sealed_file)


def mark_started(
    conn: Connection, delivery_id: str, *, now: datetime, lease: timedelta | None = None, attempt: int | None = None,
    rights: int | None = None,
) -> bool:  # fmt: skip
    """Committed before DATA begins: whatever happens next, it is known that it may have arrived.

    `attempt` is the number under which it was claimed. False, and nothing is to be sent, where somebody else has
    claimed it since, or has begun: a worker that was slower than its lease must not send it a second time (I1).
    `lease`: the sending holds the mail for this long from now on. `rights`: the number (`mailbox.rights`) that it was
    planned under; neither is anything to be sent where a right may have ended since (I4).
    """
    begun = _SET.where(outbox.c.state == DeliveryState.QUEUED.value, outbox.c.started_at.is_(None))
    if attempt is not None:
        begun = begun.where(outbox.c.attempts == attempt)
    known: dict[str, Any] = {"which": delivery_id}
    if rights is not None:
        begun, known["rights"] = begun.where(UNCHANGED), rights
    values = {"started_at": now} if lease is None else {"started_at": now, "lease_until": now + lease}
    return conn.execute(begun.values(**values), known).rowcount == 1


def mark_sent(conn: Connection, delivery_id: str, *, now: datetime, message_id: str | None = None) -> bool:
    """The next host has taken it. A receipt that was quicker than we stays: False.

    `message_id`: where it was not fixed before, by `mark_sealed`.
    """
    told: dict[str, Any] = {} if message_id is None else {"message_id": message_id}
    told |= {"sent_at": now, "lease_until": None, "sealed_file": None}
    if _move(conn, delivery_id, OPEN, state=DeliveryState.SENT.value, **told):
        return True
    _set(conn, delivery_id, **told)
    return False


def mark_all_sent(conn: Connection, mails: Sequence[tuple[str, str | None]], *, now: datetime) -> None:
    """`mark_sent` for several mails, (id, Message-ID where it was not fixed before), in one statement."""
    if not mails:
        return
    rows = [{"which": one, "mail": message_id, "at": now} for one, message_id in mails]
    if conn.execute(_SENT, rows).rowcount == len(rows):
        return
    for one, message_id in mails:  # a receipt was quicker than we for one of them; repeating the others is harmless
        mark_sent(conn, one, now=now, message_id=message_id)


def mark_failed(conn: Connection, delivery_id: str, *, reason: str, attempt: int | None = None) -> bool:
    """It will not be sent; the reason says why. The sealed file stays, for a person's second try.

    `attempt` as for `retry_later`: without effect where somebody else has claimed it since, and may be sending it.
    """
    return _move(conn, delivery_id, OPEN, attempt, state=DeliveryState.FAILED.value, reason=reason, lease_until=None)


def mark_uncertain(conn: Connection, delivery_id: str) -> bool:
    """The line broke after DATA: it may have arrived, and is not sent again by itself."""
    return _move(conn, delivery_id, OPEN, state=DeliveryState.UNCERTAIN.value, lease_until=None)


def mark_withheld(conn: Connection, delivery_id: str, *, reason: str, attempt: int | None = None) -> bool:
    """The right to receive it ended before it was sent; `attempt` as for `retry_later`."""
    return _move(
        conn, delivery_id, (DeliveryState.QUEUED,), attempt,
        state=DeliveryState.WITHHELD.value, reason=reason, lease_until=None, sealed_file=None,
    )  # fmt: skip


def retry_later(conn: Connection, delivery_id: str, *, due: datetime, attempt: int | None = None) -> bool:
    """The next host said later; DATA was not accepted, whatever was believed of a worker that was slow.

    `attempt` is the number under which it was claimed; without effect where somebody else has claimed it since.
    """
    values = {"state": DeliveryState.QUEUED.value, "due": due, "lease_until": None, "started_at": None}
    return _move(conn, delivery_id, OPEN, attempt, **values)


def give_back(conn: Connection, delivery_id: str, *, attempt: int) -> bool:
    """Claimed under this number, and nothing of it begun: free for the next worker."""
    mine = _SET.where(outbox.c.started_at.is_(None), outbox.c.attempts == attempt)
    return conn.execute(mine.values(lease_until=None), {"which": delivery_id}).rowcount == 1


def renew(conn: Connection, held: Mapping[str, int], lease_until: datetime) -> int:
    """Hold leases longer: id -> the attempt under which each mail was claimed; how many are still held."""
    rows = [{"which": one, "attempt": attempt, "until": lease_until} for one, attempt in held.items()]
    return conn.execute(_RENEW, rows).rowcount if rows else 0


def requeue(conn: Connection, delivery_id: str, *, now: datetime) -> bool:
    """A person decides to send a failed or uncertain mail again, with the same Message-ID."""
    done = conn.execute(
        update(outbox)
        .where(outbox.c.id == delivery_id, outbox.c.state.in_(REQUEUABLE))
        .values(
            state=DeliveryState.QUEUED.value,
            due=now,
            attempts=0,
            lease_until=None,
            started_at=None,
            reason=None,
        )
    )
    return done.rowcount == 1


def get(conn: Connection, delivery_id: str) -> Delivery | None:
    """One delivery by its id."""
    row = conn.execute(select(outbox).where(outbox.c.id == delivery_id)).one_or_none()
    return None if row is None else _delivery(row)


def by_message_id(conn: Connection, message_id: str) -> Delivery | None:
    """The delivery that carries this Message-ID header."""
    row = conn.execute(select(outbox).where(outbox.c.message_id == message_id)).first()
    return None if row is None else _delivery(row)


def mark_receipt(conn: Connection, delivery_id: str, state: DeliveryState, *, reason: str | None = None) -> bool:
    """A receipt says delivered, read or failed. False where it changes nothing: what was read was delivered."""
    told: dict[str, Any] = {} if reason is None else {"reason": reason}
    return _move(conn, delivery_id, RECEIPT_AFTER[state], state=state.value, lease_until=None, **told)


def deliveries(conn: Connection, *, folder: str | None = None, message: str | None = None) -> list[Delivery]:
    """The mails of a folder, of a message, or all; oldest first."""
    query = select(outbox).order_by(outbox.c.created_at, outbox.c.id)
    if folder is not None:
        query = query.where(outbox.c.folder == folder)
    if message is not None:
        query = query.where(outbox.c.message == message)
    return [_delivery(row) for row in conn.execute(query)]


def queued(conn: Connection) -> tuple[int, datetime | None]:
    """How many mails are owed, and since when the oldest."""
    query = select(func.count(), func.min(outbox.c.created_at)).where(outbox.c.state == DeliveryState.QUEUED.value)
    count, oldest = conn.execute(query).one()
    return int(count), oldest


def sealed_files(conn: Connection) -> set[str]:
    """Names of the files that rows still need."""
    found = conn.execute(select(outbox.c.sealed_file).where(outbox.c.sealed_file.is_not(None))).scalars()
    return {name for name in found if name is not None}


def _move(
    conn: Connection, delivery_id: str, before: Sequence[DeliveryState], attempt: int | None = None, **columns: Any
) -> bool:
    names = [state.value for state in before]
    move = _MOVE if attempt is None else _MOVE.where(outbox.c.attempts == attempt)
    return conn.execute(move, {"which": delivery_id, "before": names, **columns}).rowcount == 1


def _set(conn: Connection, delivery_id: str, **columns: Any) -> None:
    conn.execute(_SET, {"which": delivery_id, **columns})


def _values(delivery: Delivery) -> dict[str, Any]:
    # dataclasses.asdict copies deeply, which costs more than the insert.
    return {name: getattr(delivery, name) for name in NAMES} | {
        "state": delivery.state.value,
        "documents": pack(list(delivery.documents)),
        "parameters": pack([list(pair) for pair in delivery.parameters]),
    }


def _delivery(row: Row[Any]) -> Delivery:
    values = {
        **row._mapping,
        "state": DeliveryState(row.state),
        "documents": strings(row.documents),
        "parameters": pairs(row.parameters),
    }
    del values["lease_until"], values["lease_owner"]
    return Delivery(**values)
