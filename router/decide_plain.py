"""Plain files: the folder they are for, the type they are of, or what is still missing, asked back (facts §11 D)."""

from __future__ import annotations

import re
from dataclasses import replace

from sqlalchemy import Connection

from dcc.mailbox import folders
from dcc.mailbox.records import Account, Folder
from dcc.mailbox.references import find_reference
from dcc.router.decision import Assignment, Held, Refused
from dcc.router.doctypes import document_type
from dcc.router.identity import QUALIFIED
from dcc.router.keywords import shown_keywords
from dcc.router.locate import Located, Named, account_for, answered, assigned_place
from dcc.router.plain import check_words, typed
from dcc.router.reasons import Reason, reason
from dcc.router.request import Deposit, PlainDeposit, Sender
from dcc.router.typerules import group_of

_LOOKS_LIKE_REFERENCE = re.compile(r"\bD-[0-9A-Z]{4}-[0-9A-Z]{4}\b", re.IGNORECASE)


def complete(
    plain: PlainDeposit,
    named: Named,
    sender: Sender,
    *,
    conn: Connection,
    environment: str,
    assigned: Assignment | None = None,
) -> tuple[Deposit, Located] | Held | Refused:
    """The deposit that the files are, and its place; or why they wait, with the folder that may be meant.

    The subject never identifies anybody (acceptance 44): it names a folder by its reference, or nothing.
    """
    place: Located | Held | Refused
    if assigned is not None:
        place = assigned_place(conn, assigned, None, sender, environment)
    else:
        place = _named_place(plain, answered(conn, named, plain.envelope.answers, sender), sender, conn)
    if not isinstance(place, Located):
        return place
    kind = _kind(plain, place, assigned)
    if isinstance(kind, Reason):
        return Held(kind, place.account, place.folder.id)
    if group_of(place.account.kind, place.account.profession) == "staff":
        # acceptance 22: staff is nobody's author, and a plain file names no other
        return Refused(reason("D2R-TYP04"), place.account, place.folder.id)
    deposit = typed(plain, kind, place.folder, place.patient, place.account)
    return deposit, replace(place, plain=True)


def _named_place(plain: PlainDeposit, named: Named, sender: Sender, conn: Connection) -> Located | Held | Refused:
    account = account_for(named, sender)
    if isinstance(account, Held | Refused):
        return account
    folder = named.folders[0] if named.folders else None
    candidate = None if folder is None else folder.id
    if plain.why is not None:
        return Held(plain.why, account, candidate)
    if folder is None:
        return Held(_unnamed(plain), account)
    return _agreeing(plain, folder, account, named, conn)


def _agreeing(plain: PlainDeposit, folder: Folder, account: Account, named: Named, conn: Connection) -> Located | Held:
    """Identity from the folder, which must be qualified; a matricule in the words must be the same (facts §7)."""
    local = folders.patient(conn, folder.patient)
    if local is None:
        raise LookupError("a folder without a patient")
    if local.status != QUALIFIED:
        return Held(reason("D2R-IDN01", status=local.status), account, folder.id)
    if named.misnamed is not None:  # decision 0014: here the folder named is the only identity there is
        return Held(reason("D2R-REF02" if named.misnamed == "unknown" else "D2R-REF03"), account, folder.id)
    if any(one != folder.reference for one in plain.references):
        # A subject that is not signed (RFC 9788) may have been changed on its way; the text, the notice it quotes too,
        # was not: two folders named are for a person
        return Held(reason("D2R-REF01"), account)
    why = check_words(plain, local)
    if why is not None:
        return Held(why, account, folder.id)
    return Located(folder, local, account, named.by)


def _unnamed(plain: PlainDeposit) -> Reason:
    """No folder is named, or a reference that is none: a mistyped one is told as such."""
    subject = plain.envelope.subject or ""
    if _LOOKS_LIKE_REFERENCE.search(subject):
        return reason("D2R-REF02" if find_reference(subject) is not None else "D2R-REF03")
    return reason("D2R-REQ02", detail=plain.files[0].media_type)


def _kind(plain: PlainDeposit, place: Located, assigned: Assignment | None) -> tuple[str, str] | Reason:
    """The type: the person's, else the keyword's; none or several are asked back with the words there are."""
    named = (assigned.kind,) if assigned is not None and assigned.kind is not None else plain.types
    if len(named) != 1:
        return reason(
            "D2R-REQ06" if named else "D2R-REQ05", keywords=shown_keywords(), reference=place.folder.reference
        )
    kind = named[0]
    if document_type(*kind) is None:
        return reason("D2R-REQ05", keywords=shown_keywords(), reference=place.folder.reference)
    return kind
