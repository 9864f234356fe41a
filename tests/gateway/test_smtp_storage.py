"""Full disk, full queue, absent database: the sender is told to come again, and nothing is lost (I1)."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection

from dcc.gateway.intake import Intake, Room
from dcc.gateway.services import open_services
from dcc.mailbox.database import DatabaseFull, DatabaseGone
from dcc.mailbox.spool import StorageFull
from doors import GATEWAY, MAIL, SENDER, RunningDoor, client, opened, send, spooled, stored, until

if TYPE_CHECKING:
    from conftest import Served
    from dcc.gateway.services import Services
    from dcc.gateway.settings import Settings

LARGE = MAIL + b"0123456789abcdef\r\n" * 300_000


@pytest.mark.parametrize(
    ("error", "code"),
    [(StorageFull("x"), 452), (DatabaseFull("x"), 452), (DatabaseGone("x"), 451), (OSError("x"), 451)],
)
def test_failures_are_temporary(
    door: RunningDoor, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """A full disk is 452, an absent database 451, nothing is kept, and the next mail is taken."""

    def fail(_envelope: object, _writer: object) -> str:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(door.door.intake, "commit", fail)
        assert send(door, MAIL)[0] == code
    assert not spooled(door.services)
    assert send(door, MAIL)[0] == 250


@pytest.mark.parametrize("asked", ["mail", "rcpt"])
def test_absent_database_before_data(door: RunningDoor, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    """A database that does not answer at MAIL or RCPT is 451: no recipient is called unknown."""

    def gone() -> contextlib.AbstractContextManager[Connection]:
        raise DatabaseGone("x")

    with client(door) as smtp:
        if asked == "rcpt":
            assert smtp.mail(SENDER)[0] == 250
        with monkeypatch.context() as patch:
            patch.setattr(door.services.database, "read", gone)
            code, text = smtp.mail(SENDER) if asked == "mail" else smtp.rcpt("inconnu@dcc.example")
        assert (code, text[:5]) == (451, b"4.3.0")


@pytest.mark.parametrize("place", ["documents", "outbox", "proofs", "work"])
def test_no_room_where_it_would_be_filed(services: Services, small_disk: Callable[[str], Path], place: str) -> None:
    """Room for the mail, and none for what comes of it: not taken, rather than taken and held for a person."""
    disk = small_disk("1m")
    storage = services.settings.storage.model_copy(update={place: disk})
    smtp = services.settings.smtp.model_copy(update={"free_disk_bytes": 600_000})
    settings = services.settings.model_copy(update={"storage": storage, "smtp": smtp})
    with open_services(settings) as changed:
        assert Intake(changed, lambda: datetime.now(UTC)).room() is Room.YES
        assert Intake(changed, lambda: datetime.now(UTC)).room(700_000) is Room.DISK_FULL
        (disk / "filler").write_bytes(b"x" * 700_000)
        assert Intake(changed, lambda: datetime.now(UTC)).room() is Room.DISK_FULL


@pytest.mark.parametrize("written", [False, True])
def test_line_to_the_database_breaks_during_the_commit(
    door: RunningDoor, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    """When nobody knows whether the row was written, its file stays: the retransmission finds one of both, whole."""
    real = door.services.database.begin

    @contextlib.contextmanager
    def breaks() -> Iterator[Connection]:
        with real() as conn:
            yield conn
            if not written:
                conn.rollback()
        raise DatabaseGone("x")

    with monkeypatch.context() as patch:
        patch.setattr(door.services.database, "begin", breaks)
        assert send(door, MAIL)[0] == 451
    assert len(stored(door.services)) == written
    assert len(spooled(door.services)) == 1
    code, text = send(door, MAIL)
    (message,) = stored(door.services)
    assert (code, text) == (250, f"2.0.0 queued as {message.id}")
    assert door.services.spool.path(message.id).read_bytes().endswith(MAIL)


def test_no_connection_to_the_database_leaves_no_file(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the row was certainly not written, its file goes."""

    def gone() -> contextlib.AbstractContextManager[Connection]:
        raise DatabaseGone("x")

    with monkeypatch.context() as patch:
        patch.setattr(door.services.database, "begin", gone)
        assert send(door, MAIL)[0] == 451
    assert not spooled(door.services)


def test_files_that_may_not_grow(served: Served) -> None:
    """When the system refuses to let the file grow in the middle of DATA, the sender gets 452 and nothing is kept."""
    spool = served.directory / "var" / "spool"
    before = sorted(spool.iterdir())
    soft, hard = resource.prlimit(served.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (2 << 20, hard))
    try:
        code, text = send(served, LARGE)
        assert (code, text[:5]) == (452, "4.3.1")
        assert send(served, MAIL)[0] == 250
    finally:
        resource.prlimit(served.pid, resource.RLIMIT_FSIZE, (soft, hard))
    assert len(sorted(spool.iterdir())) == len(before) + 1
    assert send(served, LARGE)[0] == 250


def test_full_disk_of_the_spool(settings: Settings, small_disk: Callable[[str], Path]) -> None:
    """ENOSPC in the middle of DATA is 452 4.3.1; the disk is free again, and the next mail is taken."""
    disk = small_disk("2m")
    storage = settings.storage.model_copy(update={"spool": disk})
    with open_services(settings.model_copy(update={"storage": storage})) as services, opened(services) as door:
        code, text = send(door, LARGE)
        assert (code, text[:5]) == (452, "4.3.1")
        assert not spooled(services)
        assert not stored(services)
        with client(door) as smtp:
            code, text = smtp.mail(SENDER, [f"SIZE={len(LARGE)}"])  # announced, it is refused before it is sent
            assert (code, text[:5]) == (452, b"4.3.1")
        assert send(door, MAIL)[0] == 250
        (disk / "filler").write_bytes(b"x" * (services.spool.free_bytes() - 4096))
        assert send(door, MAIL + b"x" * 8000 + b"\r\n")[0] == 452
        assert len(spooled(services)) == 2


def test_full_disk_of_the_database(settings: Settings, small_disk: Callable[[str], Path]) -> None:
    """SQLITE_FULL is 452 4.3.1, the file of the message goes, what was taken before is there, and so is the next."""
    disk = small_disk("4m")
    file = settings.directory / "var" / "dcc.sqlite"
    (disk / file.name).write_bytes(file.read_bytes())
    database = settings.database.model_copy(update={"url": f"sqlite:////{disk / file.name}"})
    with open_services(settings.model_copy(update={"database": database})) as services, opened(services) as door:
        assert send(door, MAIL)[0] == 250
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
            while True:
                out.write(b"x" * 4096)
        told = set()
        for number in range(40):  # the log of the database has some room left
            code, text = send(door, MAIL + f"{number}\r\n".encode())
            told.add((code, text[:5]))
            if code != 250:
                break
        assert told <= {(250, "2.0.0"), (452, "4.3.1")}
        assert (452, "4.3.1") in told
        assert len(spooled(services)) == len(stored(services)) > 0
        filler.unlink()
        assert send(door, MAIL + b"after\r\n")[0] == 250
        assert len(spooled(services)) == len(stored(services))


def test_back_pressure(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the queue's high-water mark the door says later at MAIL."""
    monkeypatch.setattr("dcc.gateway.intake.READY_SECONDS", 0)
    with opened(services, queue_high_water=2) as running:
        assert send(running, MAIL)[0] == 250
        assert send(running, MAIL + b"x\r\n")[0] == 250
        code, text = send(running, MAIL + b"y\r\n")
        assert (code, text[:5]) == (451, "4.3.2")


def test_free_disk_is_looked_at_before_anything_is_received(services: Services) -> None:
    """Below the floor of free disk MAIL gets 452, and so does an announced size that would go below it."""
    with opened(services, free_disk_bytes=1 << 60) as running, client(running) as smtp:
        assert smtp.mail(SENDER)[0] == 452
    free = services.spool.free_bytes()
    with opened(services, free_disk_bytes=free // 2, message_size=free * 2) as running, client(running) as smtp:
        assert smtp.mail(SENDER, [f"SIZE={free}"])[0] == 452
        assert smtp.mail(SENDER, ["SIZE=1000"])[0] == 250
        assert smtp.rcpt(GATEWAY)[0] == 250


def test_the_spool_is_gone(door: RunningDoor) -> None:
    """A spool that cannot be written is 451, told after all of DATA was read."""
    folder = door.services.spool.directory
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.write_bytes(b"")  # statvfs answers, nothing can be made inside
    assert send(door, LARGE)[0] == 451
    assert send(door, MAIL)[0] == 451
    folder.unlink()
    aside.rename(folder)
    assert send(door, MAIL)[0] == 250
    until(lambda: len(spooled(door.services)) == 1)
