"""Who is told that one of our mails was finally lost, or may have been; never about such a mail itself (R-LOOP)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from dcc.mailbox import documents, messages, outbox, people
from dcc.mailbox.records import Account, Delivery, DeliveryState
from dcc.router import oids
from dcc.router.answer import ANSWERS, NEUTRAL
from dcc.router.distribute import CONTENT_KINDS
from dcc.router.reasons import Reason, reason

KIND = "undelivered"
READER_MISSED = "D2R-DLV01"
ANSWER_MISSED = "D2R-DLV02"
UNCERTAIN = "uncertain"  # the same of a mail that may have arrived (facts: mail §3)
READER_UNCERTAIN = "D2R-DLV03"
ANSWER_UNCERTAIN = "D2R-DLV04"
KNOWN_BY_NOW = "D2R-DLV05"


def plan_undelivered(
    conn: Connection, delivery: Delivery, *, now: datetime, new_id: Callable[[], str]
) -> Delivery | None:
    """The mail owed to the depositor because this one is lost; None: nobody is told by mail.

    Who was to receive it is not said: the network's support knows (I3). One mail for each deposit, whatever the number
    of its readers that were missed. Whoever wrote with the null sender, or was answered as a stranger, is told nothing
    (RFC 5321 §4.5.5, I5); neither is anything told of a mail that no deposit nor request caused, nor of one about a
    document that is masked: its depositor does not learn that anybody was written to.
    """
    account = _concerned(conn, delivery)
    if account is None:
        return None
    code = READER_MISSED if delivery.kind in CONTENT_KINDS else ANSWER_MISSED
    return _owed(delivery, account, KIND, code, now, now, new_id())


def plan_uncertain(
    conn: Connection, delivery: Delivery, *, now: datetime, due: datetime, new_id: Callable[[], str]
) -> Delivery | None:
    """The same where nobody knows whether this one has arrived, to be sent at `due` unless it is known by then."""
    account = _concerned(conn, delivery)
    if account is None:
        return None
    code = READER_UNCERTAIN if delivery.kind in CONTENT_KINDS else ANSWER_UNCERTAIN
    return _owed(delivery, account, UNCERTAIN, code, now, due, new_id())


def known_by_now(delivery: Delivery, conn: Connection) -> Reason | None:
    """Why a mail that would say "may have arrived" is not sent; None: it is, or this is another mail.

    Deferred while something is still on its way, perhaps once more: how that ends is not known yet.
    """
    if delivery.kind != UNCERTAIN or delivery.message is None or delivery.reason is None:
        return None
    readers, states = delivery.reason == READER_UNCERTAIN, set()
    for one in outbox.deliveries(conn, message=delivery.message):
        if one.state in outbox.OPEN and (one.kind in CONTENT_KINDS) is readers:
            account = _concerned(conn, one)
            if account is not None and account.id == delivery.account:
                states.add(one.state)
    if DeliveryState.UNCERTAIN in states:
        return None
    return reason(delivery.reason, outcome="deferred") if states else reason(KNOWN_BY_NOW)


def _owed(
    delivery: Delivery, account: Account, kind: str, code: str, now: datetime, due: datetime, new_id: str
) -> Delivery:
    return Delivery(
        id=new_id, dedupe_key=f"{delivery.message}:{kind}:{code}:{account.id}", kind=kind, mailbox=account.mailbox,
        account=account.id, folder=None, message=delivery.message, documents=(), reason=code,
        state=DeliveryState.QUEUED, created_at=now, due=due,
    )  # fmt: skip


def _concerned(conn: Connection, delivery: Delivery) -> Account | None:
    """Whom a mail that did not arrive matters to, and who may know of it."""
    message = None if delivery.message is None else messages.get(conn, delivery.message)
    if message is None or not message.mail_from:
        return None
    if delivery.kind in CONTENT_KINDS:
        return _depositor(conn, delivery)
    if delivery.kind in ANSWERS and delivery.reason != NEUTRAL and delivery.account is not None:
        return people.get_account(conn, delivery.account)
    return None


def _depositor(conn: Connection, delivery: Delivery) -> Account | None:
    """Who answers for the documents that the mail was about."""
    found = documents.some(conn, delivery.documents)
    if not found or all(oids.MASQUE_PS in one.confidentiality for one in found):
        return None
    return people.get_account(conn, found[0].depositor)
