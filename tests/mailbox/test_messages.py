"""Received messages on both engines: durable, claimed once, moved by compare-and-set."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from dcc.mailbox import messages
from dcc.mailbox.database import Database
from dcc.mailbox.records import Message, MessageState, StageTiming

LEASE = timedelta(seconds=60)
Make = Callable[..., Message]


def _insert(database: Database, *made: Message) -> list[str]:
    with database.begin() as conn:
        return [messages.insert_received(conn, one) for one in made]


def test_written_as_given(database: Database, make_message: Make) -> None:
    """A message comes back exactly as it was written, with aware times."""
    made = make_message(1)
    _insert(database, made)
    with database.read() as conn:
        found = messages.get(conn, made.id)
    assert found == made
    assert found.received_at.utcoffset() == timedelta(0)


def test_retransmission_gets_the_first_id(database: Database, make_message: Make) -> None:
    """The same envelope and bytes, sent again while the first has no end, is the first message (facts/mail §1)."""
    first = make_message(1)
    again = replace(first, id="other", received_at=first.received_at + timedelta(minutes=1))
    assert _insert(database, first, again) == [first.id, first.id]
    with database.read() as conn:
        assert [one.id for one in messages.list_messages(conn)] == [first.id]


def test_other_envelope_is_another_message(database: Database, make_message: Make) -> None:
    """The same bytes to another recipient are another message."""
    first = make_message(1)
    other = replace(first, id="other", recipients=("second@example.test",))
    assert _insert(database, first, other) == [first.id, "other"]


def test_same_mail_after_its_end_is_new(database: Database, make_message: Make, now: datetime) -> None:
    """Once the first has its end, the same mail is a new message, so that it can be answered (acceptance 31)."""
    first = make_message(1)
    _insert(database, first)
    with database.begin() as conn:
        assert messages.settle(
            conn, first.id, expected=MessageState.RECEIVED, end=MessageState.FILED, now=now, stages=()
        )
    assert _insert(database, replace(first, id="again")) == ["again"]


def test_commit_repeated_after_doubt(database: Database, make_message: Make, now: datetime) -> None:
    """The same id written twice stays one message, even when it has its end already."""
    first = make_message(1)
    assert _insert(database, first) == [first.id]
    with database.begin() as conn:
        messages.settle(conn, first.id, expected=MessageState.RECEIVED, end=MessageState.HELD, now=now, stages=())
    assert _insert(database, first) == [first.id]


def test_retransmissions_at_once(database: Database, make_message: Make) -> None:
    """Eight sessions that deliver the same mail at once all get the same id."""
    first = make_message(1)
    ids: list[str] = []

    def deliver(number: int) -> None:
        ids.extend(_insert(database, replace(first, id=f"copy{number}")))

    _together(8, deliver)
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_claim_takes_due_messages_once(database: Database, make_message: Make, now: datetime) -> None:
    """Due messages are claimed in order and only once; later ones wait; an attempt is counted."""
    later = make_message(9, due=now + timedelta(hours=1))
    _insert(database, make_message(2), make_message(1), later)
    with database.begin() as conn:
        taken = messages.claim(conn, now=now, lease=LEASE, limit=10)
        assert [one.id for one in taken] == ["message1", "message2"]
        assert [one.attempts for one in taken] == [1, 1]
        assert taken[0].lease_until == now + LEASE
    with database.begin() as conn:
        assert messages.claim(conn, now=now, lease=LEASE, limit=10) == []


def test_expired_lease_returns(database: Database, make_message: Make, now: datetime) -> None:
    """A message whose worker died is claimed again after its lease, and the crash counts as an attempt."""
    _insert(database, make_message(1))
    with database.begin() as conn:
        messages.claim(conn, now=now, lease=LEASE, limit=1)
    with database.begin() as conn:
        assert messages.claim(conn, now=now + LEASE, lease=LEASE, limit=1) == []
    with database.begin() as conn:
        (again,) = messages.claim(conn, now=now + LEASE + timedelta(seconds=1), lease=LEASE, limit=1)
    assert again.attempts == 2


def test_dead_owner_gives_its_messages_back(database: Database, make_message: Make, now: datetime) -> None:
    """What a process held that is known to be dead is claimed again at once; the crash counts as an attempt."""
    with database.begin() as conn:
        for number in (1, 2):
            messages.insert_received(conn, make_message(number, due=now + timedelta(seconds=number)))
        at = now + timedelta(seconds=9)
        messages.claim(conn, now=at, lease=LEASE, limit=1, owner="dead")
        messages.claim(conn, now=at, lease=LEASE, limit=1, owner="alive")
        assert messages.release(conn, "dead") == 1
        (again,) = messages.claim(conn, now=at, lease=LEASE, limit=10, owner="alive")
    assert (again.id, again.attempts) == ("message1", 2)


def test_renewed_lease_is_kept(database: Database, make_message: Make, now: datetime) -> None:
    """Work that is long renews its lease and is not taken away."""
    _insert(database, make_message(1))
    with database.begin() as conn:
        messages.claim(conn, now=now, lease=LEASE, limit=1)
        assert messages.renew(conn, {"message1": 1}, now + 3 * LEASE) == 1
        assert messages.renew(conn, {}, now) == 0
    with database.begin() as conn:
        assert messages.claim(conn, now=now + 2 * LEASE, lease=LEASE, limit=1) == []


def test_lost_lease_is_not_renewed(database: Database, make_message: Make, now: datetime) -> None:
    """What was given back, claimed by another since, or has its end is not held by the worker that was slow."""
    for number in (1, 2, 3, 4):
        _insert(database, make_message(number))
    with database.begin() as conn:
        messages.claim(conn, now=now, lease=LEASE, limit=4)
        messages.defer(conn, "message1", until=now)
        messages.settle(conn, "message2", expected=MessageState.RECEIVED, end=MessageState.DONE, now=now, stages=())
        later = now + LEASE + timedelta(seconds=1)
        assert messages.renew(conn, {"message4": 1}, later + LEASE) == 1
        taken = messages.claim(conn, now=later, lease=LEASE, limit=4)
        assert {one.id for one in taken} == {"message1", "message3"}
        assert messages.renew(conn, {f"message{one}": 1 for one in (1, 2, 3)}, later + 9 * LEASE) == 0
        messages.defer(conn, "message3", until=later, attempt=1)
        assert messages.claim(conn, now=later, lease=LEASE, limit=4) == [], "a slow worker gives back only its own"


def test_deferred_message_waits(database: Database, make_message: Make, now: datetime) -> None:
    """A deferred message is free again at its time, not before."""
    _insert(database, make_message(1))
    with database.begin() as conn:
        messages.claim(conn, now=now, lease=LEASE, limit=1)
        messages.defer(conn, "message1", until=now + timedelta(minutes=5))
    with database.begin() as conn:
        assert messages.claim(conn, now=now + timedelta(minutes=4), lease=LEASE, limit=1) == []
        assert len(messages.claim(conn, now=now + timedelta(minutes=5), lease=LEASE, limit=1)) == 1


def test_concurrent_claims_never_share(database: Database, make_message: Make, now: datetime) -> None:
    """Four workers claim two hundred messages: each message goes to exactly one of them."""
    _insert(database, *(make_message(number) for number in range(200)))
    taken: list[str] = []

    def work(_number: int) -> None:
        while True:
            with database.begin() as conn:
                batch = messages.claim(conn, now=now, lease=LEASE, limit=3)
            if not batch:
                return
            taken.extend(one.id for one in batch)

    _together(4, work)
    assert len(taken) == 200
    assert len(set(taken)) == 200


def test_advance_is_compare_and_set(database: Database, make_message: Make, now: datetime) -> None:
    """A stage moves a message once; a second worker with the old state changes nothing."""
    _insert(database, make_message(1))
    timing = StageTiming("opened", now, 1.5)
    with database.begin() as conn:
        moved = messages.advance(
            conn,
            "message1",
            expected=MessageState.RECEIVED,
            to=MessageState.OPENED,
            stages=[timing],
            evidence='{"a":1}',
        )
        again = messages.advance(
            conn, "message1", expected=MessageState.RECEIVED, to=MessageState.OPENED, stages=[], evidence="{}"
        )
        found = messages.get(conn, "message1")
    assert (moved, again) == (True, False)
    assert found is not None
    assert (found.state, found.stages, found.evidence) == (MessageState.OPENED, (timing,), '{"a":1}')


def test_settled_once(database: Database, make_message: Make, now: datetime) -> None:
    """An end is written once, with its reason and documents, and is never claimed again."""
    _insert(database, make_message(1))
    with database.begin() as conn:
        end = {"expected": MessageState.RECEIVED, "now": now, "stages": ()}
        assert messages.settle(
            conn, "message1", end=MessageState.REFUSED, reason_code="D2R-MAN01", reason_parameters=[("a", "é")],
            documents=["d1"], **end,  # type: ignore[arg-type]
        )  # fmt: skip
        assert not messages.settle(conn, "message1", end=MessageState.FILED, **end)  # type: ignore[arg-type]
        found = messages.get(conn, "message1")
    assert found is not None
    assert (found.state, found.reason_code, found.reason_parameters) == (
        MessageState.REFUSED, "D2R-MAN01", (("a", "é"),),
    )  # fmt: skip
    assert (found.settled_at, found.documents) == (now, ("d1",))
    with database.begin() as conn:
        assert messages.claim(conn, now=now + timedelta(days=9), lease=LEASE, limit=1) == []


def test_an_end_is_one_of_four(database: Database, make_message: Make, now: datetime) -> None:
    """There is no other end than filed, done, held and refused."""
    _insert(database, make_message(1))
    with database.begin() as conn, pytest.raises(ValueError, match="end"):
        messages.settle(conn, "message1", expected=MessageState.RECEIVED, end=MessageState.DECIDED, now=now, stages=())


def test_held_message_is_reopened(database: Database, make_message: Make, now: datetime) -> None:
    """A held message is worked on again from the beginning, with new attempts; another end is not undone."""
    _insert(database, make_message(1), make_message(2))
    with database.begin() as conn:
        ends = (("message1", MessageState.HELD), ("message2", MessageState.REFUSED))
        for name, end in ends:
            messages.settle(conn, name, expected=MessageState.RECEIVED, end=end, now=now, stages=(), reason_code="X")
        assert messages.reopen(conn, "message1", now=now)
        assert not messages.reopen(conn, "message2", now=now)
        (taken,) = messages.claim(conn, now=now, lease=LEASE, limit=5)
    assert (taken.id, taken.attempts, taken.reason_code, taken.settled_at) == ("message1", 1, None, None)


def test_reopened_beside_its_twin(database: Database, make_message: Make, now: datetime) -> None:
    """A held message is reopened even while the same mail, sent again, is in work."""
    first = make_message(1)
    _insert(database, first)
    with database.begin() as conn:
        messages.settle(conn, first.id, expected=MessageState.RECEIVED, end=MessageState.HELD, now=now, stages=())
    _insert(database, replace(first, id="twin"))
    with database.begin() as conn:
        assert messages.reopen(conn, first.id, now=now)


def test_held_for_revocation_comes_back(database: Database, make_message: Make, now: datetime) -> None:
    """A message held because revocation was unknown is found again when its time has come (I10)."""
    _insert(database, make_message(1))
    with database.begin() as conn:
        messages.settle(
            conn, "message1", expected=MessageState.RECEIVED, end=MessageState.HELD, now=now, stages=(),
            reason_code="D2R-CRL03", due=now + timedelta(minutes=10),
        )  # fmt: skip
        assert messages.due_for_retry(conn, code="D2R-CRL03", now=now) == []
        assert messages.due_for_retry(conn, code="D2R-CRL03", now=now + timedelta(minutes=10)) == ["message1"]
        assert messages.due_for_retry(conn, code="903", now=now + timedelta(minutes=10)) == []


def test_depth_and_age(database: Database, make_message: Make, now: datetime) -> None:
    """Depth counts messages without an end; every state is reported, with its oldest."""
    _insert(database, make_message(1), make_message(2), make_message(3))
    with database.begin() as conn:
        messages.settle(conn, "message1", expected=MessageState.RECEIVED, end=MessageState.DONE, now=now, stages=())
        assert messages.queue_depth(conn) == 2
        found = messages.depth_by_state(conn)
        assert messages.unsettled_ids(conn) == {"message2", "message3"}
        assert messages.known_ids(conn, ["message1", *map(str, range(70_000)), "message2"]) == {"message1", "message2"}
    assert found[MessageState.RECEIVED] == (2, make_message(2).received_at)
    assert found[MessageState.HELD] == (0, None)
    assert set(found) == set(MessageState)


def test_replay_remembers_the_first(database: Database) -> None:
    """A signature seen before names the message that first carried it (R-REPLAY)."""
    with database.begin() as conn:
        assert messages.find_replay(conn, "k" * 64) is None
        assert messages.record_replay(conn, "k" * 64, "first") == "first"
        assert messages.record_replay(conn, "k" * 64, "second") == "first"
        assert messages.find_replay(conn, "k" * 64) == "first"


def test_hostile_envelope_is_stored(database: Database, make_message: Make) -> None:
    """NUL and lone surrogates in an envelope do not stop the message from being kept."""
    made = make_message(1, mail_from="a\x00\udcff@example.test", recipients=("\udcffb@example.test",), peer="é\x00")
    _insert(database, made)
    with database.read() as conn:
        found = messages.get(conn, made.id)
    assert found is not None
    assert "\x00" not in found.mail_from + found.peer


def _together(threads: int, work: Callable[[int], None]) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001 - told to the test below
            failures.append(error)

    running = [threading.Thread(target=guarded, args=(number,)) for number in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert failures == []
