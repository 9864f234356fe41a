"""Which folder a deposit is for: the one named by address or reference, and the identity, must agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from dcc.mailbox import folders, outbox, people
from dcc.mailbox.changes import FolderOpened
from dcc.mailbox.records import Account, Folder, Patient
from dcc.mailbox.references import find_references, has_mistyped
from dcc.router.decision import Assignment, Held, Refused
from dcc.router.identity import check_form, check_match
from dcc.router.reasons import reason
from dcc.router.request import PatientIdentity, Sender

REFERENCES_LIMIT = 10  # looked up in one subject; two folders are enough for a person to be asked


@dataclass(frozen=True, slots=True)
class Named:
    """What the mail itself names: folders, by address or reference, and networks, by their address."""

    folders: tuple[Folder, ...]
    networks: tuple[str, ...]
    by: str  # "address" | "reference" | "answer" | "identity"
    misnamed: str | None = None  # a reference in the subject names no folder: "unknown", or "mistyped"


@dataclass(frozen=True, slots=True)
class Located:
    """The folder, the patient, and the sender's account in the folder's network."""

    folder: Folder
    patient: Patient
    account: Account
    by: str
    plain: bool = False  # nothing in the deposit names the patient: the folder alone does
    opening: FolderOpened | None = None  # the folder is opened with this deposit


def what_is_named(conn: Connection, recipients: Sequence[str], subject: str | None) -> Named:
    """The folders and networks that envelope recipients and the subject's reference name.

    A reference or an address is a hint, never an identity nor a right (facts/clinical.md §7).
    """
    found: dict[str, Folder] = {}
    networks: list[str] = []
    by, misnamed = "identity", "mistyped" if has_mistyped(subject or "") else None
    for address in recipients:
        folder = folders.folder(conn, address) if "@" in address else None
        if folder is not None:
            found[folder.id] = folder
            by = "address"
            continue
        network = people.network_by_address(conn, address)
        if network is not None:
            networks.append(network.id)
    for reference in find_references(subject or "")[:REFERENCES_LIMIT]:
        folder = folders.folder(conn, reference)
        if folder is not None:
            found[folder.id] = folder
            by = by if by == "address" else "reference"
        else:
            misnamed = "unknown"
    return Named(tuple(found.values()), tuple(networks), by, misnamed)


def answered(conn: Connection, named: Named, answers: Sequence[str], sender: Sender) -> Named:
    """The folder of our own mail that this one answers, when it names no folder otherwise.

    A report's subject is fixed by ECO.2.1.3 and cannot carry the reference: the Message-ID that our reader's client
    gives back (RFC 5322 §3.6.4) says the same. It counts only from the mailbox that we wrote to.
    """
    if named.folders:
        return named
    mailboxes = {one.mailbox for one in sender.accounts}
    for one in answers:
        sent = outbox.by_message_id(conn, one)
        if sent is None or sent.folder is None or sent.mailbox not in mailboxes:
            continue
        folder = folders.folder(conn, sent.folder)
        if folder is not None:
            return Named((folder,), named.networks, "answer", named.misnamed)
    return named


def account_for(named: Named, sender: Sender) -> Account | Refused | Held:
    """The sender's validated account where the deposit is meant to go (D2R-ACC01 elsewhere)."""
    if len(named.folders) > 1:
        return Held(reason("D2R-REF01"), sender.account)
    if named.folders:
        account = sender.account_in(named.folders[0].network)
    elif named.networks:
        account = next(filter(None, (sender.account_in(one) for one in named.networks)), None)
    else:
        account = sender.account
    return account or Refused(reason("D2R-ACC01"), sender.account)


def locate(
    conn: Connection, patient: PatientIdentity, named: Named, sender: Sender, account: Account, environment: str
) -> Located | Held | Refused:
    """The folder of this identity within the sender's networks, in agreement with what the mail names.

    Held 903, 905, 902 or 904 (with the candidate folder); refused 904 for another domain or a wrong key.
    """
    why = check_form(patient, environment)
    candidate = named.folders[0].id if named.folders else None
    if why is not None:
        if why.outcome == "refused":
            return Refused(why, account)
        return Held(why, account, candidate)
    local = folders.by_ins(conn, patient.ins or "", patient.oid or "")
    if local is None:
        return Held(reason("902"), account, candidate)
    if named.folders and named.folders[0].patient == local.id:
        own = [named.folders[0]]
    else:
        networks = networks_of(named, sender)
        own = [one for one in folders.folders_of(conn, local.id) if one.network in networks]
        if not own:
            return Held(reason("902"), account, candidate)
        if named.folders:  # contract.md: the folder named and the identity must agree; neither folder is touched
            return Held(reason("904", detail="folder"), account, candidate)
    if len(own) > 1:
        return Held(reason("D2R-REF01"), account)
    why = check_match(patient, local)
    if why is not None:
        return Held(why, account, own[0].id)
    holder = sender.account_in(own[0].network)
    if holder is None:
        return Refused(reason("D2R-ACC01"), account)
    return Located(own[0], local, holder, named.by)


def assigned_place(
    conn: Connection, assignment: Assignment, patient: PatientIdentity | None, sender: Sender, environment: str
) -> Located | Refused:
    """The folder that a person chose: the person answers for the identity, the domains stay apart (904)."""
    folder = folders.folder(conn, assignment.folder)
    local = None if folder is None else folders.patient(conn, folder.patient)
    if folder is None or local is None:
        return Refused(reason("D2R-REF02"), sender.account)
    if patient is not None and patient.ins is not None:
        why = check_form(patient, environment)
        if why is not None and why.outcome == "refused":
            return Refused(why, sender.account, folder.id)
    account = sender.account_in(folder.network)
    if account is None:
        return Refused(reason("D2R-ACC01"), sender.account)
    return Located(folder, local, account, f"person {assignment.by}")


def networks_of(named: Named, sender: Sender) -> frozenset[str]:
    """The networks in which the identity may be looked for: named ones, else all of the sender's."""
    mine = {one.network for one in sender.accounts}
    if named.folders:
        return frozenset({named.folders[0].network} & mine)
    return frozenset(set(named.networks) & mine) if named.networks else frozenset(mine)
