"""Leases of long work: renewed while it lasts, so that nobody else takes it up, and not for ever (I1, I8)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dcc.gateway import pipeline
from dcc.gateway.leases import MOST_LEASES, Kind, Leases
from dcc.gateway.serve import start
from dcc.gateway.services import Services, open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import messages
from dcc.mailbox.records import DeliveryState, Message, MessageState
from inprocess import Recorder, Rooms
from instancecopy import copied

LEASE = timedelta(seconds=1.2)
LONG = 3.0  # seconds: more than two leases


@pytest.fixture
def short(made: Path, tmp_path: Path) -> Iterator[Services]:
    """An instance whose leases are tiny, and whose clock is the machine's."""
    directory = tmp_path / "short"
    copied(made, directory)
    read = load_settings(directory / "dcc.toml", {})
    worker = read.worker.model_copy(update={"lease_seconds": LEASE.total_seconds(), "threads": 2})
    relay = read.relay.model_copy(update={"lease_seconds": LEASE.total_seconds()})
    metrics = read.metrics.model_copy(update={"port": 0})
    with open_services(read.model_copy(update={"worker": worker, "relay": relay, "metrics": metrics})) as services:
        yield services


def slow_stage(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The first stage lasts longer than the lease; counts how often each message is opened."""
    opened: Counter[str] = Counter()
    name, state, stage = pipeline.STAGES[0]

    def slowly(services: Services, progress: Any) -> Any:
        opened[progress.message.id] += 1
        time.sleep(LONG)
        return stage(services, progress)

    monkeypatch.setattr(pipeline, "STAGES", ((name, state, slowly), *pipeline.STAGES[1:]))
    return opened


async def until(rooms: Rooms, message_id: str) -> Message:
    """The message, once it has its end."""
    async with asyncio.timeout(60):
        while True:
            found = await asyncio.to_thread(rooms.message, message_id)
            if found.settled_at is not None:
                return found
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("beating", [True, False])
def test_long_work_is_not_taken_up_twice(short: Services, monkeypatch: pytest.MonkeyPatch, *, beating: bool) -> None:
    """Two workers, and a stage longer than the lease: one opens the message; without renewal both would."""
    opened = slow_stage(monkeypatch)
    if not beating:
        monkeypatch.setattr(Leases, "renew", lambda *_: 0)
    rooms = Rooms(short)
    rooms.clock.at = datetime.now(UTC)
    message_id = rooms.deposit()

    async def serve() -> Message:
        async with AsyncExitStack() as stack:
            await start(short, frozenset({"worker"}), stack)
            return await until(rooms, message_id)

    found = asyncio.run(serve())
    assert found.state is MessageState.FILED
    assert (opened[message_id] == 1) is beating
    assert (found.attempts == 1) is beating
    assert len(rooms.deliveries()) == 7


def test_long_sending_is_not_taken_up_twice(short: Services) -> None:
    """Mails that wait while another of the same batch is being sent stay their worker's."""
    rooms = Rooms(short)
    rooms.clock.at = datetime.now(UTC)
    rooms.deposit()
    rooms.work()
    slow, other = Recorder(), Recorder()
    second = rooms.announcer(other)
    claimed = []

    def stall() -> None:
        slow.asked = lambda: None
        for _ in range(4):
            rooms.clock.at += LEASE / 2
            assert short.leases.renew(short.database, rooms.clock.at) > 0
            claimed.append(second.run_once())

    slow.asked = stall
    rooms.announcer(slow).run_once()
    assert claimed == [0, 0, 0, 0]
    assert len(slow.mails) == 7
    assert {one.state for one in rooms.deliveries()} == {DeliveryState.SENT}
    assert short.leases.renew(short.database, rooms.clock.at) == 0, "nothing is held any more"


def test_work_that_hangs_is_let_go(short: Services) -> None:
    """After a few leases a message is not held any more: it hangs, and the next worker's attempt is counted (I8)."""
    rooms = Rooms(short)
    message_id = rooms.deposit()
    passed = [0.0]
    leases = Leases(lambda: passed[0])
    kind = Kind("messages", LEASE, messages.renew)
    with short.database.begin() as conn:
        claimed = messages.claim(conn, now=rooms.clock.at, lease=LEASE, limit=1)
    leases.hold(kind, claimed)
    for _ in range(2 * MOST_LEASES):
        assert leases.renew(short.database, rooms.clock.at) == 1
        passed[0] += LEASE.total_seconds() / 2
        rooms.clock.at += LEASE / 2
    passed[0] += 0.1
    assert leases.renew(short.database, rooms.clock.at) == 0
    rooms.clock.at += LEASE * 2
    assert rooms.pipeline.run_once() == 1
    found = rooms.message(message_id)
    assert (found.state, found.attempts) == (MessageState.FILED, 2)


def test_claimed_again_stays_held(short: Services) -> None:
    """A thread that drops what it had does not drop what another thread of the process has claimed since."""
    rooms = Rooms(short)
    rooms.deposit()
    leases, kind = Leases(), Kind("messages", LEASE, messages.renew)
    with short.database.begin() as conn:
        (first,) = messages.claim(conn, now=rooms.clock.at, lease=LEASE, limit=1)
        (second,) = messages.claim(conn, now=rooms.clock.at + 2 * LEASE, lease=LEASE, limit=1)
    leases.hold(kind, [first])
    leases.hold(kind, [second])
    leases.drop(kind, [replace(first)])
    assert leases.renew(short.database, rooms.clock.at) == 1
    leases.drop(kind, [second])
    assert leases.renew(short.database, rooms.clock.at) == 0
