"""From a decision to what is written: the document rows with their parts, each file kept once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from dcc.mailbox.records import BlobRef, Document, DocumentStatus, Part
from dcc.router.decision import Filed, PlannedDocument
from dcc.router.request import Attachment


def documents_of(
    filed: Filed,
    *,
    message_id: str,
    now: datetime,
    new_id: Callable[[], str],
    put: Callable[[Attachment], BlobRef],
) -> tuple[Document, ...]:
    """The new documents of a deposit as rows; `put` keeps one file and is called once for each.

    The parts of each document are every decoded attachment as received and every file of the archive,
    the document's own CDA first (contract.md, Messages and folders). Nothing new: nothing is kept.
    """
    if not filed.new:
        return ()
    kept = {id(one): _part(one, put) for one in filed.deposit.attachments}
    parts = tuple(kept.values())
    return tuple(
        _document(filed, planned, kept[id(planned.deposited.source)], parts, new_id(), message_id, now)
        for planned in filed.new
    )


def _part(attachment: Attachment, put: Callable[[Attachment], BlobRef]) -> Part:
    return Part(
        name=attachment.name,
        media_type=attachment.media_type,
        size=attachment.size,
        sha256=attachment.sha256,
        blob=put(attachment),
        role=attachment.role,
    )


def _document(
    filed: Filed,
    planned: PlannedDocument,
    own: Part,
    parts: tuple[Part, ...],
    document_id: str,
    message_id: str,
    now: datetime,
) -> Document:
    one = planned.deposited
    author = one.author
    name = " ".join(filter(None, (author.given_name, author.family_name))) if author else ""
    return Document(
        id=document_id,
        folder=filed.folder.id,
        unique_id=one.unique_id,
        set_id=one.set_id,
        version=one.version,
        type_code=one.type_code,
        type_system=one.type_system,
        class_code=one.class_code,
        format_code=one.format_code,
        title=one.title,
        author_id=author.id if author else None,
        author_name=name or None,
        author_structure=author.structure if author else None,
        depositor=filed.depositor.id,
        confidentiality=one.confidentiality,
        status=DocumentStatus.CURRENT,
        supersedes=planned.supersedes.id if planned.supersedes else None,
        message=message_id,
        digest=one.digest,
        received_at=now,
        parts=(own, *(part for part in parts if part is not own)),
    )
