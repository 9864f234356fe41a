"""The reconciliation queue (rapprochement): who a held message may be about, and a person's decision on it.

Looking opens the message again from its received bytes; nothing that it says is kept outside of them. Deciding names
a folder and puts the message back to work: the identity is the person's answer, every right is checked as always.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from dcc.gateway.services import Services
from dcc.mailbox import folders, messages, people
from dcc.mailbox.records import Account, AuditRecord, Message, MessageState
from dcc.router.candidates import Candidate, candidates, identities_of, may_decide
from dcc.router.keywords import type_of
from dcc.router.read import read_request
from dcc.router.request import NotUnderstood, PatientIdentity, PlainDeposit, Report


class NotDecided(Exception):
    """The decision cannot be taken; the text is a sentence for the person."""


@dataclass(frozen=True, slots=True)
class Examined:
    """What a person needs to decide: the patients as read, the files, the folders that may be meant."""

    identities: tuple[PatientIdentity, ...]
    files: tuple[tuple[str, str, int], ...]  # name, media type, size
    types: tuple[tuple[str, str], ...]
    needs_type: bool
    candidates: tuple[Candidate, ...]


def decider(conn: Connection, name: str) -> Account | None:
    """The account that may decide, by its id or its mailbox; None: nobody of that name has the role."""
    account = people.get_account(conn, name)
    named = [account] if account is not None else people.by_mailbox(conn, None, name)
    return next((one for one in named if may_decide(one)), None)


def examine(services: Services, message_id: str, who: Account, now: datetime) -> Examined | None:
    """What a held message says and whom it may be about, within the person's network; audited.

    None: not held, or another network's: its identities are not this person's to see (I4).
    """
    with services.database.read() as conn:
        message = messages.get(conn, message_id)
        if message is None or message.state is not MessageState.HELD or not _concerns(conn, message, who):
            return None
    request = _read_again(services, message)
    with services.database.begin() as conn:
        found = () if request is None else _candidates(conn, request, message, who)
        services.audit.append(conn, _record(message, who, "operator:identity:examined", message.folder, now))
    if request is None or isinstance(request, Report):
        return Examined((), (), (), False, found)
    files = getattr(request, "attachments", ())
    return Examined(
        identities=identities_of(request),
        files=tuple((one.name, one.media_type, one.size) for one in files),
        types=request.types if isinstance(request, PlainDeposit) else (),
        needs_type=isinstance(request, PlainDeposit) and len(request.types) != 1,
        candidates=found,
    )


def assign(services: Services, message_id: str, *, folder: str, word: str | None, who: Account, now: datetime) -> None:
    """Name the folder of a held message, and the type of plain files; the message is worked on again.

    Raises NotDecided.
    """
    kind = None
    if word is not None:
        kind = type_of(word)
        if kind is None:
            raise NotDecided(f"« {word} » n'est ni un mot-clé ni un code de type")
    with services.database.begin() as conn:
        message = messages.get(conn, message_id)
        if message is None or message.state is not MessageState.HELD:
            raise NotDecided("ce message n'est pas en attente")
        if not _concerns(conn, message, who):
            raise NotDecided("ce message n'est pas adressé à votre réseau")
        chosen = folders.folder(conn, folder)
        if chosen is None or chosen.network != who.network:
            raise NotDecided("aucun dossier de votre réseau ne porte cet identifiant, cette référence ou cette adresse")
        evidence: dict[str, Any] = json.loads(message.evidence or "{}")
        evidence["assigned"] = {"folder": chosen.id, "type": kind, "by": who.id, "at": now.isoformat()}
        messages.reopen(conn, message_id, now=now, evidence=json.dumps(evidence, ensure_ascii=False))
        services.audit.append(conn, _record(message, who, "operator:identity:assigned", chosen.id, now))
    services.wake.set()


def _concerns(conn: Connection, message: Message, who: Account) -> bool:
    """Whether the message is of the person's network; one of no network is anybody's only where there is a single one."""
    found = _networks_of(conn, message)
    return who.network in found if found else len(people.list_networks(conn)) == 1


def _networks_of(conn: Connection, message: Message) -> set[str]:
    """The networks that a message is addressed to; where it names none, those of its signer."""
    named = [folders.folder(conn, one) for one in (message.folder, *message.recipients) if one]
    asked = [people.network_by_address(conn, one) for one in message.recipients]
    found = {one.network for one in named if one is not None} | {one.id for one in asked if one is not None}
    if found or message.signer is None:
        return found
    signer = people.get_account(conn, message.signer)
    return set() if signer is None else {one.network for one in people.by_national_id(conn, signer.national_id)}


def _read_again(services: Services, message: Message) -> Any:
    """The request of the message; None when it could not be opened: there is nothing to compare then."""
    with services.open_original(message) as source:
        opened = services.open_mail(source)
        try:
            if opened.problem is not None or opened.content is None:
                return None
            return read_request(
                opened.content, opened.outer, limits=services.limits, workdir=services.workdir,
                random_bytes=services.random_bytes,
            )  # fmt: skip
        finally:
            opened.close()


def _candidates(conn: Connection, request: Any, message: Message, who: Account) -> tuple[Candidate, ...]:
    if isinstance(request, NotUnderstood | Report):
        identities: tuple[PatientIdentity, ...] = ()
    else:
        identities = identities_of(request)
    named = [name for name in (message.folder, *message.recipients) if name]
    return tuple(candidates(conn, identities, frozenset({who.network}), named))


def _record(message: Message, who: Account, tag: str, folder: str | None, now: datetime) -> AuditRecord:
    return AuditRecord(
        at=now, tag=tag, actor=who.id, certificate=None, message=message.id, mail_message_id=None, folder=folder,
        document=None, decision="done", code=message.reason_code,
    )  # fmt: skip
