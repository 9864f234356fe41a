"""Threads that work: woken by work and not by the clock, outliving failures, ending in order."""

from __future__ import annotations

import os
import signal
import smtplib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcc.gateway import worker
from dcc.gateway.alive import Alive
from dcc.gateway.announce import Announcer
from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import Draft, deposit
from dcc.gateway.housekeeping import Housekeeper, clear_leftovers
from dcc.gateway.intake import Intake, IntakeEnvelope
from dcc.gateway.metrics import Metrics
from dcc.gateway.pipeline import Pipeline
from dcc.gateway.relaying import TryLater
from dcc.gateway.services import Services, open_database
from dcc.gateway.settings import load_settings
from dcc.gateway.sink import Sink
from dcc.gateway.submission import submit
from dcc.gateway.worker import Wake, WorkerGroup
from dcc.mailbox import messages, outbox
from dcc.mailbox.records import DeliveryState, MessageState
from inprocess import Recorder, Rooms
from killable import SECONDS, Nursery
from smtpscript import HELD, SILENCE, ScriptedServer


@pytest.fixture
def by_wake_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread looks for work by itself."""
    monkeypatch.setattr(worker, "IDLE_SECONDS", 3600.0)


@pytest.fixture
def groups() -> Iterator[Callable[..., WorkerGroup]]:
    """Started groups, ended with the test."""
    made: list[WorkerGroup] = []

    def start(
        work: Callable[[], int], wake: Wake, count: int = 1, at_end: Callable[[], None] | None = None
    ) -> WorkerGroup:
        made.append(WorkerGroup("test", work, wake, count, at_end).start())
        return made[-1]

    yield start
    for one in made:
        assert one.stop(SECONDS)


@pytest.mark.usefixtures("by_wake_alone")
def test_work_wakes_work(services: Services, groups: Callable[..., WorkerGroup]) -> None:
    """From the 250 to the last notice no step waits for a clock: each wakes the next."""

    def clock() -> datetime:
        return datetime.now(UTC)

    directory = services.settings.directory
    idle = {"pipeline": threading.Event(), "announcer": threading.Event()}
    pipeline = Pipeline(services, clock)
    announcer = Announcer(services, Sink(directory / "sink"), clock)

    def telling(name: str, work: Callable[[], int]) -> Callable[[], int]:
        def told() -> int:
            done = work()
            if not done:
                idle[name].set()
            return done

        return told

    groups(telling("pipeline", pipeline.run_once), services.wake)
    groups(telling("announcer", announcer.run_once), services.wake_relay)
    assert all(one.wait(SECONDS) for one in idle.values()), "both have looked, found nothing, and wait"
    cast = Cast.load(directory)
    sender, folder = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
    envelope = IntakeEnvelope("192.0.2.1", "client.example", None, sender, (folder,))
    intake = Intake(services, clock)
    with intake.begin(envelope) as writer:
        writer.write(deposit(cast, Draft("coordinator", "main"), clock()))
        intake.commit(envelope, writer)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with services.database.read() as conn:
            states = [one.state for one in outbox.deliveries(conn)]
        if len(states) == 7 and set(states) == {DeliveryState.SENT}:
            return
        time.sleep(0.02)
    raise AssertionError(states)


@pytest.mark.usefixtures("by_wake_alone")
def test_wake_between_looking_and_waiting_is_not_missed(groups: Callable[..., WorkerGroup]) -> None:
    """Work that comes while a thread is finding nothing is seen before it sleeps."""
    wake, seen = Wake(), threading.Event()
    looked = 0

    def work() -> int:
        nonlocal looked
        looked += 1
        if looked == 1:
            wake.set()  # it comes after we have looked
        else:
            seen.set()
        return 0

    groups(work, wake)
    assert seen.wait(SECONDS)


def test_thread_outlives_a_failing_store(groups: Callable[..., WorkerGroup], monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the store ends no thread: it is tried again after a moment."""
    monkeypatch.setattr(worker, "FAULT_SECONDS", 0.01)
    tries, done = [], threading.Event()

    def work() -> int:
        tries.append(1)
        if len(tries) < 4:
            raise OSError("no disk")
        done.set()
        return 0

    groups(work, Wake())
    assert done.wait(SECONDS)


def test_stop_finishes_what_is_in_flight(groups: Callable[..., WorkerGroup]) -> None:
    """At the end the item in work is finished, none is begun, and each thread says goodbye."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    finished = []

    def work() -> int:
        begun.set()
        assert go_on.wait(SECONDS)
        finished.append(1)
        return 1

    group = groups(work, Wake(), at_end=ended.set)
    assert begun.wait(SECONDS)
    assert not group.stop(0.05), "it is still in work"
    go_on.set()
    assert group.stop(SECONDS)
    assert finished == [1]
    assert ended.is_set()


class TestTheDead:
    """What a process held that has died."""

    def test_taken_over(self, services: Services) -> None:
        """Its messages and mails are free at once, and both kinds of workers are woken; those of the living stay."""
        rooms = Rooms(services)
        for _ in range(2):
            rooms.deposit()
        run = services.settings.directory / "run"
        dead, alive = Alive(run, "dead"), Alive(run, "alive")
        own = Alive(run, services.owner)
        for owner in ("dead", "alive"):
            with services.database.begin() as conn:
                messages.claim(conn, now=rooms.clock.at, lease=timedelta(hours=1), limit=1, owner=owner)  # fmt: skip
        housekeeper = Housekeeper(services, Metrics(), frozenset({"worker"}), own, rooms.clock)
        assert housekeeper.take_over() == 0
        dead.unfinished = True
        dead.leave()
        os.close(dead._handle)  # the kernel does it with the process
        before = (services.wake.generation, services.wake_relay.generation)
        assert housekeeper.take_over() == 1
        assert (services.wake.generation, services.wake_relay.generation) > before
        assert housekeeper.take_over() == 0
        assert rooms.pipeline.run_once(10) == 1
        for one in (alive, own):
            one.leave()
        assert list(run.glob("*.alive")) == []


def test_mail_taken_by_a_wrong_clock(services: Services) -> None:
    """Taken and planned while the clock was a year ahead: worked on and sent as soon as it has been put right (I1)."""
    rooms = Rooms(services)
    rooms.clock.later(days=365)
    message_id = rooms.deposit()
    rooms.clock.later(days=-365)
    own = Alive(services.settings.directory / "run", services.owner)
    housekeeper = Housekeeper(services, Metrics(), frozenset({"worker", "relay"}), own, rooms.clock)
    assert rooms.pipeline.run_once() == 0
    seen = services.wake.generation
    assert housekeeper.set_right() == 1
    assert services.wake.generation > seen
    assert rooms.pipeline.run_once() == 1
    assert rooms.message(message_id).state is MessageState.FILED
    assert housekeeper.set_right() == 0
    own.leave()


def test_leftovers(services: Services) -> None:
    """Files that nothing needs go, whatever left them; what a row needs stays."""
    rooms = Rooms(services)
    message_id = rooms.deposit()
    rooms.work()
    rooms.announcer(Recorder(*[TryLater("450")] * 7)).run_once()
    needed = set(services.outbox_directory.iterdir())
    assert len(needed) == 7
    documents = set(services.blobs.files())
    services.blobs.put([b"of a filing that did not come to pass"])
    for path in (
        services.spool.directory / "orphan.eml", services.spool.directory / f"{message_id}.part",
        services.outbox_directory / "left.eml", services.outbox_directory / "left.part",
    ):  # fmt: skip
        path.write_bytes(b"x")
    assert clear_leftovers(services, rooms.clock.at.replace(year=2020)) == 0, "they may be in work"
    assert clear_leftovers(services, datetime.now(UTC).replace(year=2100)) == 5
    assert set(services.outbox_directory.iterdir()) == needed
    assert set(services.blobs.files()) == documents
    assert [path.name for path in services.spool.directory.iterdir()] == [f"{message_id}.eml"]


def test_clear_original_left_by_a_crash(services: Services) -> None:
    """Killed between the end of a mail that came in clear and the removal of its bytes: they go at once (I3)."""
    rooms = Rooms(services)
    sender, folder = rooms.cast.person("coordinator")["mailbox"], rooms.cast.folder("main")["address"]
    mail = deposit(rooms.cast, Draft("coordinator", "main"), rooms.clock.at, encrypted=False)
    message_id = rooms.take(mail, sender, folder)
    spooled = services.spool.path(message_id)
    octets = spooled.read_bytes()
    rooms.work()
    assert not spooled.exists()
    spooled.write_bytes(octets)
    assert clear_leftovers(services, rooms.clock.at.replace(year=2020)) == 1
    assert not spooled.exists()
    with services.open_original(rooms.message(message_id)) as kept:
        assert kept.read() == octets


@contextmanager
def _in_data(door: str, sender: str, folder: str) -> Iterator[None]:
    """A client that is in the middle of its mail."""
    place, _, port = door.rpartition(":")
    with smtplib.SMTP(place, int(port), timeout=SECONDS) as client:
        client.ehlo()
        client.mail(sender)
        client.rcpt(folder)
        assert client.docmd("DATA")[0] == 354
        client.send("Subject: a\r\n")
        try:
            yield
        finally:
            client.close()


class TestSigterm:
    """SIGTERM with a mail on its way to the next host."""

    @pytest.fixture
    def host(self) -> Iterator[ScriptedServer]:
        """The next host."""
        with ScriptedServer() as found:
            yield found

    def _begun(
        self, instance: Path, host: ScriptedServer, nursery: Nursery, reply: str, *, busy_door: bool = False
    ) -> tuple[float, list[DeliveryState]]:
        config = instance / "dcc.toml"
        config.write_text(config.read_text().replace('kind = "sink"', f'kind = "smtp"\nport = {host.port}'))
        host.replies["end"].append(reply)
        cast = Cast.load(instance)
        mail = deposit(cast, Draft("coordinator", "main"), datetime.now(UTC))
        sender, folder = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
        with nursery.serving(instance, DCC_RELAY__CONNECTIONS="1") as gateway, ExitStack() as stack:
            submit(gateway.ready()["smtp"], mail, sender=sender, recipient=folder)
            assert host.asked.wait(SECONDS)
            if busy_door:
                stack.enter_context(_in_data(gateway.ready()["smtp"], sender, folder))
            begun = time.monotonic()
            gateway.send(signal.SIGTERM)
            while (instance / "run" / "ready.json").exists() and time.monotonic() < begun + SECONDS:
                time.sleep(0.02)  # until then it may not have heard, and begin another mail
            host.go_on()
            assert gateway.ended(SECONDS)
            spent = time.monotonic() - begun
        with open_database(load_settings(config, {})) as database, database.read() as conn:
            return spent, [one.state for one in outbox.deliveries(conn)]

    def test_mail_in_flight_is_finished(self, nursery: Nursery, instance: Path, host: ScriptedServer) -> None:
        """The mail that the next host is thinking about is waited for; the rest stays owed."""
        spent, states = self._begun(instance, host, nursery, HELD)
        assert spent < 30
        assert len(host.mails) == 1
        assert sorted(states) == sorted([DeliveryState.SENT, *[DeliveryState.QUEUED] * 6])
        assert host.verbs[-1] == "QUIT"

    def test_no_mail_is_begun_while_the_door_ends(self, nursery: Nursery, instance: Path, host: ScriptedServer) -> None:
        """A client in the middle of its mail holds the door up for seconds; the relay begins nothing in that time."""
        spent, states = self._begun(instance, host, nursery, HELD, busy_door=True)
        assert spent < 30
        assert sorted(states) == sorted([DeliveryState.SENT, *[DeliveryState.QUEUED] * 6])

    def test_host_that_never_answers(self, nursery: Nursery, instance: Path, host: ScriptedServer) -> None:
        """A next host that says nothing does not keep the gateway: it ends in 30 seconds, and the mail is not lost."""
        spent, states = self._begun(instance, host, nursery, SILENCE)
        assert spent < 30
        assert states == [DeliveryState.QUEUED] * 7
        config = instance / "dcc.toml"
        with nursery.serving(instance) as gateway, open_database(load_settings(config, {})) as database:
            gateway.ready()
            deadline = time.monotonic() + SECONDS
            while DeliveryState.QUEUED in states and time.monotonic() < deadline:
                time.sleep(0.05)
                with database.read() as conn:
                    found = outbox.deliveries(conn)
                # What tells the depositor of the uncertain one waits for its time
                told = [one.state for one in found if one.kind == "uncertain"]
                states = [one.state for one in found if one.kind != "uncertain"]
        wanted = sorted([DeliveryState.UNCERTAIN, *[DeliveryState.SENT] * 6])
        assert sorted(states) == wanted, [(one.state, one.attempts, one.due, one.started_at) for one in found]
        assert told == [DeliveryState.QUEUED]
