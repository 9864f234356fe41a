"""The proof of presence that a business software makes while the patient's carte Vitale is in the reader (facts/cards.md §9)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from datetime import datetime

from dcc.gateway.cast_reader import Cast
from dcc.gateway.clients import signed_entity


def presence_proof(
    cast: Cast, person: str, about: str, nonce: str, at: datetime, **changes: str
) -> tuple[str, str, bytes]:
    """(name, type, octets): signed with this person's card, about the patient of this folder; `changes` spoil it."""
    patient = cast.patient(cast.folder(about)["patient"])
    salt = os.urandom(16)
    named = f"{patient.ins}{patient.birth_date:%Y%m%d}".encode()
    told = {
        "version": "1", "nonce": nonce, "folder": cast.folder(about)["reference"], "salt": salt.hex(),
        "digest": hashlib.sha256(salt + named).hexdigest(), "read_at": at.isoformat(), "reader": "lecteur-1",
        "vitale": "0123456789", "rank": "1", **changes,
    }  # fmt: skip
    entity = b"Content-Type: application/json\r\n\r\n" + json.dumps(told).encode()
    signed = signed_entity(entity, cast.identity(person), opaque=True)
    return "presence.p7m", "application/octet-stream", base64.b64decode(signed.partition(b"\r\n\r\n")[2])
