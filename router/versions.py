"""The same document again, another under its id, or a new version: déjà intégré, D2R-DUP01, RPLC (900, 901)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from dcc.mailbox import documents as store
from dcc.mailbox.records import Account, Document, DocumentStatus, Folder
from dcc.router import oids
from dcc.router.decision import PlannedDocument
from dcc.router.reasons import Reason, reason
from dcc.router.request import DepositedDocument, Sender


@dataclass(frozen=True, slots=True)
class Resolved:
    """The documents that are new, and those already there byte for byte."""

    new: tuple[PlannedDocument, ...]
    known: tuple[Document, ...]
    masked: tuple[Document, ...] = ()  # already there, with the masks that its author adds now
    masks_differ: bool = False  # already there, with masks that this deposit would lift: for a person


def resolve(
    conn: Connection, folder: Folder, deposited: tuple[DepositedDocument, ...], account: Account, sender: Sender
) -> Resolved | Reason:
    """Compare with what the folder holds. One refused document refuses the deposit: nothing is half filed."""
    new: list[PlannedDocument] = []
    known: list[Document] = []
    for one in deposited:
        existing = store.by_unique_id(conn, folder.id, one.unique_id)
        if existing is not None:
            if existing.digest != one.digest:
                return reason("D2R-DUP01")
            if existing.status is DocumentStatus.DELETED:
                return reason("D2R-DEL02")
            known.append(existing)
            continue
        if one.replaces is None:
            new.append(PlannedDocument(one))
            continue
        replaced = store.by_unique_id(conn, folder.id, one.replaces)
        why = check_replacement(one, replaced, account, sender)
        if why is not None:
            return why
        new.append(PlannedDocument(one, supersedes=replaced))
    asked = {one.unique_id: _masks(one.confidentiality) for one in deposited}
    masked = [
        replace(one, confidentiality=(*one.confidentiality, *sorted(more)))
        for one in known
        if (more := asked[one.unique_id] - _masks(one.confidentiality))
    ]
    lifted = any(_masks(one.confidentiality) - asked[one.unique_id] for one in known)
    if not all(may_change(one, account, sender) for one in masked):
        return reason("901")
    return Resolved(tuple(new), tuple(known), tuple(masked), lifted)


def _masks(codes: tuple[str, ...]) -> frozenset[str]:
    """JDV_J08: the marks that hide a document from somebody; hiding more is obeyed, showing again is for a person."""
    return oids.MASK_CODES & set(codes)


def check_replacement(new: DepositedDocument, old: Document | None, account: Account, sender: Sender) -> Reason | None:
    """900: the replaced id is unknown here or not current. 901: not the original author nor their structure."""
    if old is None or old.status is not DocumentStatus.CURRENT:
        return reason("900")
    if new.version is not None and old.version is not None and new.version <= old.version:
        return reason("900")
    claimed = {one.structure for one in new.authors if one.structure}
    same_author = (
        old.author_structure in claimed
        if old.author_structure is not None
        else old.author_id in {one.id for one in new.authors}
    )
    # What the document claims is not enough: the signer answers for it too
    return None if same_author and may_change(old, account, sender) else reason("901")


def may_change(old: Document, account: Account, sender: Sender) -> bool:
    """Whether this signer is the document's depositor, its author, or of the author's structure (ANS 901)."""
    structures = {sender.structure, account.structure}
    if account.kind == "organisation":
        structures.add(account.national_id)
    return (
        account.id == old.depositor
        or account.national_id == old.author_id
        or (old.author_structure is not None and old.author_structure in structures)
    )
