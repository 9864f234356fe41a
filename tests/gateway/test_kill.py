"""kill -9 at every named point and at random: nothing that got its 250 is lost, filed twice or told twice (I1)."""

from __future__ import annotations

import random
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Iterator
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
from dcc.mailbox.records import ENDS, Delivery, DeliveryState, Document, Message, MessageState
from killable import SECONDS, Gateway, Nursery
from smtpscript import ScriptedServer

BEFORE_250 = ("after-rename", "after-row")
AT_THE_DOOR = (*BEFORE_250, "after-250")
STAGES = ("after-opened", "after-identified", "after-read", "before-settled", "after-settled")
SENDING = ("after-sealed", "after-relay")


class Left:
    """What an instance holds after everything has come to its end."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cast = Cast.load(directory)
        settings = load_settings(directory / "dcc.toml", {})
        with open_database(settings) as database:
            deadline = time.monotonic() + SECONDS
            while True:
                with database.read() as conn:
                    self.messages: list[Message] = messages.list_messages(conn, limit=10_000)
                    owed = outbox.deliveries(conn)
                    folder = folders.folder(conn, self.cast.folder("main")["address"])
                    assert folder is not None
                    self.documents: list[Document] = documents.documents(conn, folder.id)
                    self.verified = audit.verify(conn, open_keys(settings).signing.certificate)
                # What tells of an uncertain mail waits for its time
                self.notices: list[Delivery] = [one for one in owed if one.kind == "uncertain"]
                self.deliveries: list[Delivery] = [one for one in owed if one.kind != "uncertain"]
                waiting = [one.id for one in self.messages if one.state not in ENDS]
                waiting += [one.id for one in self.deliveries if one.state is DeliveryState.QUEUED]
                if not waiting:
                    break
                assert time.monotonic() < deadline, f"{waiting} have no end"
                time.sleep(0.05)

    def sink(self) -> Counter[str]:
        """Mails in the Maildirs, by mailbox."""
        return Counter(path.parent.parent.name for path in (self.directory / "sink").glob("*/new/*"))

    def told(self, person: str, kinds: tuple[str, ...] = ("report", "notice")) -> list[Delivery]:
        """The mails owed to a person."""
        box = self.cast.person(person)["mailbox"]
        return [one for one in self.deliveries if one.mailbox == box and one.kind in kinds]


READERS = ("oncologist", "secretary", "gp", "pathologist", "no_encryption", "automaton")


def _mail(directory: Path) -> bytes:
    return deposit(Cast.load(directory), Draft("coordinator", "main"), datetime.now(UTC).replace(microsecond=0))


def _submit(gateway: Gateway, mail: bytes) -> str | None:
    """As a mail client does: the id of the 250, or None without an answer."""
    told = gateway.ready()
    cast = Cast.load(gateway.directory)
    if not told:
        return None
    sender, to = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
    try:
        return submit(told["smtp"], mail, sender=sender, recipient=to)
    except (OSError, smtplib.SMTPServerDisconnected, NotAccepted):
        return None


def _taken(nursery: Nursery, directory: Path, mail: bytes) -> str:
    """Taken at the door of a process that does nothing else: a worker beside it may die before the 250 has left."""
    with nursery.serving(directory, "--role", "smtp") as gateway:
        queue_id = _submit(gateway, mail)
        gateway.stop()
    assert queue_id is not None
    return queue_id


def _check(left: Left, ids: set[str]) -> None:
    """One filing, one mail for each reader and deposit, and a trail that verifies."""
    ended = {one.id: one.state for one in left.messages}
    assert ids <= set(ended)
    assert set(ended.values()) == {MessageState.FILED}
    assert len(left.documents) == 1
    for reader in READERS:
        assert len(left.told(reader)) == 1, reader
    assert {one.state for one in left.deliveries} == {DeliveryState.SENT}
    assert left.sink() == Counter(one.mailbox for one in left.deliveries)
    assert left.verified.ok, left.verified


@pytest.mark.parametrize("point", [*BEFORE_250, "after-250", *STAGES, *SENDING])
def test_killed_at(nursery: Nursery, instance: Path, point: str) -> None:
    """Killed at this point and started again, the message ends once: one filing, one mail a reader, audit whole."""
    mail = _mail(instance)
    queue_id = None
    if point not in AT_THE_DOOR:
        queue_id = _taken(nursery, instance, mail)
    with nursery.serving(instance, DCC_KILL_AT=point) as gateway:
        if point in AT_THE_DOOR:
            queue_id = _submit(gateway, mail)
        assert gateway.ended(SECONDS), "the point was never passed"
        assert (queue_id is None) == (point in BEFORE_250)
    with nursery.serving(instance) as gateway:
        if queue_id is None:  # the client was told nothing: it sends again
            queue_id = _submit(gateway, mail)
        assert queue_id is not None
        left = Left(instance)
        gateway.stop()
    _check(left, {queue_id})
    if point == "after-rename":
        assert len(list((instance / "var" / "spool").glob("*.eml"))) == 2, "the orphan stays for a day"


def test_killed_again_and_again(nursery: Nursery, instance: Path) -> None:
    """Killed at each stage in turn, always with the same message, it still ends once."""
    ids = {_taken(nursery, instance, _mail(instance))}
    for point in (*STAGES[:3], "after-sealed"):
        with nursery.serving(instance, DCC_KILL_AT=point, DCC_WORKER__ATTEMPTS="20") as gateway:
            assert gateway.ended(SECONDS)
    with nursery.serving(instance) as gateway:
        left = Left(instance)
        gateway.stop()
    _check(left, ids)
    assert left.messages[0].attempts == 4


def test_message_that_always_kills_is_held(nursery: Nursery, instance: Path) -> None:
    """A message that ends the process each time is set aside after the attempts of the settings, with its reason."""
    _taken(nursery, instance, _mail(instance))
    options = {"DCC_KILL_AT": "before-settled", "DCC_WORKER__ATTEMPTS": "2"}
    with nursery.serving(instance, **options) as gateway:
        assert gateway.ended(SECONDS)
    with nursery.serving(instance, **options) as gateway:
        assert gateway.ended(SECONDS)
    with nursery.serving(instance, DCC_WORKER__ATTEMPTS="2") as gateway:
        left = Left(instance)
        gateway.stop()
    (message,) = left.messages
    assert (message.state, message.reason_code) == (MessageState.HELD, "D2R-SYS01")
    assert left.documents == []
    assert left.verified.ok


class TestRelayed:
    """With a real next host, which takes a mail as often as it is sent."""

    @pytest.fixture
    def host(self) -> Iterator[ScriptedServer]:
        """The next host."""
        with ScriptedServer() as found:
            yield found

    @pytest.fixture
    def relayed(self, instance: Path, host: ScriptedServer) -> Path:
        """An instance that sends there."""
        config = instance / "dcc.toml"
        told = config.read_text().replace('kind = "sink"', f'kind = "smtp"\nport = {host.port}')
        config.write_text(told)
        return instance

    @pytest.mark.parametrize(
        ("point", "arrived", "state"),
        [
            ("after-sealed", 1, DeliveryState.SENT),
            ("after-started", 0, DeliveryState.UNCERTAIN),
            ("after-relay", 1, DeliveryState.UNCERTAIN),
        ],
    )
    def test_killed_at(
        self, nursery: Nursery, relayed: Path, host: ScriptedServer, point: str, arrived: int, state: DeliveryState
    ) -> None:
        """From the moment DATA may have begun, a mail that was being sent is uncertain: never sent twice by itself."""
        _taken(nursery, relayed, _mail(relayed))
        with nursery.serving(relayed, DCC_KILL_AT=point, DCC_RELAY__CONNECTIONS="1") as gateway:
            assert gateway.ended(SECONDS)
        with nursery.serving(relayed) as gateway:
            left = Left(relayed)
            gateway.stop()
        assert len(left.documents) == 1
        states = Counter(one.state for one in left.deliveries)
        # One mail was in the hands of the process that died
        assert states == Counter({DeliveryState.SENT: len(left.deliveries) - 1}) + Counter({state: 1})
        received = Counter(one.recipient for one in host.mails)
        assert set(received.values()) == {1}
        for one in left.deliveries:
            if one.state is state:
                assert received[one.mailbox] == arrived
        assert len(left.notices) == (state is DeliveryState.UNCERTAIN)
        assert left.verified.ok

    def test_at_random(self, nursery: Nursery, relayed: Path, host: ScriptedServer) -> None:
        """Killed at random under load: what was acknowledged ends once, and nobody receives a mail twice."""
        left = _storm(nursery, relayed, rounds=4)
        received = Counter((one.recipient, _message_id(one.octets)) for one in host.mails)
        assert set(received.values()) == {1}
        states = Counter(one.state for one in left.deliveries)
        assert set(states) <= {DeliveryState.SENT, DeliveryState.UNCERTAIN}
        assert states[DeliveryState.UNCERTAIN] <= 2 * 4, "at most what the threads were sending at each kill"
        sent = {one.message_id for one in left.deliveries if one.state is DeliveryState.SENT}
        assert sent <= {message_id for _, message_id in received}


def test_at_random(nursery: Nursery, instance: Path) -> None:
    """Killed at random under load, with a sink that may be asked twice: everything ends once, nothing is uncertain."""
    left = _storm(nursery, instance, rounds=5)
    assert {one.state for one in left.deliveries} == {DeliveryState.SENT}
    assert left.sink() == Counter(one.mailbox for one in left.deliveries)


def _message_id(octets: bytes) -> str:
    head = octets.partition(b"\r\n\r\n")[0].decode()
    return next(line.split(" ", 1)[1] for line in head.split("\r\n") if line.lower().startswith("message-id:"))


def _storm(nursery: Nursery, directory: Path, rounds: int) -> Left:
    """Clients send without pause, each its own mails, and again until they have their 250; the gateway is killed."""
    chance = random.Random(directory.name)
    mails = [_mail(directory) for _ in range(3 * rounds)]
    waiting = list(mails)
    acknowledged: dict[str, int] = {}
    for _ in range(rounds):
        with nursery.serving(directory, DCC_WORKER__ATTEMPTS="50") as gateway:
            gateway.ready()
            clients = [threading.Thread(target=_client, args=(gateway, waiting, mails, acknowledged)) for _ in range(2)]
            for one in clients:
                one.start()
            gateway.ended(chance.uniform(0.05, 0.6))
            gateway.kill()
            for one in clients:
                one.join(SECONDS)
    with nursery.serving(directory, DCC_WORKER__ATTEMPTS="50") as gateway:
        gateway.ready()
        _client(gateway, waiting, mails, acknowledged)
        left = Left(directory)
        gateway.stop()
    assert set(acknowledged.values()) == set(range(len(mails))), "each client has its 250 at last"
    assert set(acknowledged) <= {one.id for one in left.messages}
    assert {one.state for one in left.messages} == {MessageState.FILED}
    assert len(left.documents) == len(mails), "each filed once, however often it was sent"
    for reader in READERS:
        assert len(left.told(reader)) == len(mails)
    assert left.verified.ok, left.verified
    return left


def _client(gateway: Gateway, waiting: list[bytes], mails: list[bytes], acknowledged: dict[str, int]) -> None:
    while waiting and not gateway.ended():
        try:
            mail = waiting.pop()
        except IndexError:
            return
        queue_id = _submit(gateway, mail)
        if queue_id is None:
            waiting.append(mail)
            gateway.ended(0.02)
        else:
            acknowledged[queue_id] = mails.index(mail)
