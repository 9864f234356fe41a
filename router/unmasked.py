"""A mask that is lifted: who is sent the document now, because the mask had kept it from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from dcc.mailbox import folders, outbox
from dcc.mailbox.records import Delivery, DeliveryState, Document
from dcc.mailbox.snapshot import Snapshot
from dcc.router.distribute import reader_mails
from dcc.router.networkrules import NetworkRules
from dcc.router.readercard import CardJudge

KEPT_BACK = frozenset({DeliveryState.WITHHELD, DeliveryState.FAILED})


def plan_unmasked(
    conn: Connection,
    document: Document,
    *,
    now: datetime,
    new_id: Callable[[], str],
    judge: CardJudge,
    rules: NetworkRules,
) -> list[Delivery]:
    """The mails owed for a document as it is now, without its mask; once each, however often a mask is put on again.

    Whoever brought it, or was sent it before it was masked, has it already.
    """
    folder = folders.folder(conn, document.folder)
    if folder is None or folder.closed_at is not None:
        return []
    have = {document.depositor}
    for one in outbox.deliveries(conn, folder=folder.id):
        reached = one.kind in {"report", "notice"} and one.state not in KEPT_BACK
        if reached and one.account is not None and document.id in one.documents:
            have.add(one.account)
    mails = reader_mails(
        [document], folder, conn=conn, message_id=document.message, now=now, new_id=new_id, judge=judge,
        rules=rules.of(Snapshot(conn), folder.network), but=have,
    )  # fmt: skip
    return [replace(one, dedupe_key=f"{document.id}:unmasked:{one.account}") for one in mails]
