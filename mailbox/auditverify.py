"""Whether the audit trail is what was written: nothing changed, removed, inserted or reordered (I7).

Needs the database and the gateway's certificate, and trusts nothing that whoever writes to the database could
compute: each record must be signed by the audit key, and the audit key by the certificate's key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from sqlalchemy import Connection, Row, exists, literal, select, type_coerce
from sqlalchemy.types import NULLTYPE

from dcc.mailbox.auditchain import ANNOUNCEMENTS, FIELDS, GENESIS, NOTHING, digest, head_text, signed, vouched
from dcc.mailbox.records import ENDS
from dcc.mailbox.schema import audit, audit_head, messages, outbox

# As the driver gives them: a forged value of another type must be reported, not raise in a conversion.
RAW: list[Any] = [type_coerce(column, NULLTYPE).label(column.name) for column in audit.c]


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """What a verification found. `first_bad` is a sequence number, None when the whole chain is good.

    `last` is the hash of the last record: written down elsewhere with `count`, it proves later that the trail was
    not put back to an older state.
    """

    ok: bool
    count: int
    first_bad: int | None = None
    problem: str | None = None
    last: str | None = None


@dataclass(slots=True)
class _Walk:
    """How far a verification has come."""

    certificates: Sequence[bytes]
    trusted: set[bytes]
    key: ec.EllipticCurvePublicKey | None = None
    previous: str = NOTHING
    count: int = 0
    deliveries: set[str] = field(default_factory=set)


def verify(
    conn: Connection, certificate: bytes | Sequence[bytes], *, known: tuple[int, str] | None = None
) -> AuditVerification:
    """Check the whole chain against the gateway's certificate, or its successive ones (DER).

    `known` is a (count, last) of an earlier verification that the trail must still contain.
    """
    certificates = [certificate] if isinstance(certificate, bytes) else list(certificate)
    walk = _Walk(certificates, _trusted(conn, certificates))
    query = select(*RAW).order_by(audit.c.sequence).execution_options(yield_per=1000)
    with conn.execute(query) as rows:
        for row in rows:
            problem = _bad_record(row, walk) or _other_past(row, walk, known)
            if problem is not None:
                return AuditVerification(False, walk.count, walk.count, problem)
            walk.previous, walk.count = row.hash, walk.count + 1
    problem = _bad_end(conn, walk, known) or _unrecorded(conn, walk.deliveries)
    first_bad = None if problem is None else walk.count
    return AuditVerification(problem is None, walk.count, first_bad, problem, walk.previous)


def _trusted(conn: Connection, certificates: Sequence[bytes]) -> set[bytes]:
    """The audit keys that one of the certificates vouches for, in any announcement: certificates are renewed."""
    found = set()
    for detail in conn.execute(select(audit.c.detail).where(audit.c.tag.in_(ANNOUNCEMENTS))).scalars():
        told = _announced(detail)
        if told is not None and vouched(certificates, told[1], told[0]):
            found.add(told[0])
    return found


def _announced(detail: Any) -> tuple[bytes, bytes] | None:
    """(public key, voucher) of an announcement, None when it is not one."""
    try:
        told = json.loads(detail)
        return bytes.fromhex(told["public_key"]), bytes.fromhex(told["voucher"])
    except (KeyError, TypeError, ValueError):
        return None


def _moment(raw: Any) -> datetime | None:
    """The time of a row, None where the stored form is not exactly the one that is written."""
    if isinstance(raw, datetime):
        return raw.astimezone(UTC)
    try:
        found = datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        return None
    return found.replace(tzinfo=UTC) if found.strftime("%Y-%m-%d %H:%M:%S.%f") == raw else None


def _bad_record(row: Row[Any], walk: _Walk) -> str | None:
    """Why this record cannot be the next one, or None."""
    if row.sequence != walk.count:
        return "un enregistrement manque, ou a été inséré"
    if row.previous != walk.previous:
        return "l'enregistrement ne suit pas le précédent"
    at, fields = _moment(row.at), [getattr(row, name) for name in FIELDS]
    if at is None or not all(value is None or isinstance(value, str) for value in fields):
        return "l'enregistrement a été modifié"
    if row.hash != digest(row.sequence, at, fields, walk.previous):
        return "l'enregistrement a été modifié"
    if (row.tag == GENESIS) != (walk.count == 0):
        return "la trace ne commence pas par son ouverture"
    if row.tag in ANNOUNCEMENTS:
        problem = _new_key(row.detail, walk)
        if problem is not None:
            return problem
    if walk.key is None or not signed(walk.key, row.signature, row.hash):
        return "la signature de l'enregistrement est fausse"
    if row.tag.startswith("gateway:delivery:"):
        walk.deliveries.add(_delivery(row.detail))
    return None


def _new_key(detail: str, walk: _Walk) -> str | None:
    told = _announced(detail)
    if told is None or told[0] not in walk.trusted:
        return "la clé de la trace n'est pas garantie par ce certificat"
    loaded = load_der_public_key(told[0])
    if not isinstance(loaded, ec.EllipticCurvePublicKey):
        return "la clé de la trace n'est pas une clé à courbe elliptique"
    walk.key = loaded  # from here on it alone signs: a key that was replaced may have been stolen
    return None


def _delivery(detail: str) -> str:
    try:
        found = json.loads(detail)
    except ValueError:
        return ""
    return str(found.get("delivery")) if isinstance(found, dict) else ""


def _other_past(row: Row[Any], walk: _Walk, known: tuple[int, str] | None) -> str | None:
    if known is None or walk.count != known[0] - 1 or row.hash == known[1]:
        return None
    return "la trace n'est plus celle d'une vérification antérieure"


def _bad_end(conn: Connection, walk: _Walk, known: tuple[int, str] | None) -> str | None:
    query = select(*(type_coerce(column, NULLTYPE).label(column.name) for column in audit_head.c))
    head = conn.execute(query.where(audit_head.c.id == 1)).one_or_none()
    if head is None:
        return "la trace n'a pas de fin signée" if walk.count else "la trace est vide"
    if head.sequence != walk.count - 1 or head.hash != walk.previous:
        return "la fin de la trace manque"
    if walk.key is None or not signed(walk.key, head.signature, head_text(head.sequence, head.hash)):
        return "la fin signée est fausse"
    if known is not None and walk.count < known[0]:
        return "la trace est plus courte qu'à une vérification antérieure"
    return None


def _unrecorded(conn: Connection, deliveries: set[str]) -> str | None:
    """A tail cut off together with an older signed end put back: ended messages and sent mails lack their record."""
    ending = audit.c.tag.like(literal("%:message:").concat(messages.c.state))  # gateway:… by itself, operator:… by hand
    recorded = exists().where(audit.c.message == messages.c.id, ending)
    ends = messages.c.state.in_([end.value for end in ENDS])
    if conn.execute(select(messages.c.id).where(ends, ~recorded).limit(1)).first() is not None:
        return "un message terminé n'a pas d'enregistrement de cette fin : la trace ou le message a été modifié"
    told = select(outbox.c.id).where(outbox.c.sent_at.is_not(None))
    if any(one not in deliveries for one in conn.execute(told).scalars()):
        return "un envoi n'a pas d'enregistrement : la fin de la trace a été retirée"
    return None
