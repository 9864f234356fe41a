"""What carrying out a person's request needs beside the mail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from dcc.router.carried import Secrets
from dcc.smime.limits import Limits


@dataclass(frozen=True, slots=True)
class Desk:
    """The moment, the store, the card that signed, and where randomness comes from."""

    conn: Connection
    now: datetime
    message: str
    environment: str
    secrets: Secrets
    limits: Limits
    workdir: Path | None
    random_bytes: Callable[[int], bytes]
    received_at: datetime
    card: bytes | None  # DER of the card's certificate that signed the mail; None: a partner's, without a card
