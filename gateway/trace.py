"""What happened to a patient's folders, for the patient: who put, received and changed what, and why (I7).

From the audit trail, with the names of the people in it: the patient is entitled to them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from dcc.mailbox import documents as store
from dcc.mailbox import folders, outbox, people
from dcc.mailbox.records import Account, Document, Folder
from dcc.mailbox.schema import audit
from dcc.router.reasons import reason

# What an audit tag means, for a patient: the tag without its source
SENTENCES: Mapping[str, str] = {
    "message:filed": "a déposé",
    "message:refused": "a envoyé un message, refusé",
    "message:held": "a envoyé un message, mis en attente d'une personne",
    "delivery:sent": "a reçu",
    "delivery:delivered": "a reçu",
    "delivery:read": "a lu",
    "delivery:withheld": "n'a pas reçu",
    "delivery:failed": "n'a pas pu recevoir",
    "delivery:undelivered": "n'a finalement pas pu recevoir, le réseau en est prévenu",
    "delivery:uncertain": "a peut-être reçu",
    "document:read": "a consulté",
    "document:deleted": "a supprimé",
    "document:masked": "a masqué",
    "document:unmasked": "a démasqué",
    "folder:opened": "a ouvert le dossier",
    "folder:closed": "a clos le dossier",
    "consent:given": "a enregistré le consentement",
    "consent:withdrawn": "a enregistré le retrait du consentement",
    "mandate:granted": "a donné un mandat à",
    "mandate:revoked": "a mis fin à un mandat",
    "opposition:added": "a enregistré une opposition",
    "opposition:removed": "a levé une opposition",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the trace; `who` and `what` are texts for the patient."""

    at: datetime
    folder: str  # its reference
    network: str
    who: str
    did: str
    what: str
    why: str | None
    tag: str


def events(conn: Connection, of: Sequence[Folder]) -> list[Event]:
    """Every event of these folders, oldest first."""
    found: list[Event] = []
    for folder in of:
        network = people.get_network(conn, folder.network)
        documents = {one.id: one for one in store.documents(conn, folder.id)}
        mails = {one.id: one for one in outbox.deliveries(conn, folder=folder.id)}
        query = select(audit).where(audit.c.folder == folder.id).order_by(audit.c.sequence)
        for row in conn.execute(query):
            detail = json.loads(row.detail)
            mail = mails.get(str(detail.get("delivery")))
            account = detail.get("account") if row.tag.split(":")[1] in {"delivery", "mandate"} else None
            found.append(
                Event(
                    at=row.at, folder=folder.reference, network=folder.network if network is None else network.name,
                    who=_who(conn, account if row.tag.startswith("gateway:delivery") else row.actor),
                    did=SENTENCES.get(row.tag.partition(":")[2], row.tag),
                    what=_what(conn, row.document, documents, None if mail is None else mail.kind, account, row.tag),
                    why=None if row.code is None else _sentence(row.code), tag=row.tag,
                )
            )  # fmt: skip
    return sorted(found, key=lambda one: one.at)


def view(found: Sequence[Event]) -> list[dict[str, Any]]:
    """The events as JSON-ready values."""
    return [{name: getattr(one, name) for name in Event.__slots__} for one in found]


def patients_folders(conn: Connection, name: str | None, ins: str | None, oid: str | None) -> list[Folder]:
    """The folders of the patient of one folder, or of one INS; empty when there is none."""
    if name is not None:
        folder = folders.folder(conn, name)
        return [] if folder is None else folders.folders_of(conn, folder.patient)
    patient = folders.by_ins(conn, ins or "", oid or "")
    return [] if patient is None else folders.folders_of(conn, patient.id)


def _who(conn: Connection, actor: str | None) -> str:
    if actor is None or actor == "gateway":
        return "la passerelle"
    if actor.startswith("operator:"):
        return actor.removeprefix("operator:")
    account = people.get_account(conn, actor)
    return actor if account is None else _name(account)


def _name(account: Account) -> str:
    name = " ".join(filter(None, (account.given_name, account.family_name)))
    return f"{name} ({account.mailbox})" if name else account.mailbox


def _what(
    conn: Connection,
    named: str | None,
    documents: Mapping[str, Document],
    kind: str | None,
    account: str | None,
    tag: str,
) -> str:
    titles = [documents[one].title for one in (named or "").split(",") if one in documents]
    if kind is not None and kind != "report":
        return {"notice": "un avis sans contenu"}.get(kind, "une réponse à son envoi")
    if tag.endswith("mandate:granted") and account:
        return _who(conn, account)
    return ", ".join(titles)


def _sentence(code: str) -> str:
    try:
        return f"{code} : {reason(code).operator}"
    except KeyError:
        return code
