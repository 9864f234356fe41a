"""Mails that may or may not have arrived: the depositor learns it, unless it is known in time; strangers never (I1, I2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes, policy
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import update

from dcc.gateway.demo_deposits import Draft, deposit
from dcc.gateway.relaying import Outcome, Uncertain
from dcc.mailbox import documents, outbox, people
from dcc.mailbox.records import Delivery, DeliveryState
from dcc.mailbox.schema import documents as table
from dcc.router import oids
from dcc.smime.open import open_message
from inprocess import Recorder, Rooms
from terminal import dcc

REPORT = """Return-Path: <>\r
From: MAILER-DAEMON@relay.example\r
To: {gateway}\r
Content-Type: multipart/report; report-type=delivery-status; boundary=r\r
\r
--r\r
Content-Type: text/plain\r
\r
A report.\r
--r\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; relay.example\r
\r
Final-Recipient: rfc822; {mailbox}\r
Action: {action}\r
Status: {status}\r
\r
--r\r
Content-Type: text/rfc822-headers\r
\r
Message-ID: {message_id}\r
\r
--r--\r
"""
LOST = ("gp", "pathologist")


class Breaking(Recorder):
    """A next host whose line breaks behind the last dot of mails to some mailboxes."""

    def __init__(self, *unlucky: str) -> None:
        super().__init__()
        self.unlucky = unlucky

    def send(self, mail: Path, *, sender: str, recipient: str, delivery_id: str) -> Outcome:
        outcome = super().send(mail, sender=sender, recipient=recipient, delivery_id=delivery_id)
        return Uncertain() if recipient in self.unlucky else outcome


def send_all(rooms: Rooms, host: Recorder) -> None:
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass


def broken(rooms: Rooms, *people: str) -> None:
    """Everything that is owed is sent, and the line breaks for these people."""
    send_all(rooms, Breaking(*(rooms.cast.person(one)["mailbox"] for one in people)))


def told(rooms: Rooms, kind: str = "uncertain") -> list[Delivery]:
    return [one for one in rooms.deliveries() if one.kind == kind]


def report(rooms: Rooms, one: Delivery, action: str) -> None:
    """A later host says what became of a mail."""
    gateway = rooms.services.settings.gateway.address
    status = {"failed": "5.1.1", "delivered": "2.0.0"}[action]
    mail = REPORT.format(gateway=gateway, mailbox=one.mailbox, message_id=one.message_id, action=action, status=status)
    message = rooms.take(mail.encode(), "", gateway)
    rooms.work()
    assert rooms.message(message).state.value == "done"


def wait(rooms: Rooms) -> Recorder:
    """The time in which a report is waited for passes."""
    rooms.clock.later(minutes=16)
    host = Recorder()
    send_all(rooms, host)
    return host


def test_depositor_is_told_once(rooms: Rooms) -> None:
    """Two readers who may have been missed: one sealed mail, after a while, that names nobody and says what to do."""
    broken(rooms, *LOST)
    (notice,) = told(rooms)
    depositor = rooms.cast.person("coordinator")
    assert (notice.mailbox, notice.state, notice.reason) == (depositor["mailbox"], DeliveryState.QUEUED, "D2R-DLV03")
    assert notice.due == rooms.clock.at + timedelta(minutes=15)
    host = wait(rooms)
    (mail,) = host.to(depositor["mailbox"])
    assert host.mails == [(depositor["mailbox"], mail)], "nobody is sent anything again"
    opened = open_message(BytesIO(mail), keys=[rooms.cast.pair("coordinator", "encryption")])
    assert opened.content is not None
    inside = message_from_bytes(opened.content.open().read(), policy=policy.default)
    words = "".join(part.get_content() for part in inside.walk() if part.get_content_maintype() == "text")
    opened.close()
    assert "Nous ne savons pas" in words
    assert notice.message is not None
    assert notice.message in words
    head = mail.partition(b"\r\n\r\n")[0].decode()
    patient = rooms.cast.patient("main")
    missed = [rooms.cast.person(one) for one in LOST]
    for name in (
        *(one["mailbox"] for one in missed),
        *(one["name"] for one in missed),
        patient.birth_name,
        patient.ins,
    ):
        assert name not in words + head
    assert wait(rooms).mails == []


def test_known_in_time(rooms: Rooms) -> None:
    """A report says that it arrived before anybody was told: nobody is, and the reason is kept."""
    broken(rooms, "gp")
    report(rooms, rooms.delivery("gp"), "delivered")
    assert rooms.delivery("gp").state is DeliveryState.DELIVERED
    assert wait(rooms).mails == []
    (notice,) = told(rooms)
    assert (notice.state, notice.reason) == (DeliveryState.WITHHELD, "D2R-DLV05")
    assert rooms.audited("gateway:delivery:withheld") == ["D2R-DLV05"]


def test_one_of_two_known_in_time(rooms: Rooms) -> None:
    """What is known of one mail does not answer for the other."""
    broken(rooms, *LOST)
    report(rooms, rooms.delivery("gp"), "delivered")
    assert len(wait(rooms).mails) == 1
    (notice,) = told(rooms)
    assert notice.state is DeliveryState.SENT


def test_lost_after_all(rooms: Rooms) -> None:
    """A report says that it did not arrive: the depositor is told that, and not that it is uncertain."""
    broken(rooms, "gp")
    report(rooms, rooms.delivery("gp"), "failed")
    wait(rooms)
    assert [one.state for one in told(rooms)] == [DeliveryState.WITHHELD]
    (notice,) = told(rooms, "undelivered")
    assert (notice.state, notice.reason) == (DeliveryState.SENT, "D2R-DLV01")


def test_lost_after_it_was_told(rooms: Rooms) -> None:
    """The report comes late: "may have arrived" was told, and "did not" is told too, as was promised."""
    broken(rooms, "gp")
    assert len(wait(rooms).mails) == 1
    report(rooms, rooms.delivery("gp"), "failed")
    assert len(wait(rooms).mails) == 1
    assert [one.state for one in told(rooms)] == [DeliveryState.SENT]
    assert [one.state for one in told(rooms, "undelivered")] == [DeliveryState.SENT]


@pytest.mark.parametrize("again", [False, True])
def test_sent_again_by_a_person(rooms: Rooms, again: bool) -> None:
    """An operator sends it again before it was told: it is, only where the line breaks once more."""
    broken(rooms, "gp")
    config = rooms.services.settings.directory / "dcc.toml"
    assert dcc("outbox", "retry", rooms.delivery("gp").id, "-c", config).code == 0
    rooms.clock.later(minutes=20)
    host = Breaking(rooms.delivery("gp").mailbox) if again else Recorder()
    send_all(rooms, host)
    (notice,) = told(rooms)
    assert notice.state is DeliveryState.QUEUED, "how that ended was not known when it was looked at"
    wait(rooms)
    (notice,) = told(rooms)
    assert notice.state is (DeliveryState.SENT if again else DeliveryState.WITHHELD)


def test_kept_back_and_owed_again(rooms: Rooms) -> None:
    """Kept back because it was known, sent again by a person, and then the line breaks again: it is owed after all."""
    broken(rooms, "gp")
    report(rooms, rooms.delivery("gp"), "failed")
    wait(rooms)
    (notice,) = told(rooms)
    assert notice.state is DeliveryState.WITHHELD
    with rooms.services.database.begin() as conn:
        assert outbox.requeue(conn, rooms.delivery("gp").id, now=rooms.clock.at)
    broken(rooms, "gp")
    assert len(wait(rooms).to(rooms.cast.person("coordinator")["mailbox"])) == 1
    (notice,) = told(rooms)
    assert (notice.state, notice.reason) == (DeliveryState.SENT, "D2R-DLV03")


def test_answer_that_may_have_arrived(rooms: Rooms) -> None:
    """The answer to the depositor: told as such, and no reader's mail is called uncertain."""
    broken(rooms, "coordinator")
    assert [one.reason for one in told(rooms)] == ["D2R-DLV04"]
    assert len(wait(rooms).mails) == 1


def test_process_that_died(rooms: Rooms) -> None:
    """A process that ended in the middle of a sending: found uncertain by the next one, and told the same way."""
    reader = rooms.delivery("gp")
    with rooms.services.database.begin() as conn:
        for one in outbox.claim_due(conn, now=rooms.clock.at, lease=timedelta(minutes=1), limit=10):
            if one.id == reader.id:
                outbox.mark_started(conn, one.id, now=rooms.clock.at)
    rooms.clock.later(minutes=2)
    send_all(rooms, Recorder())
    assert rooms.delivery("gp").state is DeliveryState.UNCERTAIN
    assert [one.reason for one in told(rooms)] == ["D2R-DLV03"]
    assert len(wait(rooms).mails) == 1


def masked_before(rooms: Rooms) -> None:
    _mask(rooms)
    broken(rooms, "gp")


def masked_after(rooms: Rooms) -> None:
    broken(rooms, "gp")
    _mask(rooms)


def _mask(rooms: Rooms) -> None:
    """Hidden from professionals, and the reader is its author: nobody else is to know that anybody was told."""
    account = rooms.delivery("gp").account
    with rooms.services.database.begin() as conn:
        assert account is not None
        author = people.get_account(conn, account)
        assert author is not None
        for one in rooms.delivery("gp").documents:
            documents.set_confidentiality(conn, one, ("N", oids.MASQUE_PS))
            conn.execute(update(table).where(table.c.id == one).values(author_id=author.national_id))


@pytest.mark.parametrize("happens", [masked_before, masked_after])
def test_masked_document(rooms: Rooms, happens: Callable[[Rooms], None]) -> None:
    """Nobody learns of a mail about a masked document: its depositor was told that nobody is told (MASQUE_PS, I5)."""
    happens(rooms)
    assert rooms.delivery("gp").state is DeliveryState.UNCERTAIN
    assert wait(rooms).to(rooms.cast.person("coordinator")["mailbox"]) == []
    assert {one.state for one in told(rooms)} <= {DeliveryState.WITHHELD}


def test_strangers_and_the_null_sender(rooms: Rooms) -> None:
    """A neutral answer, and mails of a deposit that came with the null sender: told to nobody (I5, RFC 5321 §4.5.5)."""
    send_all(rooms, Recorder())
    box = rooms.cast.person("gp")["mailbox"]
    rooms.take(
        f"From: {box}\r\nTo: x@example.org\r\n\r\nen clair\r\n".encode(), box, rooms.cast.folder("main")["address"]
    )
    made = deposit(rooms.cast, Draft("oncologist", "main"), rooms.clock.at, rooms.services.random_bytes)
    rooms.take(made, "", rooms.cast.folder("main")["address"])
    rooms.work()
    host = Recorder(*[Uncertain()] * 20)
    send_all(rooms, host)
    assert len(host.mails) > 5
    assert told(rooms) == []


def test_never_about_such_a_mail(rooms: Rooms) -> None:
    """The mail that says so may not have arrived either: nothing is told of it (R-LOOP)."""
    broken(rooms, "gp")
    rooms.clock.later(minutes=16)
    broken(rooms, "coordinator")
    (notice,) = told(rooms)
    assert notice.state is DeliveryState.UNCERTAIN
    assert wait(rooms).mails == []
