"""A mail that is lost, or may be, is told: to its depositor by mail, to the operator by audit, log and metric (I2).

The operator's way is not mail, which may be what does not work (facts: mail §9).
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Literal

import structlog
from sqlalchemy import Connection

from dcc.gateway.services import Services
from dcc.mailbox import outbox, uncertain
from dcc.mailbox.records import AuditRecord, Delivery
from dcc.mailbox.rows import new_id
from dcc.router.undelivered import plan_uncertain, plan_undelivered

# Too long tried; refused by the next host; given back by a later one; waiting too long for a card that nobody can judge
Why = Literal["expired", "rejected", "bounced", "waiting"]
log = structlog.get_logger("dcc.undelivered")


def tell(services: Services, conn: Connection, delivery: Delivery, why: Why, now: datetime) -> None:
    """Write, in the transaction that records the loss, who is told of it; counted for every lost mail.

    One that only waits is told of, and counted, once.
    """
    owed = plan_undelivered(conn, delivery, now=now, new_id=new_id)
    new = owed is not None and outbox.enqueue(conn, owed)
    if why == "waiting" and not new:
        return
    services.audit.append(
        conn,
        AuditRecord(
            at=now, tag="gateway:delivery:undelivered", actor="gateway", certificate=None, message=delivery.message,
            mail_message_id=delivery.message_id, folder=delivery.folder, document=",".join(delivery.documents) or None,
            decision=why, code=None if owed is None else owed.reason,
            detail=json.dumps(
                {"delivery": delivery.id, "account": delivery.account, "kind": delivery.kind, "told": new}
            ),
        ),
    )  # fmt: skip
    log.error("undelivered", delivery=delivery.id, kind=delivery.kind, why=why, told=new)
    services.count_lost(why)


def tell_uncertain(services: Services, conn: Connection, delivery: Delivery, now: datetime) -> None:
    """Write, with the state `uncertain`, who will be told of it, unless a report or a person says in time what became of
    it. The state has its audit record and its metric already.
    """
    due = now + timedelta(seconds=services.settings.relay.uncertain_seconds)
    owed = plan_uncertain(conn, delivery, now=now, due=due, new_id=new_id)
    new = owed is not None and uncertain.owe(conn, owed)
    log.warning("uncertain", delivery=delivery.id, kind=delivery.kind, told=new)
