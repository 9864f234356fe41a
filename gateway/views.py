"""Messages, folders and deliveries as the JSON of the contract: names and shapes that scripts rely on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from dcc.gateway.commands.common import iso
from dcc.mailbox import documents as documents_store
from dcc.mailbox import folders, outbox, people
from dcc.mailbox.records import Account, Delivery, Document, Folder, Mandate, Message
from dcc.router.reasons import reason

if TYPE_CHECKING:
    from dcc.gateway.reconcile import Examined


def reason_view(code: str | None, parameters: tuple[tuple[str, str], ...] = ()) -> dict[str, str] | None:
    """`{"code", "sender", "operator"}`, or None."""
    if code is None:
        return None
    found = reason(code, **dict(parameters))
    return {"code": found.code, "sender": found.sender_fr, "operator": found.operator}


def message_view(conn: Connection, message: Message) -> dict[str, Any]:
    """One received message: state, reason, signer, timings per stage, evidence of the checks (I9)."""
    return {
        "id": message.id,
        "state": message.state.value,
        "reason": reason_view(message.reason_code, message.reason_parameters),
        "signer": signer_view(conn, message),
        "folder": message.folder,
        "documents": list(message.documents),
        "received_at": iso(message.received_at),
        "settled_at": iso(message.settled_at),
        "stages": [{"name": s.name, "at": iso(s.at), "ms": s.ms} for s in message.stages],
        "size": message.size,
        "sha256": message.sha256,
        "attempts": message.attempts,
        "evidence": json.loads(message.evidence or "{}"),
    }


def examined_view(examined: Examined) -> dict[str, Any]:
    """What the reconciliation queue shows of a held message: for a person with that role only."""
    return {
        "identities": [asdict(one) | {"given_names": " ".join(one.given_names)} for one in examined.identities],
        "files": [{"name": name, "media_type": kind, "size": size} for name, kind, size in examined.files],
        "types": [{"code": code, "system": system} for code, system in examined.types],
        "needs_type": examined.needs_type,
        "candidates": [
            {
                "folder": one.folder.id,
                "reference": one.folder.reference,
                "network": one.folder.network,
                "by": one.by,
                "status": one.status,
                "differing": list(one.differing),
                "traits": [asdict(trait) for trait in one.traits],
            }
            for one in examined.candidates
        ],
    }


def signer_view(conn: Connection, message: Message) -> dict[str, Any] | None:
    """Who signed, as far as it was found out."""
    if message.signer is None and message.signer_certificate is None:
        return None
    account = None if message.signer is None else people.get_account(conn, message.signer)
    return {
        "account": message.signer,
        "national_id": None if account is None else account.national_id,
        "role": None if account is None else account.role,
        "certificate_sha256": message.signer_certificate,
    }


def folder_view(conn: Connection, folder: Folder) -> dict[str, Any]:
    """One folder with its documents, consent, mandates and deliveries."""
    return {
        "id": folder.id,
        "reference": folder.reference,
        "address": folder.address,
        "network": folder.network,
        "created_at": iso(folder.created_at),
        "consent": {"state": folder.consent.value, "at": iso(folder.consent_at)},
        "mandates": [mandate_view(conn, mandate) for mandate in folders.mandates_of(conn, folder.id)],
        "documents": [document_view(d) for d in documents_store.documents(conn, folder.id)],
        "deliveries": [delivery_view(d) for d in outbox.deliveries(conn, folder=folder.id)],
    }


def mandate_view(conn: Connection, mandate: Mandate) -> dict[str, Any]:
    """One mandate: who holds it, where it comes from, until when."""
    account = None if mandate.account is None else people.get_account(conn, mandate.account)
    return {
        "id": mandate.id,
        "account": mandate.account,
        "mailbox": None if account is None else account.mailbox,
        "structure": mandate.structure,
        "origin": mandate.origin.value,
        "start": iso(mandate.start),
        "until": iso(mandate.until),
        "revoked_at": iso(mandate.revoked_at),
    }


def document_view(document: Document) -> dict[str, Any]:
    """One filed document and the SHA-256 and size of each of its parts, as received."""
    return {
        "id": document.id,
        "unique_id": document.unique_id,
        "version": document.version,
        "type_code": document.type_code,
        "class_code": document.class_code,
        "format_code": document.format_code,
        "title": document.title,
        "author": {
            "id": document.author_id,
            "name": document.author_name,
            "structure": document.author_structure,
        },
        "depositor": document.depositor,
        "received_at": iso(document.received_at),
        "status": document.status.value,
        "supersedes": document.supersedes,
        "confidentiality": list(document.confidentiality),
        "message": document.message,
        "parts": [
            {"name": p.name, "media_type": p.media_type, "size": p.size, "sha256": p.sha256} for p in document.parts
        ],
    }


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """One mail owed to one mailbox and how far it has come."""
    return {
        "id": delivery.id,
        "mailbox": delivery.mailbox,
        "kind": delivery.kind,
        "state": delivery.state.value,
        "reason": delivery.reason,
        "message": delivery.message,
        "documents": list(delivery.documents),
        "message_id": delivery.message_id,
        "attempts": delivery.attempts,
        "sent_at": iso(delivery.sent_at),
    }


def account_view(account: Account) -> dict[str, Any]:
    """One account, without its certificates' octets."""
    return {
        "id": account.id,
        "network": account.network,
        "kind": account.kind,
        "national_id": account.national_id,
        "family_name": account.family_name,
        "given_name": account.given_name,
        "profession": account.profession,
        "structure": account.structure,
        "mailbox": account.mailbox,
        "role": account.role,
        "state": account.state.value,
        "encryption_certificate": account.encryption_certificate is not None,
        "language": account.language,
    }
