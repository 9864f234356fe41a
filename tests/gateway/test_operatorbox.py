"""What is written to postmaster is told to the operator by mail: sealed with it, or neutral without it; no loop (0018)."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from io import BytesIO

import pytest

from dcc.gateway.instance import open_keys
from dcc.gateway.relaying import Rejected
from dcc.gateway.services import Services
from dcc.gateway.settings_sections import OperatorSettings
from dcc.mailbox.records import Delivery, DeliveryState, MessageState
from dcc.smime.open import open_message
from inprocess import Recorder, Rooms
from terminal import dcc

SECRET = "Madame PATIENTE Zoé, née le 01/02/1943"
LETTER = f"From: {{sender}}\r\nTo: postmaster\r\nSubject: plainte {SECRET}\r\n{{more}}\r\n{SECRET}\r\n"
OPERATOR = "exploitant@ailleurs.example"
DOOR = "postmaster@dcc.example"


@pytest.fixture
def rooms(services: Services) -> Rooms:
    """A gateway without any mail, whose operator has a mailbox."""
    name_operator(services)
    return Rooms(services)


def name_operator(services: Services, address: str = OPERATOR, *, certificate: bool = False) -> None:
    """Set the mailbox of the operator, with a certificate for it or without."""
    path = services.settings.directory / "demo/people/gp-encryption.pem"
    told = OperatorSettings(address=address, certificate=path if certificate else None)
    services.settings = services.settings.model_copy(update={"operator": told})


def write(rooms: Rooms, *, sender: str = "a@b.example", more: str = "", size: int = 0) -> str:
    """Somebody writes to postmaster, and it is worked on."""
    letter = LETTER.format(sender=sender or "a@b.example", more=more).encode() + b"x" * size + b"\r\n"
    message = rooms.take(letter, sender, DOOR)
    rooms.work()
    found = rooms.message(message)
    assert (found.state, found.reason_code) == (MessageState.HELD, "D2R-OPR02")
    return message


def owed(rooms: Rooms) -> list[Delivery]:
    return [one for one in rooms.deliveries() if one.kind == "operator"]


def sent(rooms: Rooms) -> list[bytes]:
    """Everything that is owed leaves; what the operator receives."""
    host = Recorder()
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass
    assert {box for box, _ in host.mails} <= {OPERATOR}
    return host.to(OPERATOR)


def words_of(mail: EmailMessage) -> str:
    return "".join(part.get_content() for part in mail.walk() if part.get_content_type().startswith("text/"))


def inside(rooms: Rooms, octets: bytes) -> EmailMessage:
    """What stands under the seal."""
    opened = open_message(BytesIO(octets), keys=[rooms.cast.pair("gp", "encryption")])
    assert opened.problem is None
    assert opened.content is not None
    found = message_from_bytes(opened.content.open().read(), policy=policy.default)
    opened.close()
    return found


def test_nobody_is_named(services: Services) -> None:
    """Without a mailbox of the operator nothing leaves: the mail waits in the list, as before."""
    rooms = Rooms(services)
    write(rooms)
    assert rooms.deliveries() == []


def test_neutral_without_a_certificate(rooms: Rooms) -> None:
    """Signed, in clear: that a mail waits, and how to read it; nothing of what a stranger wrote, nor who (I3, I5)."""
    message = write(rooms)
    (octets,) = sent(rooms)
    assert b"enveloped-data" not in octets
    mail = message_from_bytes(octets, policy=policy.default)
    assert (mail["To"], mail["Auto-Submitted"]) == (OPERATOR, "auto-generated")
    assert mail["From"].addresses[0].addr_spec == rooms.services.settings.gateway.address
    words = words_of(mail)
    assert f"dcc held read {message}" in words
    assert "en attente : 1." in words
    for secret in ("PATIENTE", "1943", "a@b.example", "plainte"):
        assert secret not in words + str(mail)
    assert rooms.message(message).state is MessageState.HELD, "it waits until somebody has closed it"
    config = rooms.services.settings.directory / "dcc.toml"
    assert dcc("held", "refuse", message, "-c", config, "--operator", "a.martin").code == 0
    assert sent(rooms) == []


def test_sealed_for_the_operator(rooms: Rooms) -> None:
    """With a certificate: the mail itself, octet for octet, under a seal; the outside says nothing of it (I3)."""
    name_operator(rooms.services, certificate=True)
    message = write(rooms)
    (octets,) = sent(rooms)
    assert b"enveloped-data" in octets
    for secret in (b"PATIENTE", b"1943", b"a@b.example", b"plainte", message.encode()):
        assert secret not in octets
    found = inside(rooms, octets)
    (enclosed,) = [part for part in found.walk() if part.get_filename()]
    assert (enclosed.get_filename(), enclosed.get_content_type()) == ("courriel.eml", "application/octet-stream")
    with rooms.services.open_original(rooms.message(message)) as original:
        assert enclosed.get_payload(decode=True) == original.read()
    assert "avec prudence" in words_of(found)


def test_too_large_to_be_enclosed(rooms: Rooms) -> None:
    """More than five megabytes: told of, and left where it is (I8)."""
    name_operator(rooms.services, certificate=True)
    message = write(rooms, size=(5 << 20) + 1)
    (octets,) = sent(rooms)
    assert len(octets) < 100_000
    found = inside(rooms, octets)
    assert f"dcc held read {message}" in words_of(found)
    assert [part for part in found.walk() if part.get_filename()] == []


def test_certificate_that_has_expired(rooms: Rooms) -> None:
    """Nothing is sealed for a certificate out of its dates, and nothing is sent in clear in its place."""
    name_operator(rooms.services, certificate=True)
    write(rooms)
    rooms.clock.later(days=1500)
    (octets,) = sent(rooms)
    assert b"enveloped-data" not in octets
    words = words_of(message_from_bytes(octets, policy=policy.default))
    assert "dcc held read" in words
    assert "PATIENTE" not in words


def test_sealed_mail_stays_sealed(rooms: Rooms) -> None:
    """A report sent to postmaster by mistake is enclosed as it came, under our own key: the operator cannot open it."""
    from dcc.gateway.demo_deposits import Draft, deposit

    name_operator(rooms.services, certificate=True)
    made = deposit(rooms.cast, Draft("coordinator", "main"), rooms.clock.at, rooms.services.random_bytes)
    rooms.take(made, rooms.cast.person("coordinator")["mailbox"], DOOR)
    rooms.work()
    (octets,) = sent(rooms)
    (enclosed,) = [part for part in inside(rooms, octets).walk() if part.get_filename()]
    payload = enclosed.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.endswith(made)


def test_many_in_an_hour(rooms: Rooms) -> None:
    """Whoever writes all day long fills nobody's mailbox: twenty an hour, and the next one tells how many wait (I8)."""
    for number in range(25):
        write(rooms, more=f"X-Number: {number}\r\n")
    assert len(sent(rooms)) == 20
    rooms.clock.later(hours=1)
    write(rooms)
    (octets,) = sent(rooms)
    assert "en attente : 26." in words_of(message_from_bytes(octets, policy=policy.default))


@pytest.mark.parametrize(
    ("sender", "more"),
    [
        ("", ""),
        ("", "Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n"),
        ("passerelle@dcc.example", ""),
        ("a@b.example", "Auto-Submitted: auto-generated\r\n"),
        ("a@b.example", "Auto-Submitted: auto-replied (vacation)\r\n"),
        ("a@b.example", "Precedence: bulk\r\n"),
    ],
)
def test_no_loop(rooms: Rooms, sender: str, more: str) -> None:
    """What a program wrote, perhaps about our own last mail, is told once a day, however often it comes (RFC 3834 §2)."""
    for number in range(3):
        write(rooms, sender=sender, more=f"{more}X-Number: {number}\r\n")
    assert len(sent(rooms)) == 1
    write(rooms)
    assert len(sent(rooms)) == 1, "a person is heard beside it"
    rooms.clock.later(days=1)
    write(rooms, sender=sender, more=more)
    assert len(sent(rooms)) == 1


@pytest.mark.parametrize("address", ["abuse@DCC.example", "passerelle@dcc.example"])
def test_operator_is_not_ourselves(rooms: Rooms, address: str) -> None:
    """A mailbox that this gateway takes mail for is told nothing: each mail would make the next."""
    name_operator(rooms.services, address)
    write(rooms)
    assert rooms.deliveries() == []


def test_comes_back(rooms: Rooms) -> None:
    """The operator's mailbox does not exist: failed, counted, audited, and told to nobody by mail (R-LOOP)."""
    write(rooms)
    host = Recorder(Rejected("550 5.1.1"))
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass
    (found,) = rooms.deliveries()
    assert (found.kind, found.state) == ("operator", DeliveryState.FAILED)
    assert rooms.audited("gateway:delivery:undelivered") == [None]


def test_answered_by_nobody(rooms: Rooms) -> None:
    """The operator's automatic answer to our mail is matched or held, and makes no mail."""
    write(rooms)
    sent(rooms)
    (told,) = owed(rooms)
    gateway = rooms.services.settings.gateway.address
    away = (
        f"From: {OPERATOR}\r\nTo: {gateway}\r\nAuto-Submitted: auto-replied\r\nIn-Reply-To: {told.message_id}\r\n"
        "Subject: absent\r\n\r\nAbsent.\r\n"
    )
    rooms.take(away.encode(), "", gateway)
    rooms.work()
    assert sent(rooms) == []
    assert len(rooms.deliveries()) == 1


def test_certificate_as_a_file(rooms: Rooms) -> None:
    """DER does as well as PEM; the gateway's own certificates are never taken for it."""
    keys = open_keys(rooms.services.settings)
    path = rooms.services.settings.directory / "exploitant.cer"
    path.write_bytes(rooms.cast.pair("gp", "encryption").certificate)
    told = OperatorSettings(address=OPERATOR, certificate=path)
    rooms.services.settings = rooms.services.settings.model_copy(update={"operator": told})
    write(rooms)
    (octets,) = sent(rooms)
    opened = open_message(BytesIO(octets), keys=keys.decryption)
    assert opened.problem is not None
    opened.close()
    assert inside(rooms, octets) is not None
