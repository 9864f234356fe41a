"""A deletion asked for by a document's author: marked deleted, its content no longer served, its trace kept."""

from __future__ import annotations

from sqlalchemy import Connection

from dcc.mailbox import documents as store
from dcc.mailbox import folders
from dcc.mailbox.records import Account, Document, DocumentStatus, Folder
from dcc.router.decision import Done, Held, Refused
from dcc.router.identity import check_domain, contradicting, identity_of
from dcc.router.locate import Named, account_for, networks_of
from dcc.router.reasons import reason
from dcc.router.request import Deletion, Sender
from dcc.router.rights import Allowed, check_account
from dcc.router.versions import may_change


def decide_deletion(
    request: Deletion, named: Named, sender: Sender, *, conn: Connection, environment: str
) -> Done | Held | Refused:
    """Done for the author (acceptance 35); 901 for somebody else; 900 for an id that is not held or not current.

    Consent and mandate give the right to share: neither is needed to take back what one has written. The same
    request again is done again, without effect.
    """
    account = account_for(named, sender)
    if isinstance(account, Held | Refused):
        return account
    allowed = check_account(account)
    if not isinstance(allowed, Allowed):
        return Refused(allowed, account)
    why = check_domain(request.patient, environment)
    if why is not None:
        return Refused(why, account) if why.outcome == "refused" else Held(why, account)
    local = folders.by_ins(conn, request.patient.ins or "", request.patient.oid or "")
    networks = networks_of(named, sender)
    own = [] if local is None else [one for one in folders.folders_of(conn, local.id) if one.network in networks]
    if local is None or not own:
        return Held(reason("902"), account)
    if named.folders and named.folders[0].id not in {one.id for one in own}:
        return Held(reason("904", detail="folder"), account)
    differing = contradicting(request.patient, identity_of(local))
    if differing:
        return Held(reason("904", detail=",".join(differing)), account, own[0].id)
    found = _meant(conn, own, request.targets)
    if found is None:
        return Refused(reason("900"), account, own[0].id)
    return _change(*found, account, sender)


def _meant(conn: Connection, own: list[Folder], targets: tuple[str, ...]) -> tuple[Folder, Document] | None:
    """The first id that is held, the most explicit first."""
    for one in targets:
        for folder in own:
            document = store.by_unique_id(conn, folder.id, one)
            if document is not None:
                return folder, document
    return None


def _change(folder: Folder, document: Document, account: Account, sender: Sender) -> Done | Refused:
    holder = sender.account_in(folder.network) or account
    if not may_change(document, holder, sender):
        return Refused(reason("901"), holder, folder.id)
    if document.status is DocumentStatus.SUPERSEDED:
        return Refused(reason("900"), holder, folder.id)
    return Done(
        reason("D2R-DEL00"), authenticated=True, deleted=document, account=holder,
        evidence=(("folder", "identity"), ("author", "depositor, author or structure")),
    )  # fmt: skip
