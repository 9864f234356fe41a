"""Who is told that a document that they were sent is no longer what it was: deleted, or replaced behind their back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection

from dcc.mailbox import outbox, people
from dcc.mailbox.records import Account, Delivery, DeliveryState, Document
from dcc.router.distribute import CHANGE

DELETED, REPLACED = "D2R-DEL03", "D2R-OLD02"
TO_READERS = frozenset({"report", "notice"})
ARRIVED = frozenset({DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ, DeliveryState.UNCERTAIN})


def plan_changed(
    conn: Connection,
    documents: Sequence[Document],
    code: str,
    *,
    told: Iterable[str],
    message_id: str,
    now: datetime,
    new_id: Callable[[], str],
    allowed: Callable[[Delivery], bool],
) -> list[Delivery]:
    """One mail to each account that was sent one of these documents of one folder, or had brought it.

    `told` are accounts that learn it otherwise: who asked, and who is sent the new version. `allowed` says whether a
    mail may be sent now: whoever has no right any more is told nothing (I4).
    """
    if not documents:
        return []
    ids = {one.id for one in documents}
    known: dict[str, set[str]] = {}
    for one in outbox.deliveries(conn, folder=documents[0].folder):
        if one.kind in TO_READERS and one.account is not None and _may_have_arrived(one):
            known.setdefault(one.account, set()).update(ids.intersection(one.documents))
    for document in documents:
        known.setdefault(document.depositor, set()).add(document.id)
    owed = []
    for account_id in sorted(set(known) - set(told)):
        account = people.get_account(conn, account_id)
        if account is None or not known[account_id]:
            continue
        one = _mail(account, documents[0].folder, tuple(sorted(known[account_id])), code, message_id, now, new_id())
        if allowed(one):
            owed.append(one)
    return owed


def _may_have_arrived(delivery: Delivery) -> bool:
    """A mail that a worker has already taken up may be leaving just now."""
    return delivery.state in ARRIVED or (delivery.state is DeliveryState.QUEUED and delivery.attempts > 0)


def _mail(
    account: Account, folder: str, documents: tuple[str, ...], code: str, message_id: str, now: datetime, new_id: str
) -> Delivery:
    return Delivery(
        id=new_id, dedupe_key=f"{message_id}:{CHANGE}:{account.id}", kind=CHANGE, mailbox=account.mailbox,
        account=account.id, folder=folder, message=message_id, documents=documents, reason=code,
        state=DeliveryState.QUEUED, created_at=now, due=now,
    )  # fmt: skip
