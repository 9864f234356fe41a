"""The outbox on both engines: owed once, sent once, and never blindly twice (I1)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from dcc.mailbox import outbox
from dcc.mailbox.database import Database
from dcc.mailbox.records import Delivery, DeliveryState

LEASE = timedelta(seconds=60)
Make = Callable[..., Delivery]


def _owe(database: Database, *made: Delivery) -> int:
    with database.begin() as conn:
        return outbox.enqueue_all(conn, made)


def _claim(database: Database, at: datetime, limit: int = 10) -> list[str]:
    with database.begin() as conn:
        return [one.id for one in outbox.claim_due(conn, now=at, lease=LEASE, limit=limit)]


def _state(database: Database, delivery_id: str = "delivery1") -> DeliveryState:
    with database.read() as conn:
        found = outbox.get(conn, delivery_id)
    assert found is not None
    return found.state


def test_written_as_given(database: Database, make_delivery: Make, now: datetime) -> None:
    """A delivery comes back exactly as it was written."""
    made = make_delivery(1, reason="D2R-X", parameters=(("count", "2"), ("é", "")), due=now + timedelta(hours=1))
    assert _owe(database, made) == 1
    with database.read() as conn:
        assert outbox.get(conn, made.id) == made
        assert outbox.get(conn, "nobody") is None


def test_owed_once(database: Database, make_delivery: Make) -> None:
    """The same mail (dedupe key) is owed once, in one call or in two."""
    first = make_delivery(1)
    assert _owe(database, first, replace(first, id="twin"), make_delivery(2)) == 2
    with database.begin() as conn:
        assert not outbox.enqueue(conn, replace(first, id="third"))
        assert outbox.enqueue(conn, make_delivery(3))
        assert [one.id for one in outbox.deliveries(conn)] == ["delivery1", "delivery2", "delivery3"]


def test_owed_once_by_several_workers(database: Database, make_delivery: Make) -> None:
    """Two workers that settle the same thing at once owe each mail once, and neither fails."""
    added: list[int] = []

    def work(worker: int) -> None:
        made = [replace(make_delivery(number), id=f"w{worker}-{number}") for number in range(20)]
        added.append(_owe(database, *made))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(added) == 20
    assert len(added) == 4


def test_nothing_owed(database: Database) -> None:
    """A message may owe nothing."""
    assert _owe(database) == 0


def test_claimed_once_and_when_due(database: Database, make_delivery: Make, now: datetime) -> None:
    """A due mail is claimed once; its attempt counts; a later one waits."""
    _owe(database, make_delivery(1), make_delivery(2, due=now + timedelta(minutes=5)))
    assert _claim(database, now) == ["delivery1"]
    assert _claim(database, now) == []
    assert _claim(database, now + timedelta(minutes=5)) == ["delivery1", "delivery2"]
    with database.read() as conn:
        found = outbox.get(conn, "delivery1")
    assert found is not None
    assert found.attempts == 2


def test_life_of_a_mail(database: Database, make_delivery: Make, now: datetime) -> None:
    """Sealed, started, sent: the Message-ID stays, the file is given up, receipts go forward only."""
    _owe(database, make_delivery(1))
    _claim(database, now)
    with database.begin() as conn:
        outbox.mark_sealed(conn, "delivery1", message_id="<1@x>", sealed_file="delivery1.eml")
        assert outbox.sealed_files(conn) == {"delivery1.eml"}
        outbox.mark_started(conn, "delivery1", now=now)
        assert outbox.mark_sent(conn, "delivery1", now=now)
        found = outbox.by_message_id(conn, "<1@x>")
        assert outbox.sealed_files(conn) == set()
    assert found is not None
    assert (found.state, found.sent_at, found.sealed_file) == (DeliveryState.SENT, now, None)
    assert _claim(database, now + 9 * LEASE) == []
    with database.begin() as conn:
        assert outbox.mark_receipt(conn, "delivery1", DeliveryState.READ)
        assert not outbox.mark_receipt(conn, "delivery1", DeliveryState.DELIVERED)
        assert not outbox.mark_receipt(conn, "delivery1", DeliveryState.FAILED, reason="5.0.0")
    assert _state(database) is DeliveryState.READ


def test_receipt_quicker_than_we(database: Database, make_delivery: Make, now: datetime) -> None:
    """A receipt that comes before our own note of the sending is not undone by it."""
    _owe(database, make_delivery(1))
    _claim(database, now)
    with database.begin() as conn:
        assert outbox.mark_receipt(conn, "delivery1", DeliveryState.DELIVERED)
        assert not outbox.mark_sent(conn, "delivery1", now=now)
        found = outbox.get(conn, "delivery1")
    assert found is not None
    assert (found.state, found.sent_at) == (DeliveryState.DELIVERED, now)


def test_bounce_of_a_sent_mail(database: Database, make_delivery: Make, now: datetime) -> None:
    """A failure told later by the next host is a failure, with its reason."""
    _owe(database, make_delivery(1))
    with database.begin() as conn:
        outbox.mark_sent(conn, "delivery1", now=now)
        assert outbox.mark_receipt(conn, "delivery1", DeliveryState.FAILED, reason="5.1.1")
        found = outbox.get(conn, "delivery1")
    assert found is not None
    assert (found.state, found.reason) == (DeliveryState.FAILED, "5.1.1")


def test_interrupted_sending_is_uncertain(database: Database, make_delivery: Make, now: datetime) -> None:
    """A sending whose worker died is never claimed again by itself, and is told once as uncertain (I1, I2)."""
    _owe(database, make_delivery(1), make_delivery(2))
    _claim(database, now)
    with database.begin() as conn:
        outbox.mark_started(conn, "delivery1", now=now)
    later = now + 2 * LEASE
    assert _claim(database, later) == ["delivery2"]
    assert _state(database) is DeliveryState.QUEUED, "nobody was told yet"
    with database.begin() as conn:
        assert [one.id for one in outbox.interrupted(conn, now=now)] == []
        assert [one.id for one in outbox.interrupted(conn, now=later)] == ["delivery1"]
        assert [one.id for one in outbox.interrupted(conn, now=later)] == []
    assert _state(database) is DeliveryState.UNCERTAIN
    with database.begin() as conn:
        assert outbox.mark_sent(conn, "delivery1", now=later), "the worker was slow, not dead: its answer counts"


def test_told_to_come_later(database: Database, make_delivery: Make, now: datetime) -> None:
    """After a 4xx the mail is due again at its time, with the same sealed file and Message-ID."""
    _owe(database, make_delivery(1))
    _claim(database, now)
    due = now + timedelta(minutes=10)
    with database.begin() as conn:
        outbox.mark_sealed(conn, "delivery1", message_id="<1@x>", sealed_file="delivery1.eml")
        outbox.mark_started(conn, "delivery1", now=now)
        outbox.retry_later(conn, "delivery1", due=due)
    assert _claim(database, due - timedelta(seconds=1)) == []
    with database.begin() as conn:
        (again,) = outbox.claim_due(conn, now=due, lease=LEASE, limit=1)
    assert (again.message_id, again.sealed_file, again.started_at, again.attempts) == (
        "<1@x>",
        "delivery1.eml",
        None,
        2,
    )


@pytest.mark.parametrize("state", [DeliveryState.FAILED, DeliveryState.UNCERTAIN])
def test_a_person_sends_again(database: Database, make_delivery: Make, now: datetime, state: DeliveryState) -> None:
    """A failed or uncertain mail is sent again when a person says so, under the same Message-ID."""
    _owe(database, make_delivery(1))
    with database.begin() as conn:
        outbox.mark_sealed(conn, "delivery1", message_id="<1@x>", sealed_file="delivery1.eml")
        outbox.mark_started(conn, "delivery1", now=now)
        if state is DeliveryState.FAILED:
            outbox.mark_failed(conn, "delivery1", reason="5.7.1")
        else:
            outbox.mark_uncertain(conn, "delivery1")
    assert _claim(database, now + 9 * LEASE) == []
    with database.begin() as conn:
        assert outbox.requeue(conn, "delivery1", now=now)
        assert not outbox.requeue(conn, "delivery1", now=now)
        (again,) = outbox.claim_due(conn, now=now, lease=LEASE, limit=1)
    assert (again.message_id, again.attempts, again.reason) == ("<1@x>", 1, None)


def test_withheld_is_final(database: Database, make_delivery: Make, now: datetime) -> None:
    """A mail withheld because a right ended is neither sent nor put back."""
    _owe(database, make_delivery(1))
    with database.begin() as conn:
        assert outbox.mark_withheld(conn, "delivery1", reason="D2R-MAN02")
        assert not outbox.requeue(conn, "delivery1", now=now)
        assert not outbox.mark_failed(conn, "delivery1", reason="x")
    assert _claim(database, now) == []
    assert _state(database) is DeliveryState.WITHHELD


def test_sent_is_not_withheld(database: Database, make_delivery: Make, now: datetime) -> None:
    """What has left cannot be withheld any more."""
    _owe(database, make_delivery(1))
    with database.begin() as conn:
        outbox.mark_sent(conn, "delivery1", now=now)
        assert not outbox.mark_withheld(conn, "delivery1", reason="D2R-MAN02")


def test_slow_worker_withholds_nothing(database: Database, make_delivery: Make, now: datetime) -> None:
    """A worker that was slower than its lease keeps back nothing that another has claimed since; that one may (I4)."""
    _owe(database, make_delivery(1))
    with database.begin() as conn:
        (slow,) = outbox.claim_due(conn, now=now, lease=LEASE, limit=1)
        outbox.mark_sealed(conn, "delivery1", message_id="<1@x>", sealed_file="delivery1.eml")
        (quick,) = outbox.claim_due(conn, now=now + 2 * LEASE, lease=LEASE, limit=1)
        assert not outbox.mark_withheld(conn, "delivery1", reason="D2R-MAN02", attempt=slow.attempts)
        kept = outbox.get(conn, "delivery1")
        assert kept is not None
        assert (kept.state, kept.sealed_file, kept.reason) == (DeliveryState.QUEUED, "delivery1.eml", None)
        assert outbox.mark_withheld(conn, "delivery1", reason="D2R-MAN02", attempt=quick.attempts)
    assert _state(database) is DeliveryState.WITHHELD


def test_listed_by_folder_and_message(database: Database, make_delivery: Make, now: datetime) -> None:
    """The mails of a folder or of a message are listed, oldest first, and counted with the age of the oldest."""
    older = now - timedelta(hours=1)
    _owe(database, make_delivery(1, folder="f"), make_delivery(2, message="m2"), make_delivery(3, created_at=older))
    with database.read() as conn:
        assert [one.id for one in outbox.deliveries(conn, folder="f")] == ["delivery1"]
        assert [one.id for one in outbox.deliveries(conn, message="m2")] == ["delivery2"]
        assert outbox.queued(conn) == (3, older)


def test_slow_worker_does_not_send_twice(database: Database, make_delivery: Make, now: datetime) -> None:
    """A worker that was slower than its lease may not begin to send what another has claimed or sent since (I1)."""
    _owe(database, make_delivery(1))
    with database.begin() as conn:
        (slow,) = outbox.claim_due(conn, now=now, lease=LEASE, limit=1)
        later = now + 2 * LEASE
        (quick,) = outbox.claim_due(conn, now=later, lease=LEASE, limit=1)
        assert not outbox.mark_started(conn, "delivery1", now=later, attempt=slow.attempts)
        assert outbox.mark_started(conn, "delivery1", now=later, attempt=quick.attempts, lease=LEASE)
        assert not outbox.mark_started(conn, "delivery1", now=later, attempt=quick.attempts)
        assert outbox.interrupted(conn, now=later + LEASE) == [], "the lease counts from the beginning of the sending"
        outbox.mark_sent(conn, "delivery1", now=later)
        assert not outbox.mark_started(conn, "delivery1", now=later)


def test_dead_owner_gives_back(database: Database, make_delivery: Make, now: datetime) -> None:
    """The leases of a process known to be dead are given back at once, those of others are not."""
    _owe(database, make_delivery(1), make_delivery(2))
    with database.begin() as conn:
        outbox.claim_due(conn, now=now, lease=LEASE, limit=1, owner="dead")
        outbox.claim_due(conn, now=now, lease=LEASE, limit=1, owner="alive")
        assert outbox.release(conn, "dead") == 1
        (again,) = outbox.claim_due(conn, now=now, lease=LEASE, limit=10, owner="alive")
        assert (again.id, again.attempts) == ("delivery1", 2)
        assert outbox.release(conn, "dead") == 0


def test_told_later_though_believed_lost(database: Database, make_delivery: Make, now: datetime) -> None:
    """A slow worker that learns "not accepted" puts back a mail that was already believed uncertain."""
    _owe(database, make_delivery(1))
    _claim(database, now)
    with database.begin() as conn:
        outbox.mark_started(conn, "delivery1", now=now)
        assert len(outbox.interrupted(conn, now=now + 2 * LEASE)) == 1
        assert outbox.retry_later(conn, "delivery1", due=now + 3 * LEASE)
    assert _claim(database, now + 3 * LEASE) == ["delivery1"]


def test_lease_of_long_work_is_renewed(database: Database, make_delivery: Make, now: datetime) -> None:
    """Mails that are being sealed stay their worker's; those it lost, gave back or sent do not."""
    _owe(database, *(make_delivery(number, due=now) for number in (1, 2, 3, 4)))
    assert len(_claim(database, now)) == 4
    later = now + LEASE + timedelta(seconds=1)
    with database.begin() as conn:
        assert outbox.give_back(conn, "delivery2", attempt=1)
        outbox.mark_sent(conn, "delivery3", now=now)
        assert outbox.renew(conn, {f"delivery{one}": 1 for one in (1, 2, 3)}, later + LEASE) == 1
        assert outbox.renew(conn, {}, now) == 0
    assert set(_claim(database, later)) == {"delivery2", "delivery4"}
    with database.begin() as conn:
        assert outbox.renew(conn, {"delivery4": 1}, later + 9 * LEASE) == 0
