"""Mails that are finally lost: depositor and operator learn it once, strangers nothing, and never about such a mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes
from io import BytesIO, StringIO
from pathlib import Path

import pytest

from dcc.gateway import logs
from dcc.gateway.demo_deposits import Draft, deposit
from dcc.gateway.metrics import Metrics
from dcc.gateway.relaying import Outcome, Rejected, Sent, TryLater
from dcc.mailbox import outbox
from dcc.mailbox.records import Delivery, DeliveryState
from dcc.smime.open import open_message
from inprocess import Recorder, Rooms

BOUNCE = """Return-Path: <>\r
From: MAILER-DAEMON@relay.example\r
To: {gateway}\r
Content-Type: multipart/report; report-type=delivery-status; boundary=r\r
\r
--r\r
Content-Type: text/plain\r
\r
Not delivered.\r
--r\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; relay.example\r
\r
Final-Recipient: rfc822; {mailbox}\r
Action: failed\r
Status: 5.1.1\r
\r
--r\r
Content-Type: text/rfc822-headers\r
\r
Message-ID: {message_id}\r
\r
--r--\r
"""
KIND = "undelivered"
MISSED = ("gp", "pathologist")


@pytest.fixture
def metrics(rooms: Rooms) -> Metrics:
    """Counts what is lost."""
    found = Metrics()
    rooms.services.count_lost = found.count_lost
    return found


def lost(metrics: Metrics, why: str) -> float:
    return metrics.registry.get_sample_value("dcc_deliveries_lost_total", {"why": why}) or 0.0


def told(rooms: Rooms) -> list[Delivery]:
    return [one for one in rooms.deliveries() if one.kind == KIND]


def bounce(rooms: Rooms, one: Delivery) -> None:
    """A later host gives one of our mails back."""
    gateway = rooms.services.settings.gateway.address
    mail = BOUNCE.format(gateway=gateway, mailbox=one.mailbox, message_id=one.message_id).encode()
    message = rooms.take(mail, "", gateway)
    rooms.work()
    assert rooms.message(message).state.value == "done"


def send_all(rooms: Rooms, host: Recorder) -> None:
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass


class Choosy(Recorder):
    """A next host that does not know some mailboxes."""

    def __init__(self, *unknown: str) -> None:
        super().__init__()
        self.unknown = unknown

    def send(self, mail: Path, *, sender: str, recipient: str, delivery_id: str) -> Outcome:
        if recipient in self.unknown:
            return Rejected("550 5.1.1")
        return super().send(mail, sender=sender, recipient=recipient, delivery_id=delivery_id)


def refused(rooms: Rooms) -> Recorder:
    """The next host refuses every mail to two readers."""
    host = Choosy(*(rooms.cast.person(one)["mailbox"] for one in MISSED))
    send_all(rooms, host)
    return host


def given_back(rooms: Rooms) -> Recorder:
    """The next host takes everything, and the mails to two readers come back."""
    host = Recorder()
    send_all(rooms, host)
    for person in MISSED:
        bounce(rooms, rooms.delivery(person))
    send_all(rooms, host)
    return host


@pytest.mark.parametrize(("lose", "why"), [(refused, "rejected"), (given_back, "bounced")])
def test_reader_missed(rooms: Rooms, metrics: Metrics, lose: Callable[[Rooms], Recorder], why: str) -> None:
    """Two readers missed: the depositor is told once, by a sealed mail that names nobody; the operator of each (I2)."""
    said = StringIO()
    logs.configure(said)
    host = lose(rooms)
    (notice,) = told(rooms)
    depositor = rooms.cast.person("coordinator")
    assert (notice.mailbox, notice.state) == (depositor["mailbox"], DeliveryState.SENT)
    assert lost(metrics, why) == 2
    assert rooms.audited("gateway:delivery:undelivered") == ["D2R-DLV01"] * 2
    assert said.getvalue().count('"undelivered"') >= 2
    mails = host.to(depositor["mailbox"])
    assert len(mails) == 2
    opened = open_message(BytesIO(mails[-1]), keys=[rooms.cast.pair("coordinator", "encryption")])
    assert opened.content is not None
    words = "".join(
        part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        for part in message_from_bytes(opened.content.open().read()).walk()
        if part.get_content_maintype() == "text"
    )
    opened.close()
    assert notice.message is not None
    assert notice.message in words
    missed = [rooms.cast.person(one) for one in MISSED]
    patient = rooms.cast.patient("main")
    for name in (
        *(one["mailbox"] for one in missed),
        *(one["name"] for one in missed),
        patient.birth_name,
        patient.ins,
    ):
        assert name not in words
        assert name not in said.getvalue()
    assert message_from_bytes(mails[-1])["Auto-Submitted"] == "auto-generated"


def test_answer_missed(rooms: Rooms, metrics: Metrics) -> None:
    """An acknowledgement that expires: its sender is told, if the mailbox lives again; the operator in any case."""
    host = Recorder(*[TryLater("451 4.3.0")] * 1000)
    announcer = rooms.announcer(host)
    for _ in range(32):
        announcer.run_once()
        rooms.clock.later(hours=4)
    (acknowledgement,) = [one for one in rooms.deliveries() if one.kind == "acknowledgement"]
    assert acknowledgement.state is DeliveryState.FAILED
    answers = [one for one in told(rooms) if one.reason == "D2R-DLV02"]
    assert [one.mailbox for one in answers] == [acknowledgement.mailbox]
    assert lost(metrics, "expired") >= 1


def test_waiting_too_long(rooms: Rooms, metrics: Metrics) -> None:
    """Mails that wait for opposition lists for longer than any mail may: told once, and still sent when they may be."""
    host = Recorder()
    rooms.clock.later(days=40)  # the lists are stale
    for _ in range(3):
        send_all(rooms, host)
        rooms.clock.later(hours=1)
    waiting = [one for one in rooms.deliveries() if one.state is DeliveryState.QUEUED]
    assert waiting
    assert Counter(one.reason for one in told(rooms)) == {"D2R-DLV01": 1}
    assert lost(metrics, "waiting") == 1


def test_never_about_such_a_mail(rooms: Rooms, metrics: Metrics) -> None:
    """The mail that tells of a loss is lost too: the operator learns it, nobody else; no loop (R-LOOP)."""
    given_back(rooms)
    (notice,) = told(rooms)
    before = len(rooms.deliveries())
    bounce(rooms, notice)
    (now,) = told(rooms)
    assert now.state is DeliveryState.FAILED
    assert len(rooms.deliveries()) == before
    assert lost(metrics, "bounced") == 3


def test_same_bounce_again(rooms: Rooms, metrics: Metrics) -> None:
    """A bounce that comes twice is one loss."""
    send_all(rooms, Recorder())
    for _ in range(2):
        bounce(rooms, rooms.delivery("gp"))
    assert lost(metrics, "bounced") == 1
    assert len(told(rooms)) == 1
    assert len(rooms.audited("gateway:delivery:undelivered")) == 1


def test_strangers_are_told_nothing(rooms: Rooms, metrics: Metrics) -> None:
    """A neutral answer that is lost is told to nobody: who signed what it answered is not known (I5)."""
    send_all(rooms, Recorder())
    box = rooms.cast.person("gp")["mailbox"]
    mail = f"From: {box}\r\nTo: x@example.org\r\nSubject: x\r\n\r\nen clair\r\n".encode()
    rooms.take(mail, box, rooms.cast.folder("main")["address"])
    rooms.work()
    (neutral,) = [one for one in rooms.deliveries() if one.reason == "D2R-NTR00"]
    send_all(rooms, Recorder(Rejected("550")))
    with rooms.services.database.read() as conn:
        found = outbox.get(conn, neutral.id)
    assert found is not None
    assert found.state is DeliveryState.FAILED
    assert told(rooms) == []
    assert lost(metrics, "rejected") == 1
    assert rooms.audited("gateway:delivery:undelivered") == [None]


def test_null_sender_is_told_nothing(rooms: Rooms, metrics: Metrics) -> None:
    """A deposit that came with the null sender: its readers' losses are the operator's to know (RFC 5321 §4.5.5)."""
    send_all(rooms, Recorder())
    made = deposit(rooms.cast, Draft("oncologist", "main"), rooms.clock.at, rooms.services.random_bytes)
    message = rooms.take(made, "", rooms.cast.folder("main")["address"])
    rooms.work()
    assert rooms.message(message).state.value == "filed"
    host = Recorder(*[Rejected("554")] * 20)
    send_all(rooms, host)
    assert lost(metrics, "rejected") >= 5
    assert told(rooms) == []
    assert Sent() not in host.outcomes


def test_slow_worker_does_not_fail_what_another_sends(rooms: Rooms) -> None:
    """A worker slower than its lease does not call a mail expired that another worker has claimed since (I1)."""
    with rooms.services.database.begin() as conn:
        (slow,) = outbox.claim_due(conn, now=rooms.clock.at, lease=rooms.announcer(Recorder())._lease, limit=1)
    rooms.clock.later(hours=1)
    with rooms.services.database.begin() as conn:
        outbox.claim_due(conn, now=rooms.clock.at, lease=rooms.announcer(Recorder())._lease, limit=10)
    rooms.clock.later(days=6)
    with rooms.services.database.begin() as conn:
        assert not outbox.mark_failed(conn, slow.id, reason="451", attempt=slow.attempts)
    rooms.announcer(Recorder())._outcomes.later(replace(slow, attempts=99), "451")
    with rooms.services.database.read() as conn:
        found = outbox.get(conn, slow.id)
    assert found is not None
    assert found.state is DeliveryState.QUEUED


def test_second_try_is_not_expired_at_once(rooms: Rooms, metrics: Metrics) -> None:
    """A person sends a mail again that had failed for its age: it is tried for hours, not once (I1)."""
    rooms.clock.later(days=6)
    announcer = rooms.announcer(Recorder(Rejected("554")))
    while announcer.run_once():
        pass
    (failed,) = [one for one in rooms.deliveries() if one.state is DeliveryState.FAILED]
    with rooms.services.database.begin() as conn:
        assert outbox.requeue(conn, failed.id, now=rooms.clock.at)
    greylisting = Recorder(*[TryLater("451")] * 3)
    for _ in range(4):
        send_all(rooms, greylisting)
        rooms.clock.later(hours=2)
    assert greylisting.to(failed.mailbox)
    assert lost(metrics, "expired") == 0
    with rooms.services.database.read() as conn:
        found = outbox.get(conn, failed.id)
    assert found is not None
    assert found.state is DeliveryState.SENT
