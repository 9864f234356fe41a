"""The one transaction that ends a message: documents, outgoing mails, audit record and state, all or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from dcc.gateway.administering import Actor, records
from dcc.gateway.checkpoint import checkpoint
from dcc.gateway.progress import Ended, Progress
from dcc.gateway.services import Services
from dcc.gateway.undelivered import tell
from dcc.mailbox import documents, messages, outbox
from dcc.mailbox.changes import Change
from dcc.mailbox.changewriting import ChangeLost, apply
from dcc.mailbox.records import AuditRecord, Delivery, DeliveryState, DocumentStatus, MessageState, StageTiming
from dcc.router.answer import ANSWERS
from dcc.router.reports import is_reply


class LostRaceError(Exception):
    """Another worker was first; its work stands, ours is dropped and done again if it must."""


def settle(services: Services, progress: Progress, ended: Ended, now: datetime) -> MessageState:
    """Write the end. Raises LostRaceError when the message, or a document to replace, changed meanwhile."""
    message = progress.message
    begun = time.perf_counter()
    if progress.clear and "original" not in progress.evidence:
        progress.evidence["original"] = services.protect_original(message)
    with services.database.begin() as conn:
        spent = (time.perf_counter() - begun) * 1000
        progress.stages.append(StageTiming("settled", now, round(spent, 3)))
        moved = messages.settle(
            conn, message.id, expected=progress.state, end=ended.state, now=now, stages=progress.stages,
            reason_code=ended.code, reason_parameters=() if ended.reason is None else ended.reason.parameters,
            documents=ended.documents, folder=ended.folder, signer=progress.signer_account_id,
            signer_certificate=progress.signer_sha256, evidence=json.dumps(progress.evidence, ensure_ascii=False),
            due=ended.retry_at or now,
        )  # fmt: skip
        if not moved:
            raise LostRaceError("the message has another state")
        changes = (*progress.changes, *ended.changes)
        _write_changes(conn, changes, now)  # first: a document may lie in a folder that is opened with it
        _write_documents(conn, ended)
        outbox.enqueue_all(conn, _owed(progress, ended))
        if ended.receipt is not None:
            _write_receipt(services, conn, *ended.receipt, now)
        if progress.replay_key is not None:
            messages.record_replay(conn, progress.replay_key, message.id)
        services.audit.append(conn, *_records(progress, ended, now), *records(changes, _actor(progress), now))
        checkpoint("before-settled")
    if progress.clear:
        services.spool.remove(message.id)  # its bytes lie under a key now (I3)
    return ended.state


def _owed(progress: Progress, ended: Ended) -> Sequence[Delivery]:
    """The mails owed; the null sender and a program that answers us get no answer (RFC 5321 §4.5.5, R-LOOP)."""
    replied = progress.opened is not None and is_reply(progress.opened.outer)
    if progress.message.mail_from and not replied:
        return ended.deliveries
    return [one for one in ended.deliveries if one.kind not in ANSWERS]


def _write_receipt(services: Services, conn: Connection, delivery_id: str, state: DeliveryState, now: datetime) -> None:
    """What a report says of one of our mails; one that was given back is lost, and told of."""
    if not outbox.mark_receipt(conn, delivery_id, state) or state is not DeliveryState.FAILED:
        return
    lost = outbox.get(conn, delivery_id)
    if lost is not None:
        tell(services, conn, lost, "bounced", now)


def _write_documents(conn: Connection, ended: Ended) -> None:
    for document in ended.new_documents:
        documents.add_document(conn, document)
        if document.supersedes is not None and not documents.mark(conn, document.supersedes, DocumentStatus.SUPERSEDED):
            raise LostRaceError("the document to replace is not current any more")
    for document in ended.masked:
        documents.set_confidentiality(conn, document.id, document.confidentiality)
    if ended.deleted is not None and not documents.mark(conn, ended.deleted, DocumentStatus.DELETED):
        raise LostRaceError("the document to delete is not current any more")


def _write_changes(conn: Connection, changes: Sequence[Change], now: datetime) -> None:
    """What was asked for; decided again where somebody else was first."""
    try:
        for change in changes:
            apply(conn, change, now)
    except ChangeLost as lost:
        raise LostRaceError("what a change rested on is not so any more") from lost


def _actor(progress: Progress) -> Actor:
    """The signer, as the actor of what was asked for."""
    name = progress.signer_account_id or "stranger"
    return Actor(name, "mail", progress.signer_sha256, progress.message.id, progress.mail_message_id)


def _records(progress: Progress, ended: Ended, now: datetime) -> list[AuditRecord]:
    """One record for the message, one for each mail withheld: who, with which certificate, what, why (I2, I7)."""
    message = progress.message
    detail = {"stages": len(progress.stages), "sha256": message.sha256}
    common = {
        "at": now, "actor": progress.signer_account_id, "certificate": progress.signer_sha256, "message": message.id,
        "mail_message_id": progress.mail_message_id, "folder": ended.folder,
    }  # fmt: skip
    records = [
        AuditRecord(
            **common, tag=f"gateway:message:{ended.state.value}",  # type: ignore[arg-type]
            document=",".join(ended.documents) or None, decision=ended.state.value, code=ended.code,
            detail=json.dumps(detail),
        )
    ]  # fmt: skip
    for one in ended.deliveries:
        if one.state is DeliveryState.WITHHELD:
            told = json.dumps({"delivery": one.id, "account": one.account})
            records.append(
                AuditRecord(
                    **common, tag="gateway:delivery:withheld", document=",".join(one.documents) or None,  # type: ignore[arg-type]
                    decision="withheld", code=one.reason, detail=told,
                )
            )  # fmt: skip
    return records
