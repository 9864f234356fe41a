"""The audit trail: append-only, hash-chained, signed; the gateway's certificate verifies it (I7, decision 0008)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Connection, Row, insert, select, update

from dcc.mailbox.auditchain import ANNOUNCEMENTS, FIELDS, GENESIS, NOTHING, REKEYED, digest, head_text, vouched
from dcc.mailbox.auditverify import AuditVerification, verify
from dcc.mailbox.records import AuditRecord
from dcc.mailbox.rows import iso, pack, storable
from dcc.mailbox.schema import audit, audit_head

__all__ = ["AuditTrail", "AuditVerification", "Vouch", "export", "verify"]

# A signature by the gateway's certificate key: SHA-256 with PKCS#1 v1.5 or ECDSA, else Ed25519 or ML-DSA as they are
Vouch = Callable[[bytes], bytes]
# Built once: building a statement costs more than running it.
_HEAD = select(audit_head).where(audit_head.c.id == 1).with_for_update()
_SET_HEAD = update(audit_head).where(audit_head.c.id == 1)
_INSERT = insert(audit)


class AuditTrail:
    """Appends records inside the caller's transaction, so that a decision and its record stand or fall together.

    `certificate` (DER) is the one whose key `vouch` uses: given, `open` notices that it was renewed.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, vouch: Vouch, certificate: bytes | None = None) -> None:
        self._key = key
        self._vouch = vouch
        self._certificate = certificate
        self._public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def open(self, conn: Connection, at: datetime) -> None:
        """Write the first record, or one that announces a new audit key or certificate; else nothing."""
        head = _head(conn)
        if head is None:
            self._announce(conn, at, GENESIS, 0, NOTHING)
        elif not self._known(conn):
            self._announce(conn, at, REKEYED, head.sequence + 1, head.hash)

    def append(self, conn: Connection, *records: AuditRecord) -> None:
        """Append records at the end of the chain, in this transaction.

        Call it last: on PostgreSQL the end of the chain stays locked until the commit, so that the chain is linear.
        """
        if not records:
            return
        head = _head(conn)
        if head is None:
            raise LookupError("the audit trail was never opened")
        sequence, previous = int(head.sequence), str(head.hash)
        rows = []
        for record in records:
            sequence += 1
            rows.append(self._row(record, sequence, previous))
            previous = rows[-1]["hash"]
        conn.execute(_INSERT, rows)
        self._set_head(conn, sequence, previous)

    def _known(self, conn: Connection) -> bool:
        """Whether the last key announced is ours, and vouched for by today's certificate."""
        query = select(audit.c.detail).where(audit.c.tag.in_(ANNOUNCEMENTS)).order_by(audit.c.sequence)
        told = [json.loads(detail) for detail in conn.execute(query).scalars()]
        if not told or bytes.fromhex(told[-1]["public_key"]) != self._public:
            return False
        vouchers = [bytes.fromhex(one["voucher"]) for one in told if bytes.fromhex(one["public_key"]) == self._public]
        return self._certificate is None or any(
            vouched([self._certificate], voucher, self._public) for voucher in vouchers
        )

    def _announce(self, conn: Connection, at: datetime, tag: str, sequence: int, previous: str) -> None:
        detail = pack({"public_key": self._public.hex(), "voucher": self._vouch(self._public).hex()})
        record = AuditRecord(
            at=at, tag=tag, actor="gateway", certificate=None, message=None, mail_message_id=None, folder=None,
            document=None, decision="done", code=None, detail=detail,
        )  # fmt: skip
        row = self._row(record, sequence, previous)
        conn.execute(insert(audit).values(**row))
        if sequence == 0:
            conn.execute(insert(audit_head).values(id=1, sequence=0, hash=row["hash"], signature=b""))
        self._set_head(conn, sequence, row["hash"])

    def _row(self, record: AuditRecord, sequence: int, previous: str) -> dict[str, Any]:
        fields = [None if (value := getattr(record, name)) is None else storable(value) for name in FIELDS]
        found = digest(sequence, record.at, fields, previous)
        return dict(zip(FIELDS, fields, strict=True)) | {
            "sequence": sequence, "at": record.at, "previous": previous, "hash": found, "signature": self._sign(found),
        }  # fmt: skip

    def _set_head(self, conn: Connection, sequence: int, last: str) -> None:
        signature = self._sign(head_text(sequence, last))
        conn.execute(_SET_HEAD, {"sequence": sequence, "hash": last, "signature": signature})

    def _sign(self, text: str) -> bytes:
        return self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))


def export(conn: Connection) -> Iterator[dict[str, Any]]:
    """Every record, oldest first, as JSON-ready values."""
    query = select(audit).order_by(audit.c.sequence).execution_options(yield_per=1000)
    with conn.execute(query) as rows:
        for row in rows:
            yield {
                "sequence": row.sequence,
                "at": iso(row.at),
                **{name: getattr(row, name) for name in FIELDS if name != "detail"},
                "detail": json.loads(row.detail),
                "previous": row.previous,
                "hash": row.hash,
                "signature": row.signature.hex(),
            }


def _head(conn: Connection) -> Row[Any] | None:
    # The lock makes the chain linear on PostgreSQL; SQLite has one writer at a time anyway.
    return conn.execute(_HEAD).one_or_none()
