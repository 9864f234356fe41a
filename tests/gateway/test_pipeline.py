"""The stages: repeated without harm, taken up again after a crash, tried a bounded number of times, then held."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from dcc.gateway import pipeline, stages
from dcc.gateway.held import release_held
from dcc.gateway.pipeline import Pipeline
from dcc.gateway.services import Services, open_services
from dcc.gateway.settings import Settings
from dcc.mailbox import documents, messages
from dcc.mailbox.database import DatabaseFull, DatabaseGone
from dcc.mailbox.records import Message, MessageState
from dcc.mailbox.spool import StorageFull
from inprocess import Recorder, Rooms, failing


@pytest.fixture
def rooms(services: Services) -> Rooms:
    """A gateway without any mail."""
    return Rooms(services)


def claimed(rooms: Rooms) -> Message:
    with rooms.services.database.begin() as conn:
        (found,) = messages.claim(conn, now=rooms.clock.at, lease=timedelta(minutes=10), limit=1)
    return found


def filed(rooms: Rooms) -> int:
    folder = str(rooms.cast.folder("main")["id"])
    with rooms.services.database.read() as conn:
        return len(documents.documents(conn, folder))


def once(rooms: Rooms, message_id: str) -> None:
    """The message is filed: one document, one mail for each reader, one record of its end."""
    assert rooms.message(message_id).state is MessageState.FILED
    assert filed(rooms) == 1
    assert len(rooms.deliveries()) == 7
    assert rooms.audited("gateway:message:filed") == [None]


def test_stages_are_told(rooms: Rooms) -> None:
    """A filed message tells each of its stages, once and in order."""
    message_id = rooms.deposit()
    rooms.work()
    once(rooms, message_id)
    names = [one.name for one in rooms.message(message_id).stages]
    assert names == ["opened", "identified", "read", "decided", "settled"]


def test_repeating_is_harmless(rooms: Rooms) -> None:
    """The same message worked on twice from what was read of it before: the second changes nothing."""
    message_id = rooms.deposit()
    found = claimed(rooms)
    assert rooms.pipeline.process(found) is MessageState.FILED
    assert rooms.pipeline.process(found) is MessageState.FILED
    once(rooms, message_id)


def test_two_at_once(rooms: Rooms) -> None:
    """Two workers with the same message: one of them is first at each stage, and the effects are those of one."""
    message_id = rooms.deposit()
    found = claimed(rooms)
    start = threading.Barrier(3)

    def work() -> None:
        start.wait(60)
        Pipeline(rooms.services, rooms.clock).process(found)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    rooms.work()
    once(rooms, message_id)


def test_lease_runs_out(rooms: Rooms) -> None:
    """What a dead worker held is worked on after its lease, not before."""
    message_id = rooms.deposit()
    claimed(rooms)
    assert rooms.pipeline.run_once() == 0
    rooms.clock.later(minutes=11)
    assert rooms.pipeline.run_once() == 1
    once(rooms, message_id)


@pytest.mark.parametrize("harm", ["emptied", "cut", "one octet"])
def test_damaged_original_is_our_fault(rooms: Rooms, harm: str) -> None:
    """Bytes that changed on our own disk: not called "not encrypted" or "modified on its way"; held, and done when a
    copy has been put back (I1, I6).
    """
    message_id = rooms.deposit()
    spooled = rooms.services.spool.path(message_id)
    octets = spooled.read_bytes()
    middle = len(octets) // 2
    changed = octets[:middle] + bytes([octets[middle] ^ 1]) + octets[middle + 1 :]
    spooled.write_bytes({"emptied": b"", "cut": octets[:middle], "one octet": changed}[harm])
    for _ in range(rooms.services.settings.worker.attempts):
        assert rooms.pipeline.run_once() == 1
        rooms.clock.at = max(rooms.clock.at, rooms.message(message_id).due)
    found = rooms.message(message_id)
    assert (found.state, found.reason_code) == (MessageState.HELD, "D2R-SYS01")
    assert dict(found.reason_parameters) == {"kind": "OriginalDamagedError"}
    assert rooms.deliveries() == []
    spooled.write_bytes(octets)
    assert release_held(rooms.services, message_id, "a.martin", rooms.clock.at)
    rooms.work()
    once(rooms, message_id)


@pytest.mark.parametrize(
    "headers", [b"Subject: NICOLAS\r\n", b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\n"]
)
def test_held_in_clear_lies_under_a_key(rooms: Rooms, monkeypatch: pytest.MonkeyPatch, headers: bytes) -> None:
    """What came in clear and could not be worked on is not readable in the spool while a person is waited for (I3)."""
    address = rooms.services.settings.gateway.address
    octets = b"From: a@chd.example\r\nTo: " + address.encode() + b"\r\n" + headers + b"\r\nNICOLAS\r\n"
    message_id = rooms.take(octets, "a@chd.example", address)
    with monkeypatch.context() as broken:
        broken.setattr(stages.reports, "recognise", _broken)
        for _ in range(rooms.services.settings.worker.attempts):
            assert rooms.pipeline.run_once() == 1
            rooms.clock.at = max(rooms.clock.at, rooms.message(message_id).due)
    assert rooms.message(message_id).reason_code == "D2R-SYS01"
    assert not rooms.services.spool.path(message_id).exists()
    with rooms.services.open_original(rooms.message(message_id)) as kept:
        assert kept.read().endswith(octets)
    stored = [path.read_bytes() for path in rooms.services.settings.directory.rglob("*") if path.is_file()]
    assert not any(b"NICOLAS" in one for one in stored)
    assert release_held(rooms.services, message_id, "a.martin", rooms.clock.at)
    rooms.work()
    assert rooms.message(message_id).state is MessageState.REFUSED


def _broken(*_: object, **__: object) -> None:
    raise ArithmeticError


def test_failing_stage_is_tried_then_held(rooms: Rooms) -> None:
    """A stage that cannot be done is tried again after growing delays, then held with its reason; a person who puts
    the cause right releases the message, and it ends as if nothing had been (I2).
    """
    message_id = rooms.deposit()
    spooled = rooms.services.spool.path(message_id)
    away = spooled.with_suffix(".away")
    spooled.rename(away)
    delays = []
    for _ in range(rooms.services.settings.worker.attempts - 1):
        assert rooms.pipeline.run_once() == 1
        found = rooms.message(message_id)
        assert found.state is MessageState.RECEIVED
        delays.append((found.due - rooms.clock.at).total_seconds())
        assert rooms.pipeline.run_once() == 0, "not before it is due"
        rooms.clock.at = found.due
    assert delays == [10, 20, 40, 80]
    assert rooms.pipeline.run_once() == 1
    found = rooms.message(message_id)
    assert (found.state, found.reason_code) == (MessageState.HELD, "D2R-SYS01")
    assert dict(found.reason_parameters) == {"kind": "FileNotFoundError"}
    assert rooms.audited("gateway:message:held") == ["D2R-SYS01"]
    assert rooms.deliveries() == []
    away.rename(spooled)
    assert release_held(rooms.services, message_id, "a.martin", rooms.clock.at)
    rooms.work()
    once(rooms, message_id)


@pytest.mark.parametrize("each_stage", [False, True])
@pytest.mark.parametrize("committed", [False, True])
def test_store_fails_at_any_moment(
    rooms: Rooms, committed: bool, each_stage: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever transaction fails, and whether or not it took effect, the message ends once, without waiting for a
    lease once the store is back (I1); with a commit after each stage, and with quick stages together (decision 0010).
    """
    monkeypatch.setattr(pipeline, "QUICK_MS", 0.0 if each_stage else 1e9)
    number, failed = 0, True
    while failed:
        number += 1
        message_id = rooms.deposit()
        with failing(rooms.services.database, number, committed=committed):
            try:
                rooms.pipeline.run_once()
                failed = False
            except DatabaseGone:
                failed = True
            failed = failed or rooms.message(message_id).state is not MessageState.FILED
        lease = timedelta(seconds=rooms.services.settings.worker.lease_seconds)
        if not (committed and number == 1):  # the claim itself: we never learned which message is ours
            lease = timedelta(seconds=rooms.services.settings.worker.retry_seconds)
        rooms.clock.at += lease + timedelta(seconds=1)
        rooms.work()
        assert rooms.message(message_id).state is MessageState.FILED
        assert filed(rooms) == number
    assert number > (4 if each_stage else 1)
    assert len(rooms.audited("gateway:message:filed")) == number
    assert len(rooms.deliveries()) == 7 * number


@pytest.fixture
def impatient(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rooms]:
    """A gateway that waits for a locked database only briefly."""
    monkeypatch.setattr("dcc.mailbox.database.BUSY_SECONDS", 0.2)
    with open_services(settings) as services:
        yield Rooms(services)


def test_locked_database(impatient: Rooms) -> None:
    """Another program holds the database: the door says later, nothing is lost, and work goes on when it is free."""
    message_id = impatient.deposit()
    engine = create_engine(impatient.services.settings.database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as holder:
        holder.execute(text("BEGIN IMMEDIATE"))
        for attempt in (impatient.pipeline.run_once, impatient.deposit, impatient.announcer(Recorder()).run_once):
            with pytest.raises(DatabaseGone):
                attempt()
        holder.execute(text("ROLLBACK"))
    engine.dispose()
    assert [path.stem for path in impatient.services.spool.directory.glob("*.eml")] == [message_id]
    impatient.work()
    once(impatient, message_id)


def test_read_only_database(impatient: Rooms) -> None:
    """A database that cannot be written: nothing is taken and nothing ends, until it can."""
    message_id = impatient.deposit()
    engine = impatient.services.database.engine
    engine.dispose()

    def only_read(connection: object, _record: object) -> None:
        connection.execute("PRAGMA query_only=ON")  # type: ignore[attr-defined]

    from sqlalchemy import event

    event.listen(engine, "connect", only_read)
    for attempt in (impatient.pipeline.run_once, impatient.deposit, impatient.announcer(Recorder()).run_once):
        with pytest.raises(DatabaseGone):
            attempt()
    event.remove(engine, "connect", only_read)
    engine.dispose()
    impatient.work()
    once(impatient, message_id)


class TestFullDisk:
    """Everything that an instance keeps lies on one small disk."""

    @pytest.fixture
    def disk(self, small_disk: Callable[[str], Path], instance: Path) -> Path:
        """Where `var` lies."""
        disk = small_disk("8m")
        shutil.copytree(instance / "var", disk, dirs_exist_ok=True)
        shutil.rmtree(instance / "var")
        (instance / "var").symlink_to(disk)
        return disk

    def _fill(self, disk: Path, leave: int) -> Path:
        filler = disk / "filler"
        room = shutil.disk_usage(disk).free - leave
        filler.write_bytes(b"x" * max(0, room))
        return filler

    @pytest.mark.parametrize("leave", [0, 4096, 20_000, 60_000, 200_000])
    def test_room_comes_back(self, disk: Path, settings: Settings, leave: int) -> None:
        """However little room is left, nothing is taken without a place for it, and nothing that was taken is lost."""
        with open_services(settings) as services:
            rooms = Rooms(services)
            first = rooms.deposit()
            filler = self._fill(disk, leave)
            host = Recorder()
            announcer = rooms.announcer(host)
            taken = [first]
            for attempt in (rooms.deposit, rooms.work, announcer.run_once, rooms.deposit, rooms.work):
                try:
                    got = attempt()
                except (StorageFull, DatabaseFull, DatabaseGone):
                    continue
                taken += [got] if isinstance(got, str) else []
            filler.unlink()
            for _ in range(4):
                rooms.clock.later(hours=1)
                rooms.work()
                while announcer.run_once():
                    pass
            assert {rooms.message(one).state for one in taken} == {MessageState.FILED}
            assert filed(rooms) == len(taken)
            boxes = [(box, octets) for box, octets in host.mails]
            assert len(boxes) == 7 * len(taken)
            assert len(rooms.audited("gateway:delivery:sent")) == 7 * len(taken)

    def test_no_room_for_documents(self, rooms: Rooms, small_disk: Callable[[str], Path], settings: Settings) -> None:
        """No room for the documents alone, for longer than we try: held with its reason, and filed when released."""
        disk = small_disk("64k")
        (disk / "filler").write_bytes(b"x" * 60_000)
        storage = settings.storage.model_copy(update={"documents": disk})
        with open_services(settings.model_copy(update={"storage": storage})) as services:
            full = Rooms(services)
            message_id = full.deposit()
            for _ in range(6):
                full.work()
                full.clock.later(minutes=10)
            found = full.message(message_id)
            assert (found.state, found.reason_code) == (MessageState.HELD, "D2R-SYS01")
            assert dict(found.reason_parameters) == {"kind": "StorageFull"}
            assert filed(full) == 0
            (disk / "filler").unlink()
            assert list(disk.rglob("*.part")) == []
            assert release_held(services, message_id, "a.martin", full.clock.at)
            full.work()
            once(full, message_id)
