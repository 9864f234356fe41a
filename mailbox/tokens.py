"""One-time secrets that were sent to people: each is good once, for one purpose, until it expires; only hashes are kept."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from dcc.mailbox.records import Token
from dcc.mailbox.rows import ALPHABET
from dcc.mailbox.schema_people import tokens

SECRET_BYTES = 16  # 128 bits: nobody guesses one, and an AES key wrap takes it
CHARACTERS = 26
GROUP = 5


def spoken(secret: bytes) -> str:
    """A secret as people copy it: `AB3DE-…`, without letters that look like digits."""
    number = int.from_bytes(secret, "big")
    signs = "".join(ALPHABET[(number >> (5 * place)) & 31] for place in range(CHARACTERS)).upper()
    return "-".join(signs[at : at + GROUP] for at in range(0, CHARACTERS, GROUP))


def add(conn: Connection, token: Token) -> None:
    """Keep a token: its hash, never its secret."""
    conn.execute(insert(tokens).values(**asdict(token)))


def digest(secret: str) -> str:
    """SHA-256 of a secret, however it is written: case, spaces and hyphens do not count."""
    plain = "".join(sign for sign in secret.upper() if sign.isascii() and sign.isalnum())
    return hashlib.sha256(plain.encode()).hexdigest()


def find(conn: Connection, secret: str, purpose: str) -> Token | None:
    """The token of this secret, used and expired ones too: the caller tells them apart."""
    query = select(tokens).where(tokens.c.hash == digest(secret), tokens.c.purpose == purpose)
    row = conn.execute(query).one_or_none()
    return None if row is None else _token(row)


def latest(conn: Connection, *, purpose: str, account: str) -> Token | None:
    """The newest token of an account and purpose."""
    query = select(tokens).where(tokens.c.purpose == purpose, tokens.c.account == account)
    row = conn.execute(query.order_by(tokens.c.created_at.desc()).limit(1)).one_or_none()
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
