"""From the router's decision to how a message ends: rows, files and mails, ready to be written together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from dcc.gateway.progress import Ended, Progress
from dcc.gateway.services import Services
from dcc.mailbox.records import Account, Delivery, DeliveryState, Document, DocumentStatus, MessageState
from dcc.mailbox.rows import new_id
from dcc.mailbox.snapshot import Snapshot
from dcc.router.answer import plan_answer
from dcc.router.carried import Carried, OwedMail
from dcc.router.changed import DELETED, REPLACED, plan_changed
from dcc.router.decision import Decision, Deferred, Done, Filed, Held, Refused
from dcc.router.distribute import plan_deliveries, still_allowed
from dcc.router.filing import documents_of
from dcc.router.reasons import Reason


def ended_of(services: Services, progress: Progress, decision: Decision | Carried, conn: Connection) -> Ended:
    """The end that a decision means. Files of documents are durable before this returns; rows are not written yet."""
    match decision:
        case Filed():
            return _filed(services, progress, decision, conn)
        case Carried():
            return _carried(progress, decision)
        case Done():
            receipt = None
            if decision.delivery is not None and decision.receipt is not None:
                receipt = (decision.delivery, DeliveryState(decision.receipt))
            if decision.deleted is not None:
                return _deleted(services, progress, decision, decision.deleted, conn)
            return Ended(MessageState.DONE, decision.reason, receipt=receipt)
        case Held():
            progress.evidence["decision"] = dict(decision.evidence)
            return Ended(
                MessageState.HELD, decision.reason, folder=decision.candidate,
                deliveries=_answer(progress, decision.reason, decision.account, decision.candidate),
            )  # fmt: skip
        case Refused():
            progress.evidence["decision"] = dict(decision.evidence)
            return Ended(
                MessageState.REFUSED, decision.reason, folder=decision.folder,
                deliveries=_answer(progress, decision.reason, decision.account, decision.folder),
            )  # fmt: skip
        case Deferred():
            return Ended(
                MessageState.HELD, decision.reason, retry_at=max(decision.until, progress.at + timedelta(seconds=1)),
                deliveries=_answer(progress, decision.reason, decision.account, None),
            )  # fmt: skip


def _filed(services: Services, progress: Progress, filed: Filed, conn: Connection) -> Ended:
    message = progress.message
    progress.evidence["decision"] = dict(filed.evidence)
    with services.blobs.together() as kept:  # the disk works while the mails are planned
        documents = documents_of(
            filed, message_id=message.id, now=progress.at, new_id=new_id,
            put=lambda attachment: kept.put(attachment.chunks()),
        )  # fmt: skip
        kept.last()
        deliveries = plan_deliveries(
            filed, documents, conn=conn, message_id=message.id, now=progress.at, new_id=new_id,
            judge=services.judge_stored(lambda: progress.at),
        )  # fmt: skip
        old = [one.supersedes for one in filed.new if one.supersedes is not None]
        reached = [one.account for one in deliveries if one.account is not None and one.state is DeliveryState.QUEUED]
        deliveries += _changed(services, progress, conn, old, REPLACED, reached)
    return Ended(
        MessageState.FILED, filed.reason, folder=filed.folder.id,
        documents=tuple(one.id for one in (*filed.known, *documents)), new_documents=documents, masked=filed.masked,
        deliveries=tuple(deliveries), changes=() if filed.opening is None else (filed.opening,),
    )  # fmt: skip


def _carried(progress: Progress, carried: Carried) -> Ended:
    """A request of a person: its changes, and the mails that are owed because of them."""
    progress.evidence["decision"] = dict(carried.evidence)
    told = () if carried.account is None else (OwedMail("carried", carried.account, (), carried.folder),)
    deliveries = [_owed(progress, carried, mail) for mail in (*carried.mails, *told)]
    return Ended(
        MessageState.DONE, carried.reason, folder=carried.folder, deliveries=tuple(deliveries), changes=carried.changes
    )


def _owed(progress: Progress, carried: Carried, mail: OwedMail) -> Delivery:
    parameters = dict(carried.reason.parameters) | dict(mail.parameters)
    return Delivery(
        id=new_id(), dedupe_key=f"{progress.message.id}:{mail.kind}:{mail.account.id}", kind=mail.kind,
        mailbox=mail.account.mailbox, account=mail.account.id, folder=mail.folder, message=progress.message.id,
        documents=(), reason=carried.reason.code, state=DeliveryState.QUEUED, created_at=progress.at, due=progress.at,
        parameters=tuple(sorted(parameters.items())),
    )  # fmt: skip


def _deleted(services: Services, progress: Progress, done: Done, document: Document, conn: Connection) -> Ended:
    """The document is marked with the end of the message; a second request finds it marked already."""
    progress.evidence["decision"] = dict(done.evidence)
    current = document.status is DocumentStatus.CURRENT
    asked = () if done.account is None else (done.account.id,)
    told = _changed(services, progress, conn, [document] if current else [], DELETED, asked)
    return Ended(
        MessageState.DONE, done.reason, folder=document.folder, documents=(document.id,),
        deleted=document.id if current else None,
        deliveries=(*_answer(progress, done.reason, done.account, document.folder, (document.id,)), *told),
    )  # fmt: skip


def _changed(
    services: Services, progress: Progress, conn: Connection, old: Sequence[Document], code: str, told: Sequence[str]
) -> list[Delivery]:
    """The mails to readers of documents that are not current any more, whose right still stands (I4)."""
    judge, store = services.judge_stored(lambda: progress.at), Snapshot(conn)

    def allowed(mail: Delivery) -> bool:
        why = still_allowed(mail, store=store, now=progress.at, judge=judge, rules=services.rules)
        return why is None or why.outcome != "withheld"

    return plan_changed(
        conn, old, code, told=told, message_id=progress.message.id, now=progress.at, new_id=new_id, allowed=allowed
    )  # fmt: skip


def _answer(
    progress: Progress, why: Reason, account: Account | None, folder: str | None, documents: tuple[str, ...] = ()
) -> tuple[Delivery, ...]:
    envelope = getattr(progress.request, "envelope", None)
    return tuple(
        plan_answer(
            why, account=account, authenticated=True, message_id=progress.message.id, now=progress.at, new_id=new_id,
            folder=folder, envelope=envelope, documents=documents,
        )
    )  # fmt: skip
