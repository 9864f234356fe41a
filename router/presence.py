"""The proof that the patient was there with the carte Vitale: a small object signed by the professional's card.

facts/cards.md §9: only an assertion reaches a mail gateway. It is a CMS SignedData around JSON, signed with the card of
the mail's signer: `{"nonce", "folder", "digest", "salt", "read_at", "reader", "vitale", "rank"}`, where digest is the SHA-256
(hex) of salt (octets, hex) ‖ matricule (15 characters) ‖ date of birth (YYYYMMDD). It gives a mandate, never the consent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dcc.mailbox.records import Folder, Patient
from dcc.router.reasons import Reason, reason
from dcc.router.request import Attachment
from dcc.smime.limits import Limits
from dcc.smime.open import open_cms

NAMES = (".p7m", ".p7s", ".der")
STEM = "presence"
MOST = 64 << 10  # bytes of a proof
AGE = timedelta(hours=24)
AHEAD = timedelta(minutes=10)  # a workstation's clock
DECLARED = "vitale_declared"  # a signed statement; `vitale_verified` needs apCV or INSi behind it


@dataclass(frozen=True, slots=True)
class Presence:
    """A proof that holds: its nonce is still to be used up."""

    nonce: str
    grade: str
    sha256: str


def proof_among(attachments: tuple[Attachment, ...]) -> Attachment | None:
    """The attachment that is a proof, by its name."""
    return next(
        (one for one in attachments if one.name.lower().startswith(STEM) and one.name.lower().endswith(NAMES)), None
    )


def check_presence(
    proof: Attachment,
    *,
    signer_sha256: str,
    folder: Folder,
    patient: Patient,
    now: datetime,
    limits: Limits,
    workdir: Path | None,
    random_bytes: Callable[[int], bytes],
) -> Presence | Reason:
    """Whether the proof is signed by the mail's own card, fresh, and about this patient and this folder."""
    if proof.size > MOST:
        return _refused("size")
    with proof.open() as source:
        opened = open_cms(source, keys=(), limits=limits, random_bytes=random_bytes, workdir=workdir)
    try:
        signers = [hashlib.sha256(one.certificate or b"").hexdigest() for one in opened.signers if one.good]
        if opened.problem is not None or opened.content is None or signers != [signer_sha256]:
            return _refused("signature")
        told = _read(opened.content.open().read(MOST))
    finally:
        opened.close()
    if told is None:
        return _refused("form")
    return _checked(told, folder, patient, now, proof.sha256)


def _read(data: bytes) -> dict[str, str] | None:
    """The object inside; a MIME header before it does no harm."""
    start = data.find(b"{")
    try:
        told = json.loads(data[start:].strip()) if start >= 0 else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not all(isinstance(one, str | int) for one in told.values()):
        return None
    return {str(name): str(value) for name, value in told.items()}


def _checked(told: dict[str, str], folder: Folder, patient: Patient, now: datetime, sha256: str) -> Presence | Reason:
    if told.get("folder", "").upper() != folder.reference:
        return _refused("folder")
    try:
        read_at = datetime.fromisoformat(told["read_at"])
        salt = bytes.fromhex(told["salt"])
    except (KeyError, ValueError):
        return _refused("form")
    if read_at.tzinfo is None or not now - AGE <= read_at <= now + AHEAD:
        return _refused("age")
    named = f"{patient.ins}{patient.birth_date:%Y%m%d}".encode("ascii")
    if len(salt) < 16 or hashlib.sha256(salt + named).hexdigest() != told.get("digest", "").lower():
        return _refused("identity")
    if not told.get("nonce"):
        return _refused("nonce")
    return Presence(told["nonce"], DECLARED, sha256)


def _refused(detail: str) -> Reason:
    return reason("D2R-PRS01", detail=detail)
