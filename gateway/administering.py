"""What a named operator decides from the command line: the same changes as by mail, each with its audit record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from dcc.gateway.services import Services
from dcc.mailbox import folders, outbox, people
from dcc.mailbox.changerecords import about, action_of
from dcc.mailbox.changes import Change
from dcc.mailbox.changewriting import ChangeLost, apply
from dcc.mailbox.records import Account, AccountState, AuditRecord, Delivery, DeliveryState, Folder
from dcc.mailbox.rows import new_id
from dcc.router.carried import Secrets, seal_text


class NotPossible(Exception):
    """The change cannot be made; the text is for the person."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who decides: an operator by name, or an account by a signed mail."""

    name: str  # "operator:A. Martin", or an account's id
    source: str = "operator"  # the first word of the audit tag
    certificate: str | None = None  # SHA-256 of the signer's certificate
    message: str | None = None
    mail_message_id: str | None = None


def operator(name: str) -> Actor:
    """A person at the command line."""
    return Actor(f"operator:{name}")


def carry_out(
    services: Services, changes: Sequence[Change], actor: Actor, now: datetime, mails: Sequence[Delivery] = ()
) -> None:
    """Write several changes, their audit records and the mails owed because of them: all or nothing. Raises NotPossible."""
    try:
        with services.database.begin() as conn:
            for change in changes:
                apply(conn, change, now)
            outbox.enqueue_all(conn, mails)
            services.audit.append(conn, *records(changes, actor, now))
    except ChangeLost:
        raise NotPossible(
            "ce n'est plus dans cet état : quelqu'un d'autre a été plus rapide, ou c'est déjà fait"
        ) from None
    except IntegrityError:
        raise NotPossible("cela existe déjà") from None
    services.wake_relay.set()


def records(changes: Sequence[Change], actor: Actor, now: datetime) -> list[AuditRecord]:
    """One audit record for each change: who, what, on which folder; never an identity."""
    found = []
    for change in changes:
        folder, ids = about(change)
        found.append(
            AuditRecord(
                at=now, tag=f"{actor.source}:{action_of(change)}", actor=actor.name, certificate=actor.certificate,
                message=actor.message, mail_message_id=actor.mail_message_id, folder=folder, document=None,
                decision="done", code=None, detail=json.dumps({name: value for name, value in ids.items() if value}),
            )
        )  # fmt: skip
    return found


def told_of_decision(account: Account, state: AccountState, motive: str, services: Services, now: datetime) -> Delivery:
    """The mail that tells a person what was decided on the account (mission S12); the motive under a seal only."""
    secrets = Secrets(services.random_bytes, services.seal_secret, services.unseal_secret)
    told = [("state", state.value), *([("motive", seal_text(secrets, motive))] if motive else [])]
    made = new_id(services.random_bytes)
    return Delivery(
        id=made, dedupe_key=f"decided:{account.id}:{made}", kind="account_decided", mailbox=account.mailbox,
        account=account.id, folder=None, message=None, documents=(), reason="D2R-ASK03", state=DeliveryState.QUEUED,
        created_at=now, due=now, parameters=tuple(sorted(told)),
    )  # fmt: skip


def folder_named(conn: Connection, name: str) -> Folder:
    """One folder by its id, reference or address. Raises NotPossible."""
    found = folders.folder(conn, name)
    if found is None:
        raise NotPossible("aucun dossier ne porte cet identifiant, cette référence ou cette adresse")
    return found


def account_named(conn: Connection, name: str, network: str | None = None) -> Account:
    """One account by its id or its mailbox, in one network where it is given. Raises NotPossible."""
    named = people.get_account(conn, name)
    found = [named] if named else people.by_mailbox(conn, network, name)
    found = [one for one in found if network is None or one.network == network]
    if not found:
        raise NotPossible("aucun compte de ce réseau ne porte cet identifiant ou cette adresse")
    if len(found) > 1:
        raise NotPossible("cette adresse a un compte dans plusieurs réseaux : précisez --network")
    return found[0]
