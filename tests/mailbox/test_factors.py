"""Second factors as rows, on both engines: bound, confirmed once, never backwards, ended for good."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from dcc.mailbox import factors, upkeep
from dcc.mailbox.changes import AccountMoved, FactorConfirmed, FactorEnrolled, FactorRevoked
from dcc.mailbox.changewriting import ChangeLost, apply
from dcc.mailbox.database import Database
from dcc.mailbox.factors import PASSKEY, TOTP, Factor
from dcc.mailbox.keyring import KeyRing
from dcc.mailbox.records import AccountState


@pytest.fixture
def ring() -> KeyRing:
    """A key ring with one version."""
    return KeyRing.create(os.urandom)


@pytest.fixture
def factor(world: Any, ring: KeyRing, now: datetime) -> Factor:
    """An enrolment of the doctor."""
    version, wrapped = ring.wrap(b"s" * 24)
    return Factor("f1", "doctor", TOTP, "801234567897", b"card", now, now + timedelta(days=1), version, wrapped)


def test_confirmed_once_and_alone(database: Database, factor: Factor, now: datetime) -> None:
    """A confirmation counts once; another key of codes ends, a passkey stays."""
    passkey = replace(
        factor, id="p", kind=PASSKEY, credential=b"id", public_key=b"key", key_version=None, wrapped_key=None
    )
    with database.begin() as conn:
        for one in (factor, replace(factor, id="f2"), passkey):
            apply(conn, FactorEnrolled(one), now)
        apply(conn, FactorConfirmed(passkey, 0), now)
        apply(conn, FactorConfirmed(factor, 5), now)
    with database.read() as conn:
        first, second, other = (factors.get(conn, name) for name in ("f1", "f2", "p"))
        assert [one.id for one in factors.in_network(conn, "rca")] == ["f1", "f2", "p"]
        assert factors.in_network(conn, "absent") == []
    assert first is not None
    assert second is not None
    assert other is not None
    assert (first.active, first.counter) == (True, 5)
    assert (second.active, second.because, second.wrapped_key) == (False, factors.REPLACED, None)
    assert other.active
    with pytest.raises(ChangeLost), database.begin() as conn:
        apply(conn, FactorConfirmed(factor, 9), now)
    with pytest.raises(ChangeLost), database.begin() as conn:
        apply(conn, FactorConfirmed(second, 9), now)


def test_a_counter_only_grows(database: Database, factor: Factor, now: datetime) -> None:
    """The same counter, or an older one, is taken once; a passkey that does not count says the same each time."""
    with database.begin() as conn:
        factors.add(conn, factor)
        assert factors.confirm(conn, factor, counter=5, at=now)
        assert [factors.advance(conn, "f1", counter=one, at=now) for one in (5, 6, 6, 4, 7)] == [
            False, True, False, False, True,
        ]  # fmt: skip
        assert factors.advance(conn, "f1", counter=7, at=now, every=True)


def test_failures_are_counted_in_a_row(database: Database, factor: Factor, now: datetime) -> None:
    """Failures add up within a while, begin anew after it, and are forgotten with a good proof."""
    pause = timedelta(minutes=15)
    with database.begin() as conn:
        factors.add(conn, factor)
        counts = []
        for at in (now, now + timedelta(minutes=1), now + timedelta(minutes=17), now + timedelta(minutes=18)):
            factors.failed(conn, "f1", since=at - pause, at=at)
            found = factors.locked(conn, "f1")
            assert found is not None
            counts.append(found.failures)
        assert counts == [1, 2, 1, 2]
        factors.advance(conn, "f1", counter=1, at=now)
        found = factors.get(conn, "f1")
    assert found is not None
    assert (found.failures, found.failed_at, found.used_at) == (0, None, now)


@pytest.mark.parametrize("after", [AccountState.SUSPENDED, AccountState.REFUSED])
def test_factors_end_with_the_account(database: Database, factor: Factor, now: datetime, after: AccountState) -> None:
    """Whoever is suspended loses every factor, and does not get it back with the account."""
    with database.begin() as conn:
        factors.add(conn, factor)
        factors.confirm(conn, factor, counter=1, at=now)
        apply(conn, AccountMoved("doctor", tuple(AccountState), after), now)
        apply(conn, AccountMoved("doctor", tuple(AccountState), AccountState.VALIDATED), now)
        found = factors.get(conn, "f1")
        assert not factors.advance(conn, "f1", counter=9, at=now)
        with pytest.raises(ChangeLost):
            apply(conn, FactorRevoked("f1", "doctor", factors.OPERATOR), now)
    assert found is not None
    assert (found.active, found.because, found.wrapped_key) == (False, factors.SUSPENDED, None)


def test_overdue_enrolments_are_found(database: Database, factor: Factor, now: datetime) -> None:
    """What was never confirmed is overdue when its time is over, and no sooner."""
    with database.begin() as conn:
        factors.add(conn, factor)
        assert factors.overdue(conn, now) == []
        assert [one.id for one in factors.overdue(conn, factor.expires_at)] == ["f1"]
    assert factor.pending(now)
    assert not factor.pending(factor.expires_at)


def test_secrets_are_wrapped_anew(database: Database, factor: Factor, ring: KeyRing, now: datetime) -> None:
    """With a new version of the key-encryption key, secrets are wrapped by it, and ended factors have none."""
    newer = ring.rotated(os.urandom)
    with database.begin() as conn:
        for one in (factor, replace(factor, id="f2")):
            factors.add(conn, one)
        factors.revoke(conn, "f2", because=factors.OPERATOR, at=now)
        assert upkeep.rewrap(conn, newer) == 1
        assert upkeep.rewrap(conn, newer) == 0
        found = factors.get(conn, "f1")
    assert found is not None
    assert found.key_version == 2
    assert newer.unwrap(2, found.wrapped_key or b"") == b"s" * 24
