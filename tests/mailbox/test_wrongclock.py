"""Timers of a wrong clock, on both engines: what it has put off is due at once, what waits for a reason waits on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from dcc.mailbox import messages, outbox, wrongclock
from dcc.mailbox.database import Database
from dcc.mailbox.records import Delivery, Message, MessageState

LEASE = timedelta(seconds=60)
LONGEST = timedelta(hours=4)


def _due(database: Database, now: datetime) -> tuple[list[str], list[str]]:
    with database.begin() as conn:
        return (
            [one.id for one in messages.claim(conn, now=now, lease=LEASE, limit=10)],
            [one.id for one in outbox.claim_due(conn, now=now, lease=LEASE, limit=10)],
        )


def _keep(database: Database, message: Message, delivery: Delivery) -> None:
    with database.begin() as conn:
        messages.insert_received(conn, message)
        outbox.enqueue(conn, delivery)


def _set_right(database: Database, now: datetime) -> int:
    with database.read() as conn:
        needed = wrongclock.misset(conn, now=now, longest=LONGEST)
    with database.begin() as conn:
        changed = wrongclock.set_right(conn, now=now, longest=LONGEST)
    assert needed is (changed > 0)
    return changed


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=4000)])
def test_came_in_the_future(
    database: Database, now: datetime, ahead: timedelta, make_message: Callable[..., Message],
    make_delivery: Callable[..., Delivery],
) -> None:  # fmt: skip
    """Taken while the clock was an hour or years ahead: worked on, and sent, as soon as it is right."""
    future = now + ahead
    _keep(database, make_message(1, received_at=future, due=future), make_delivery(1, created_at=future, due=future))
    assert _due(database, now) == ([], [])
    assert _set_right(database, now) == 2
    found = _due(database, now)
    assert [len(one) for one in found] == [1, 1]
    with database.read() as conn:
        message, delivery = messages.get(conn, make_message(1).id), outbox.get(conn, make_delivery(1).id)
    assert message is not None
    assert delivery is not None
    assert (message.received_at, delivery.created_at) == (now, now)
    assert _set_right(database, now) == 0


def test_put_off_by_a_wrong_clock(
    database: Database, now: datetime, make_message: Callable[..., Message], make_delivery: Callable[..., Delivery]
) -> None:
    """Taken in time, and put off while the clock was ahead: longer than anything waits, hence due."""
    late = now + timedelta(days=30)
    _keep(database, make_message(1, received_at=now, due=late), make_delivery(1, created_at=now, due=late))
    assert _set_right(database, now) == 2
    assert [len(one) for one in _due(database, now)] == [1, 1]


def test_held_is_judged_again(database: Database, now: datetime, make_message: Callable[..., Message]) -> None:
    """A message held until its card can be judged is looked at again, too."""
    late = now + timedelta(days=30)
    with database.begin() as conn:
        messages.insert_received(conn, make_message(1, received_at=now))
        messages.settle(
            conn, make_message(1).id, expected=MessageState.RECEIVED, end=MessageState.HELD, now=now, stages=(),
            reason_code="D2R-CRL03", due=late,
        )  # fmt: skip
    assert _set_right(database, now) == 1
    with database.read() as conn:
        assert messages.due_for_retry(conn, code="D2R-CRL03", now=now) == [make_message(1).id]


def test_what_waits_for_a_reason_waits(
    database: Database, now: datetime, make_message: Callable[..., Message], make_delivery: Callable[..., Delivery]
) -> None:
    """A second try in four hours, and the clock of another machine half a minute ahead: untouched."""
    later, skewed = now + LONGEST, now + timedelta(seconds=30)
    _keep(database, make_message(1, received_at=now, due=later), make_delivery(1, created_at=now, due=later))
    _keep(database, make_message(2, received_at=skewed, due=skewed), make_delivery(2, created_at=skewed, due=skewed))
    assert _set_right(database, now) == 0
