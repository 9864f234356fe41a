"""The audit trail: append-only, hash-chained, signed; the gateway's certificate verifies it (I7, decision 0008)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from sqlalchemy import Connection, Row, insert, select, update

from dcc.mailbox.records import ENDS, AuditRecord, DeliveryState
from dcc.mailbox.rows import iso, pack
from dcc.mailbox.schema import audit, audit_head, messages, outbox

GENESIS = "gateway:audit:opened"
REKEYED = "gateway:audit:rekeyed"
FIELDS = (
    "tag", "actor", "certificate", "message", "mail_message_id", "folder", "document", "decision", "code", "detail",
)  # fmt: skip
NOTHING = "0" * 64
Vouch = Callable[[bytes], bytes]  # signature of the gateway's certificate key, SHA-256, PKCS#1 v1.5 or ECDSA


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """What a verification found. `first_bad` is a sequence number, None when the whole chain is good."""

    ok: bool
    count: int
    first_bad: int | None = None
    problem: str | None = None


class AuditTrail:
    """Appends records inside the caller's transaction, so that a decision and its record stand or fall together."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, vouch: Vouch) -> None:
        self._key = key
        self._vouch = vouch
        self._public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def open(self, conn: Connection, at: datetime) -> None:
        """Write the first record, or one that announces a new audit key; without effect when the key is known."""
        head = _head(conn)
        if head is None:
            self._announce(conn, at, GENESIS, 0, NOTHING)
        elif self._public not in _announced(conn):
            self._announce(conn, at, REKEYED, head.sequence + 1, head.hash)

    def append(self, conn: Connection, *records: AuditRecord) -> None:
        """Append records at the end of the chain, in this transaction."""
        head = _head(conn)
        if head is None:
            raise LookupError("the audit trail was never opened")
        sequence, previous = int(head.sequence), str(head.hash)
        rows = []
        for record in records:
            sequence += 1
            row = _row(record, sequence, previous)
            previous = row["hash"]
            row["signature"] = self._sign(previous)
            rows.append(row)
        if rows:
            conn.execute(insert(audit), rows)
            self._set_head(conn, sequence, previous)

    def _announce(self, conn: Connection, at: datetime, tag: str, sequence: int, previous: str) -> None:
        voucher = self._vouch(self._public).hex()
        detail = pack({"public_key": self._public.hex(), "voucher": voucher})
        record = AuditRecord(
            at=at, tag=tag, actor="gateway", certificate=None, message=None, mail_message_id=None, folder=None,
            document=None, decision="done", code=None, detail=detail,
        )  # fmt: skip
        row = _row(record, sequence, previous)
        row["signature"] = self._sign(row["hash"])
        conn.execute(insert(audit).values(**row))
        if sequence == 0:
            conn.execute(insert(audit_head).values(id=1, sequence=0, hash=row["hash"], signature=b""))
        self._set_head(conn, sequence, row["hash"])

    def _set_head(self, conn: Connection, sequence: int, digest: str) -> None:
        signature = self._sign(f"head:{sequence}:{digest}")
        conn.execute(
            update(audit_head).where(audit_head.c.id == 1).values(sequence=sequence, hash=digest, signature=signature)
        )

    def _sign(self, text: str) -> bytes:
        return self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))


def verify(conn: Connection, certificate: bytes) -> AuditVerification:
    """Check the whole chain against the gateway's certificate (DER)."""
    vouched = x509.load_der_x509_certificate(certificate).public_key()
    keys: list[ec.EllipticCurvePublicKey] = []
    previous, expected, audited, sent = NOTHING, 0, set(), set()
    for row in conn.execute(select(audit).order_by(audit.c.sequence)):
        problem = _bad_record(row, expected, previous, keys, vouched)
        if problem is not None:
            return AuditVerification(False, expected, expected, problem)
        if row.message is not None and row.tag.startswith("gateway:message:"):
            audited.add(row.message)
        if row.tag.startswith("gateway:delivery:"):
            sent.add(json.loads(row.detail).get("delivery"))
        previous, expected = row.hash, expected + 1
    problem = _bad_head(conn, expected, previous, keys) or _unaudited(conn, audited, sent)
    return AuditVerification(problem is None, expected, None if problem is None else expected, problem)


def export(conn: Connection) -> Iterator[dict[str, Any]]:
    """Every record, oldest first, as JSON-ready values."""
    for row in conn.execute(select(audit).order_by(audit.c.sequence)):
        yield {
            "sequence": row.sequence,
            "at": iso(row.at),
            **{name: getattr(row, name) for name in FIELDS if name != "detail"},
            "detail": json.loads(row.detail),
            "previous": row.previous,
            "hash": row.hash,
            "signature": row.signature.hex(),
        }


def _row(record: AuditRecord, sequence: int, previous: str) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(record, name) for name in FIELDS}
    values |= {"sequence": sequence, "at": record.at, "previous": previous}
    values["hash"] = _digest(sequence, record.at, [values[name] for name in FIELDS], previous)
    return values


def _digest(sequence: int, at: datetime, fields: list[Any], previous: str) -> str:
    return hashlib.sha256(pack([sequence, iso(at), *fields, previous]).encode()).hexdigest()


def _head(conn: Connection) -> Row[Any] | None:
    # The lock makes the chain linear on PostgreSQL; SQLite has one writer at a time anyway.
    return conn.execute(select(audit_head).where(audit_head.c.id == 1).with_for_update()).one_or_none()


def _announced(conn: Connection) -> set[bytes]:
    found = conn.execute(select(audit.c.detail).where(audit.c.tag.in_((GENESIS, REKEYED)))).scalars()
    return {bytes.fromhex(json.loads(detail)["public_key"]) for detail in found}


def _bad_record(
    row: Row[Any], expected: int, previous: str, keys: list[ec.EllipticCurvePublicKey], vouched: Any
) -> str | None:
    if row.sequence != expected:
        return "un enregistrement manque, ou a été inséré"
    if row.previous != previous:
        return "l'enregistrement ne suit pas le précédent"
    if row.hash != _digest(row.sequence, row.at, [getattr(row, name) for name in FIELDS], previous):
        return "l'enregistrement a été modifié"
    if row.tag in (GENESIS, REKEYED):
        found = json.loads(row.detail)
        public = bytes.fromhex(found["public_key"])
        if not _vouched(vouched, bytes.fromhex(found["voucher"]), public):
            return "la clé de la trace n'est pas garantie par ce certificat"
        loaded = load_der_public_key(public)
        if isinstance(loaded, ec.EllipticCurvePublicKey):
            keys.append(loaded)
    elif expected == 0:
        return "la trace ne commence pas par son ouverture"
    if not _signed(keys, row.signature, row.hash):
        return "la signature de l'enregistrement est fausse"
    return None


def _bad_head(conn: Connection, count: int, digest: str, keys: list[ec.EllipticCurvePublicKey]) -> str | None:
    head = conn.execute(select(audit_head).where(audit_head.c.id == 1)).one_or_none()
    if head is None:
        return "la trace n'a pas de fin signée" if count else "la trace est vide"
    if head.sequence != count - 1 or head.hash != digest:
        return "la fin de la trace manque"
    return None if _signed(keys, head.signature, f"head:{head.sequence}:{head.hash}") else "la fin signée est fausse"


def _unaudited(conn: Connection, audited: set[str], sent: set[str]) -> str | None:
    ended = conn.execute(select(messages.c.id).where(messages.c.state.in_([e.value for e in ENDS]))).scalars()
    if any(one not in audited for one in ended):
        return "un message terminé n'a pas d'enregistrement : la fin de la trace a été retirée"
    told = select(outbox.c.id).where(outbox.c.state == DeliveryState.SENT.value)
    if any(one not in sent for one in conn.execute(told).scalars()):
        return "un envoi n'a pas d'enregistrement : la fin de la trace a été retirée"
    return None


def _signed(keys: list[ec.EllipticCurvePublicKey], signature: bytes, text: str) -> bool:
    for key in reversed(keys):
        try:
            key.verify(signature, text.encode(), ec.ECDSA(hashes.SHA256()))
            return True
        except InvalidSignature:
            continue
    return False


def _vouched(key: Any, signature: bytes, data: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True
