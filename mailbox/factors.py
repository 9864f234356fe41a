"""Second factors (mission S13): each is bound to an account and to the card that was present when it was enrolled.

A secret lies under the key ring, as document keys do; a row alone opens nothing. `counter` is the last time step whose
code was taken (RFC 6238), or the last signature counter of a passkey (WebAuthn §6.1.1): it only ever grows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from dcc.mailbox.schema import accounts
from dcc.mailbox.schema_factors import factors

TOTP, PASSKEY = "totp", "passkey"
# Why a factor has ended
REPLACED, SUSPENDED, CARD, OPERATOR, OVERDUE = "replaced", "account", "card", "operator", "overdue"


@dataclass(frozen=True, slots=True)
class Factor:
    """One second factor; `key_version` and `wrapped_key` of a secret, `credential` and `public_key` of a passkey."""

    id: str
    account: str  # Account.id
    kind: str  # totp | passkey
    national_id: str  # of the card's holder
    card: bytes  # DER of the card's certificate that was present
    created_at: datetime
    expires_at: datetime  # of the enrolment, as long as it is not confirmed
    key_version: int | None = None
    wrapped_key: bytes | None = None
    credential: bytes | None = None
    public_key: bytes | None = None
    counter: int | None = None
    confirmed_at: datetime | None = None
    revoked_at: datetime | None = None
    because: str | None = None
    failures: int = 0
    failed_at: datetime | None = None
    used_at: datetime | None = None

    @property
    def active(self) -> bool:
        """Whether it was confirmed and has not ended."""
        return self.confirmed_at is not None and self.revoked_at is None

    def pending(self, now: datetime) -> bool:
        """Whether it waits for its confirmation."""
        return self.confirmed_at is None and self.revoked_at is None and now < self.expires_at


def add(conn: Connection, factor: Factor) -> None:
    """Keep a new factor."""
    conn.execute(insert(factors).values(**asdict(factor)))


def get(conn: Connection, factor_id: str) -> Factor | None:
    """One factor by its id."""
    row = conn.execute(select(factors).where(factors.c.id == factor_id)).one_or_none()
    return None if row is None else _factor(row)


def of_account(conn: Connection, account: str) -> list[Factor]:
    """The factors of one account, ended ones too, oldest first."""
    query = select(factors).where(factors.c.account == account).order_by(factors.c.created_at, factors.c.id)
    return [_factor(row) for row in conn.execute(query)]


def in_network(conn: Connection, network: str | None) -> list[Factor]:
    """The factors of one network, or of all."""
    query = select(factors).order_by(factors.c.created_at, factors.c.id)
    if network is not None:
        query = query.join(accounts, accounts.c.id == factors.c.account).where(accounts.c.network == network)
    return [_factor(row) for row in conn.execute(query)]


def confirm(conn: Connection, factor: Factor, *, counter: int, at: datetime) -> bool:
    """The enrolment is confirmed: this factor counts from now on.

    Another key of codes replaces the one before; passkeys live side by side, one for each thing that holds one.
    """
    done = conn.execute(
        update(factors)
        .where(factors.c.id == factor.id, factors.c.confirmed_at.is_(None), factors.c.revoked_at.is_(None))
        .values(confirmed_at=at, counter=counter)
    )
    if done.rowcount != 1:
        return False
    if factor.kind == PASSKEY:
        return True
    others = (factors.c.account == factor.account, factors.c.kind == factor.kind, factors.c.id != factor.id)
    conn.execute(update(factors).where(*others, factors.c.revoked_at.is_(None)).values(_ended(REPLACED, at)))
    return True


def advance(conn: Connection, factor_id: str, *, counter: int, at: datetime, every: bool = False) -> bool:
    """A proof was given: its counter must be beyond the last one, whoever else asks at the same time.

    `every`: a passkey that does not count says 0 each time (WebAuthn §6.1.1).
    """
    beyond = [factors.c.counter.is_(None), factors.c.counter < counter]
    if every:
        beyond.append(factors.c.counter == counter)
    done = conn.execute(
        update(factors)
        .where(factors.c.id == factor_id, factors.c.revoked_at.is_(None), or_(*beyond))
        .values(counter=counter, failures=0, failed_at=None, used_at=at)
    )
    return done.rowcount == 1


def failed(conn: Connection, factor_id: str, *, since: datetime, at: datetime) -> None:
    """A wrong proof: counted, together with those that are not older than `since`."""
    recent = factors.c.failed_at > since
    conn.execute(update(factors).where(factors.c.id == factor_id, ~recent).values(failures=0))
    conn.execute(update(factors).where(factors.c.id == factor_id).values(failures=factors.c.failures + 1, failed_at=at))


def locked(conn: Connection, factor_id: str) -> Factor | None:
    """One factor, which nobody else may change before this transaction ends: attempts are counted one by one."""
    row = conn.execute(select(factors).where(factors.c.id == factor_id).with_for_update()).one_or_none()
    return None if row is None else _factor(row)


def overdue(conn: Connection, now: datetime) -> list[Factor]:
    """Enrolments that were never confirmed, and whose time is over."""
    query = select(factors).where(factors.c.confirmed_at.is_(None), factors.c.revoked_at.is_(None))
    return [_factor(row) for row in conn.execute(query.where(factors.c.expires_at <= now))]


def revoke(conn: Connection, factor_id: str, *, because: str, at: datetime) -> bool:
    """A factor ends at once; False when there is none or it has ended."""
    query = update(factors).where(factors.c.id == factor_id, factors.c.revoked_at.is_(None))
    return conn.execute(query.values(_ended(because, at))).rowcount == 1


def revoke_all(conn: Connection, account: str, *, because: str, at: datetime) -> int:
    """Every factor of an account ends; returns how many."""
    query = update(factors).where(factors.c.account == account, factors.c.revoked_at.is_(None))
    return int(conn.execute(query.values(_ended(because, at))).rowcount)


def _ended(because: str, at: datetime) -> dict[str, Any]:
    """An ended factor, whose secret is forgotten."""
    return {"revoked_at": at, "because": because, "key_version": None, "wrapped_key": None}


def _factor(row: Row[Any]) -> Factor:
    return Factor(**row._mapping)
