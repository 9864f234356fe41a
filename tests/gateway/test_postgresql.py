"""A whole gateway on PostgreSQL: one story from end to end, and several processes that share one database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import Draft, deposit
from dcc.gateway.instance import open_keys
from dcc.gateway.services import open_database
from dcc.gateway.settings import load_settings
from dcc.gateway.submission import NotAccepted, submit
from dcc.mailbox import audit, documents, folders, messages, outbox
from dcc.mailbox.records import ENDS, DeliveryState, Message, MessageState
from instancecopy import copied
from killable import SECONDS, Nursery
from postgres import PostgresServer, onto_postgresql

pytestmark = pytest.mark.peer("postgresql")


@pytest.fixture
def instance(made: Path, tmp_path: Path, postgres_server: PostgresServer) -> Path:
    """A demo instance whose state lies in PostgreSQL."""
    directory = tmp_path / "instance"
    copied(made, directory)
    onto_postgresql(directory, postgres_server)
    return directory


def send(directory: Path, address: str, count: int) -> list[str]:
    """Deposits, each its own; the ids of the 250s."""
    cast = Cast.load(directory)
    sender, to = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
    made = [deposit(cast, Draft("coordinator", "main"), datetime.now(UTC)) for _ in range(count)]
    return [submit(address, mail, sender=sender, recipient=to) for mail in made]


def wait(directory: Path, done: Callable[[list[Message], list[DeliveryState]], bool]) -> list[Message]:
    """Until messages and mails are as they should be."""
    deadline = time.monotonic() + SECONDS
    with open_database(load_settings(directory / "dcc.toml", {})) as database:
        while True:
            with database.read() as conn:
                found = messages.list_messages(conn)
                states = [one.state for one in outbox.deliveries(conn)]
            if done(found, states):
                return found
            assert time.monotonic() < deadline, (Counter(one.state for one in found), Counter(states))
            time.sleep(0.05)


def all_done(count: int) -> Callable[[list[Message], list[DeliveryState]], bool]:
    def told(found: list[Message], states: list[DeliveryState]) -> bool:
        ended = [one for one in found if one.state in ENDS]
        return len(ended) == len(found) == count and len(states) == 7 * count and set(states) == {DeliveryState.SENT}

    return told


def check(directory: Path, count: int) -> None:
    """Each deposit filed once, each reader told once for each, and the trail whole."""
    settings, cast = load_settings(directory / "dcc.toml", {}), Cast.load(directory)
    with open_database(settings) as database, database.read() as conn:
        folder = folders.folder(conn, cast.folder("main")["address"])
        assert folder is not None
        assert {one.state for one in messages.list_messages(conn)} == {MessageState.FILED}
        assert len(documents.documents(conn, folder.id)) == count
        owed = Counter(one.mailbox for one in outbox.deliveries(conn))
        assert audit.verify(conn, open_keys(settings).signing.certificate).ok
    assert set(owed.values()) == {count}
    assert owed == Counter(path.parent.parent.name for path in (directory / "sink").glob("*/new/*"))


def test_story(nursery: Nursery, instance: Path) -> None:
    """A deposit is received, filed and announced, and the audit verifies, as on SQLite; killed in between as well."""
    with nursery.serving(instance, DCC_KILL_AT="before-settled") as gateway:
        (queue_id,) = send(instance, gateway.ready()["smtp"], 1)
        assert gateway.ended(SECONDS)
    with nursery.serving(instance) as gateway:
        (found,) = wait(instance, all_done(1))
        gateway.stop()
    assert (found.id, found.attempts) == (queue_id, 2)
    check(instance, 1)


def test_processes_share_the_work(nursery: Nursery, instance: Path) -> None:
    """A door, and two processes that work and send: each message and each mail is done by one of them."""
    count = 8
    with nursery.serving(instance, "--role", "smtp") as door:
        send(instance, door.ready()["smtp"], count)
        with (
            nursery.serving(instance, "--role", "worker,relay") as first,
            nursery.serving(instance, "--role", "worker,relay") as second,
        ):
            wait(instance, all_done(count))
            for one in (first, second):
                one.stop()
        door.stop()
    check(instance, count)


def test_one_of_them_dies(nursery: Nursery, instance: Path) -> None:
    """A worker that is killed leaves its message to the other, which takes it within seconds, not after the lease."""
    with nursery.serving(instance, "--role", "smtp,relay") as door:
        address = door.ready()["smtp"]
        with nursery.serving(instance, "--role", "worker", DCC_KILL_AT="after-read") as doomed:
            doomed.ready()
            with nursery.serving(instance, "--role", "worker,relay", DCC_WORKER__THREADS="1") as other:
                other.ready()
                while not doomed.ended(0.3):
                    send(instance, address, 1)
                with open_database(load_settings(instance / "dcc.toml", {})) as database, database.read() as conn:
                    count = len(messages.list_messages(conn))
                wait(instance, all_done(count))
                other.stop()
        door.stop()
    check(instance, count)


def test_server_goes_away(nursery: Nursery, instance: Path, postgres_server: PostgresServer) -> None:
    """While the database is gone the door says 4xx and the gateway lives; when it is back, everything goes on."""
    with nursery.serving(instance) as gateway:
        address = gateway.ready()["smtp"]
        send(instance, address, 2)
        postgres_server.stop()
        try:
            with pytest.raises(NotAccepted) as told:
                send(instance, address, 1)
        finally:
            postgres_server.start()
        assert 400 <= told.value.code < 500
        assert not gateway.ended()
        send(instance, address, 1)
        wait(instance, all_done(3))
        gateway.stop()
    check(instance, 3)
