"""Masks put on and lifted by a person of the network (masquage, démasquage): audited, and mails follow (JDV_J08)."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from dcc.gateway.services import Services
from dcc.mailbox import documents, outbox
from dcc.mailbox.records import AuditRecord, DeliveryState, Document, DocumentStatus
from dcc.mailbox.rows import new_id
from dcc.router import oids
from dcc.router.unmasked import plan_unmasked


class NotMasked(Exception):
    """Nothing was changed; the text is a sentence for the person."""


@dataclass(frozen=True, slots=True)
class Masked:
    """The document as it is now, and how many readers are sent it."""

    document: Document
    sent_to: int = 0


def mask(services: Services, document_id: str, codes: Collection[str], operator: str, now: datetime) -> Masked:
    """Hide a document from professionals, the patient, or legal representatives; mails that wait are checked against it.

    Raises NotMasked.
    """
    with services.database.begin() as conn:
        document = _current(documents.document(conn, document_id))
        more = sorted(set(codes) - set(document.confidentiality))
        if not more:
            raise NotMasked("ce document est déjà masqué ainsi")
        changed = replace(document, confidentiality=(*document.confidentiality, *more))
        documents.set_confidentiality(conn, document.id, changed.confidentiality)
        services.audit.append(conn, _record(document, "masked", more, operator, now))
    return Masked(changed)


def unmask(services: Services, document_id: str, codes: Collection[str], operator: str, now: datetime) -> Masked:
    """Lift masks: whoever may read the document, and has not been sent it, is sent it now. Raises NotMasked."""
    with services.database.begin() as conn:
        document = _current(documents.document(conn, document_id))
        lifted = sorted(set(codes) & set(document.confidentiality) & oids.MASK_CODES)
        if not lifted:
            raise NotMasked("ce document ne porte pas ce masque")
        left = tuple(one for one in document.confidentiality if one not in lifted)
        changed = replace(document, confidentiality=left)
        documents.set_confidentiality(conn, document.id, left)
        owed = []
        if oids.MASQUE_PS in lifted:
            owed = plan_unmasked(
                conn, changed, now=now, new_id=new_id, judge=services.judge_stored(lambda: now), rules=services.rules
            )  # fmt: skip
        outbox.enqueue_all(conn, owed)
        services.audit.append(
            conn, _record(document, "unmasked", lifted, operator, now),
            *(
                replace(
                    _record(document, "unmasked", lifted, operator, now), tag="gateway:delivery:withheld",
                    actor="gateway", decision="withheld", code=one.reason,
                    detail=json.dumps({"delivery": one.id, "account": one.account}),
                )
                for one in owed if one.state is DeliveryState.WITHHELD
            ),
        )  # fmt: skip
    services.wake_relay.set()
    return Masked(changed, sum(one.state is DeliveryState.QUEUED for one in owed))


def _current(document: Document | None) -> Document:
    if document is None:
        raise NotMasked("aucun document ne porte cet identifiant")
    if document.status is DocumentStatus.DELETED:
        raise NotMasked("ce document a été supprimé")
    return document


def _record(document: Document, action: str, codes: list[str], operator: str, now: datetime) -> AuditRecord:
    return AuditRecord(
        at=now, tag=f"operator:document:{action}", actor=f"operator:{operator}", message=document.message,
        folder=document.folder, document=document.id, decision="done", detail=json.dumps({"masks": codes}),
    )  # fmt: skip
