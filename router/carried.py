"""A request of a person that is carried out: the changes to write, who is told, and the mails that are owed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dcc.mailbox import tokens
from dcc.mailbox.changes import Change
from dcc.mailbox.records import Account, Token
from dcc.router.reasons import Reason

BLOCK = 8  # octets


@dataclass(frozen=True, slots=True)
class Secrets:
    """Where one-time secrets come from, and how they are sealed so that the database alone does not tell them."""

    random_bytes: Callable[[int], bytes]
    seal: Callable[[bytes], str]
    unseal: Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Issued:
    """A new token, and its secret as the outbox may keep it: sealed."""

    token: Token
    sealed: str


@dataclass(frozen=True, slots=True)
class OwedMail:
    """A mail to an account; parameters are ids, codes and sealed secrets, never identity nor content."""

    kind: str
    account: Account
    parameters: tuple[tuple[str, str], ...] = ()
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """What is written in the one transaction of the message's end; `account` is told that it is done."""

    reason: Reason
    changes: tuple[Change, ...]
    account: Account | None = None
    mails: tuple[OwedMail, ...] = ()
    folder: str | None = None
    evidence: tuple[tuple[str, str], ...] = ()


def issue(
    secrets: Secrets,
    *,
    purpose: str,
    network: str,
    account: str | None,
    now: datetime,
    life: timedelta,
    folder: str | None = None,
) -> Issued:
    """A one-time secret for a purpose, good for `life`."""
    secret = secrets.random_bytes(tokens.SECRET_BYTES)
    row = Token(tokens.digest(tokens.spoken(secret)), purpose, network, account, folder, now, now + life)
    return Issued(row, secrets.seal(secret))


def seal_text(secrets: Secrets, text: str) -> str:
    """A person's own words as the outbox may keep them: sealed like a secret (I3)."""
    octets = text.encode()
    padded = octets + b"\0" * max(
        BLOCK * 2 - len(octets), -len(octets) % BLOCK
    )  # RFC 3394 takes whole blocks, two at least
    return secrets.seal(padded)


def unseal_text(sealed: str, unseal: Callable[[str], bytes]) -> str:
    """The words again."""
    return unseal(sealed).rstrip(b"\0").decode()
