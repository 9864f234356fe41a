"""What an outsider can see when a mail cannot be opened, through the real door, whatever broke (I5, R-ORACLE)."""

from __future__ import annotations

import io
import os
import socket
import statistics
import time
from datetime import datetime, timedelta
from email import message_from_bytes

import pytest

from dcc.gateway.clients import signed_entity
from dcc.gateway.demo_deposits import Draft, entity
from dcc.gateway.held import recheck_due
from dcc.gateway.serve import utc_now
from dcc.gateway.services import Services
from dcc.mailbox.records import MessageState
from dcc.smime.errors import NotOpened
from dcc.smime.keys import KeyPair, load_pkcs12
from dcc.smime.open import open_message
from doors import RunningDoor
from forge import auth_enveloped_data, enveloped_data, key_transport
from inprocess import Recorder, Rooms
from throwaway import part

CMS = "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m"
KEY = bytes(range(32))
VARIANTS = (
    "rsa padding", "rsa value too long", "rsa length", "key length", "cbc padding", "cbc padding of zeros", "gcm tag",
    "asn.1 inside", "not mime inside", "unsigned", "signature", "content",
)  # fmt: skip


@pytest.fixture
def rooms(services: Services) -> Rooms:
    """A gateway without any mail."""
    return Rooms(services)


class Variants:
    """One mail of the coordinator's, broken at one place; all of one length inside."""

    def __init__(self, rooms: Rooms, at: datetime) -> None:
        cast = rooms.cast
        directory = rooms.services.settings.directory
        pair = load_pkcs12((directory / "keys/dechiffrement.p12").read_bytes(), b"demonstration")
        self.reader = KeyPair(pair.certificate, pair.key)
        self.sender, self.to = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
        self._entity = entity(cast, Draft("coordinator", "main"), at, os.urandom)
        self._signed = signed_entity(self._entity, cast.identity("coordinator"), opaque=False)

    def cms(self, name: str) -> bytes:
        """The envelope."""
        good, reader = self._signed, self.reader
        whole = enveloped_data(good, [key_transport(KEY, reader)], cek=KEY)
        match name:
            case "rsa padding":
                return enveloped_data(good, [key_transport(KEY, reader, raw=b"\x01" * 256)], cek=KEY)
            case "rsa value too long":
                return enveloped_data(good, [key_transport(KEY, reader, raw=b"\xff" * 256)], cek=KEY)
            case "rsa length":
                return enveloped_data(good, [key_transport(KEY, reader, raw=b"\x01" * 255)], cek=KEY)
            case "key length":
                return enveloped_data(good, [key_transport(KEY[:24], reader)], cek=KEY)
            case "cbc padding":
                return whole[:-17] + bytes([whole[-17] ^ 0x80]) + whole[-16:]  # turns the padding's last octet
            case "cbc padding of zeros":
                filled = good + bytes(16 - len(good) % 16)
                return enveloped_data(filled, [key_transport(KEY, reader)], cek=KEY, pad=False)
            case "gcm tag":
                return auth_enveloped_data(good, [key_transport(KEY, reader)], cek=KEY, spoil=1)
            case "asn.1 inside":
                inner = part("application/pkcs7-mime; smime-type=signed-data", b"\x30\x82\xff\xff" + bytes(2000))
                return enveloped_data(inner, [key_transport(KEY, reader)], cek=KEY)
            case "not mime inside":
                return enveloped_data(bytes(4000), [key_transport(KEY, reader)], cek=KEY)
            case "unsigned":
                return enveloped_data(self._entity, [key_transport(KEY, reader)], cek=KEY)
            case "signature":
                cut = good.rindex(b"\r\n--")
                changed = good[: cut - 12] + b"AAAA" + good[cut - 8 :]
                return enveloped_data(changed, [key_transport(KEY, reader)], cek=KEY)
            case _:
                changed = good.replace(b"Veuillez trouver", b"Veuillez Trouver", 1)
                return enveloped_data(changed, [key_transport(KEY, reader)], cek=KEY)

    def mail(self, name: str) -> bytes:
        """The mail around it; the fields outside are the same for all."""
        head = (
            f"From: {self.sender}\r\nTo: {self.to}\r\nSubject: Compte rendu\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
            "MIME-Version: 1.0\r\n"
        )
        return head.encode() + part(CMS, self.cms(name))


@pytest.fixture
def variants(rooms: Rooms) -> Variants:
    """The mails that break."""
    return Variants(rooms, rooms.clock.at)


def spoken(door: RunningDoor, mail: bytes, sender: str, to: str) -> list[str]:
    """Every line that the door says for one mail, without the message's id."""
    with socket.create_connection((door.host, door.port), timeout=60) as line:
        file = line.makefile("rwb")
        said = [file.readline()]
        for command in (f"MAIL FROM:<{sender}>", f"RCPT TO:<{to}>", "DATA"):
            if not said[1:]:
                file.write(b"HELO client.example\r\n")
                file.flush()
                said.append(file.readline())
            file.write(command.encode() + b"\r\n")
            file.flush()
            said.append(file.readline())
        file.write(mail.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
        file.flush()
        said.append(file.readline())
        file.write(b"QUIT\r\n")
        file.flush()
        said.append(file.readline())
    return [one.decode().split(" queued as ")[0] for one in said]


def seen(rooms: Rooms, door: RunningDoor, variants: Variants, name: str) -> tuple[object, ...]:
    """All that leaves the gateway because of one variant: the dialogue, and the mails, but for what is random."""
    dialogue = spoken(door, variants.mail(name), variants.sender, variants.to)
    assert rooms.deliveries() == []  # nothing is decided, hence nothing answered, while the client still waits
    rooms.clock.at = utc_now()
    rooms.work()
    relay = Recorder()
    announcer = rooms.announcer(relay)
    while announcer.run_once():
        pass
    mails = [(box, message_from_bytes(octets)) for box, octets in relay.mails]
    shown = [
        (box, mail.keys(), mail["Subject"], mail.get_content_type(), [part.get_content_type() for part in mail.walk()],
         len(octets))
        for (box, mail), (_, octets) in zip(mails, relay.mails, strict=True)
    ]  # fmt: skip
    parameters = [(one.kind, one.reason, one.parameters, one.folder, one.documents) for one in rooms.deliveries()]
    return dialogue, shown, parameters


@pytest.fixture(scope="module")
def known() -> dict[str, tuple[object, ...]]:
    """What was seen of the variants before."""
    return {}


@pytest.mark.parametrize("name", VARIANTS)
def test_i5_every_variant_looks_the_same(
    name: str, rooms: Rooms, door: RunningDoor, variants: Variants, known: dict[str, tuple[object, ...]]
) -> None:
    """SMTP replies, answers, their fields, sizes and words: whatever broke, the outside sees the same (R-ORACLE)."""
    known[name] = seen(rooms, door, variants, name)
    first = next(iter(known.values()))
    assert known[name] == first
    assert first[2] == [("refusal", "D2R-NTR00", (), None, ())]
    ended = [one.state for one in (rooms.message(two.message or "") for two in rooms.deliveries())]
    assert all(one in (MessageState.HELD, MessageState.REFUSED) for one in ended)


def test_i5_times_are_of_one_kind(variants: Variants) -> None:
    """Opening takes as long for a wrong padding as for a right one with a wrong key: medians within a few percent.

    Measured in turns, in this thread's own time, so that what else the machine does falls on all of them alike.
    """
    names = ("rsa padding", "key length", "cbc padding")
    mails = {name: variants.mail(name) for name in names}
    # What is compared: a key that is not there, a key of a wrong length, a key that is right and content that is not
    spent: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(150):
        for name in names:
            begun = time.thread_time_ns()
            found = open_message(io.BytesIO(mails[name]), keys=[variants.reader])
            spent[name].append(time.thread_time_ns() - begun)
            assert found.problem is not None
            # One garbage in 256 ends like a padding: it is then not signed, as any other garbage
            assert found.problem.value in {"D2R-OPN01", "D2R-SIG01"}
    middle = {name: statistics.median(times) for name, times in spent.items()}
    spread = statistics.median([abs(one - middle[name]) for name, times in spent.items() for one in times])
    assert max(middle.values()) - min(middle.values()) < max(0.15 * min(middle.values()), 6 * spread)


def test_i5_the_exception_says_nothing() -> None:
    """What is raised for any of them carries no text."""
    assert str(NotOpened()) == ""


def bad(rooms: Rooms, variants: Variants, sender: str | None = None) -> str:
    return rooms.take(variants.mail("cbc padding"), sender or variants.sender, variants.to)


def test_rule_13_r_oracle_rate_limit(rooms: Rooms, variants: Variants) -> None:
    """After so many unopenable mails of one sender the next are held unopened, good ones too, then taken up again."""
    worker = rooms.services.settings.worker.model_copy(update={"unopenable_per_hour": 3})
    rooms.services.settings = rooms.services.settings.model_copy(update={"worker": worker})
    rooms.services.unopenable = type(rooms.services.unopenable)(3)
    first = [bad(rooms, variants) for _ in range(5)]
    rooms.work()
    assert [rooms.message(one).reason_code for one in first] == ["D2R-OPN01"] * 3 + ["D2R-OPN03"] * 2
    good = rooms.deposit()
    other = bad(rooms, variants, "somebody@autre.example")
    rooms.work()
    assert rooms.message(good).reason_code == "D2R-OPN03"
    assert rooms.message(other).reason_code == "D2R-OPN01"
    assert len(rooms.deliveries("coordinator")) == 1  # the one neutral answer of the day, to the first
    rooms.clock.later(minutes=59)
    assert recheck_due(rooms.services, rooms.clock.at) == 0
    rooms.clock.later(minutes=2)
    assert recheck_due(rooms.services, rooms.clock.at) == 3
    rooms.work()
    assert rooms.message(good).state is MessageState.FILED


def test_rule_13_r_oracle_memory_is_bounded(services: Services) -> None:
    """Whoever writes under ever new names makes the counter forget the oldest, not grow."""
    counter = type(services.unopenable)(2)
    now = utc_now()
    for number in range(12_000):
        counter.note(f"a{number}@autre.example", "192.0.2.1", now)
    assert len(counter._seen) == 10_000
    counter.note("A11999@autre.example", "192.0.2.1", now)
    assert counter.closed_until("a11999@autre.example", "192.0.2.1", now) == now + timedelta(hours=1)
    assert counter.closed_until("a11999@autre.example", "192.0.2.2", now) is None
