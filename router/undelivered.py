"""Who is told that one of our mails could finally not be delivered; never about such a mail itself (R-LOOP)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from dcc.mailbox import documents, messages, people
from dcc.mailbox.records import Account, Delivery, DeliveryState
from dcc.router.answer import ANSWERS, NEUTRAL
from dcc.router.distribute import CONTENT_KINDS

KIND = "undelivered"
READER_MISSED = "D2R-DLV01"
ANSWER_MISSED = "D2R-DLV02"


def plan_undelivered(
    conn: Connection, delivery: Delivery, *, now: datetime, new_id: Callable[[], str]
) -> Delivery | None:
    """The mail owed to the depositor because this one is lost; None: nobody is told by mail.

    Who was to receive it is not said: the network's support knows (I3). One mail for each deposit, whatever the number
    of its readers that were missed. Whoever wrote with the null sender, or was answered as a stranger, is told nothing
    (RFC 5321 §4.5.5, I5); neither is anything told of a mail that no deposit nor request caused.
    """
    if delivery.message is None:
        return None
    message = messages.get(conn, delivery.message)
    if message is None or not message.mail_from:
        return None
    if delivery.kind in CONTENT_KINDS:
        code, account = READER_MISSED, _depositor(conn, delivery)
    elif delivery.kind in ANSWERS and delivery.reason != NEUTRAL and delivery.account is not None:
        code, account = ANSWER_MISSED, people.get_account(conn, delivery.account)
    else:
        return None
    if account is None:
        return None
    return Delivery(
        id=new_id(), dedupe_key=f"{delivery.message}:{KIND}:{code}:{account.id}", kind=KIND, mailbox=account.mailbox,
        account=account.id, folder=None, message=delivery.message, documents=(), reason=code,
        state=DeliveryState.QUEUED, created_at=now, due=now,
    )  # fmt: skip


def _depositor(conn: Connection, delivery: Delivery) -> Account | None:
    """Who answers for the documents that the mail was about."""
    for one in delivery.documents[:1]:
        document = documents.document(conn, one)
        if document is not None:
            return people.get_account(conn, document.depositor)
    return None
