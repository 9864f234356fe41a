"""One-time secrets that were sent to people: each is good once, for one purpose, until it expires; only hashes are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from dcc.mailbox.records import Token
from dcc.mailbox.rows import ALPHABET
from dcc.mailbox.schema_people import tokens

CHARACTERS = 20  # 100 bits: nobody guesses one
GROUP = 5


def issue(
    conn: Connection,
    *,
    purpose: str,
    network: str,
    account: str | None,
    folder: str | None,
    now: datetime,
    life: timedelta,
    random_bytes: Callable[[int], bytes],
) -> str:
    """Make one secret and keep its hash; returns the secret as people copy it (`AB3DE-…`)."""
    number = int.from_bytes(random_bytes(16), "big")
    secret = "".join(ALPHABET[(number >> (5 * place)) & 31] for place in range(CHARACTERS)).upper()
    row = Token(digest(secret), purpose, network, account, folder, now, now + life)
    conn.execute(insert(tokens).values(**asdict(row)))
    return "-".join(secret[at : at + GROUP] for at in range(0, CHARACTERS, GROUP))


def digest(secret: str) -> str:
    """SHA-256 of a secret, however it is written: case, spaces and hyphens do not count."""
    plain = "".join(sign for sign in secret.upper() if sign.isascii() and sign.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def find(conn: Connection, secret: str, purpose: str) -> Token | None:
    """The token of this secret, used and expired ones too: the caller tells them apart."""
    query = select(tokens).where(tokens.c.hash == digest(secret), tokens.c.purpose == purpose)
    row = conn.execute(query).one_or_none()
    return None if row is None else _token(row)


def use(conn: Connection, token: Token, *, now: datetime, message: str | None) -> bool:
    """Use a token up by compare-and-set; False when it was used before or has expired."""
    done = conn.execute(
        update(tokens)
        .where(tokens.c.hash == token.hash, tokens.c.used_at.is_(None), tokens.c.expires_at > now)
        .values(used_at=now, used_by=message)
    )
    return done.rowcount == 1


def withdraw(conn: Connection, *, purpose: str, account: str, now: datetime) -> int:
    """Use up every open token of an account and purpose: another answer has decided; returns how many."""
    done = conn.execute(
        update(tokens)
        .where(tokens.c.purpose == purpose, tokens.c.account == account, tokens.c.used_at.is_(None))
        .values(used_at=now)
    )
    return int(done.rowcount)


def forget_expired(conn: Connection, *, before: datetime) -> int:
    """Delete tokens that expired before this time; returns how many."""
    return int(conn.execute(delete(tokens).where(tokens.c.expires_at < before)).rowcount)


def _token(row: Row[Any]) -> Token:
    return Token(**row._mapping)
