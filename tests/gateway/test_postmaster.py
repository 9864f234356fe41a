"""Mail to postmaster and abuse: taken in our own domains only, kept for the operator, never opened, never answered."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from dcc.gateway.services import Services
from dcc.mailbox import audit, messages
from dcc.mailbox.records import DeliveryState, MessageState
from doors import GATEWAY, Raw, RunningDoor, stored
from inprocess import Recorder, Rooms
from terminal import dcc

COMPLAINT = (
    b"From: a@b.example\r\nTo: postmaster\r\nSubject: =?utf-8?q?probl=C3=A8me?=\r\n\r\nVotre serveur nous ecrit.\r\n"
)
TAKEN, UNKNOWN, APART = b"250 2.1.5", b"550 5.1.1", b"452 4.5.3"


@pytest.fixture
def rooms(services: Services) -> Rooms:
    """A gateway without any mail."""
    return Rooms(services)


def network_domain(services: Services) -> str:
    with services.database.read() as conn:
        from dcc.mailbox import people

        return people.list_networks(conn)[0].domain


def test_who_is_taken(door: RunningDoor) -> None:
    """RFC 5321 §4.5.1: postmaster, in any case, with or without a domain of ours; nowhere else: no open relay."""
    domain = network_domain(door.services)
    for words, expected in [
        ("<postmaster>", TAKEN),
        ("<POSTMASTER>", TAKEN),
        ("<Postmaster@dcc.example>", TAKEN),
        ('<"postmaster"@dcc.example>', TAKEN),
        (f"<postmaster@{domain}>", TAKEN),
        ("<abuse@dcc.example>", TAKEN),
        ("<abuse>", b"553 5.1.3"),
        ("<postmaster@autre.example>", UNKNOWN),
        ("<abuse@autre.example>", UNKNOWN),
        ("<postmaster@sous.dcc.example>", UNKNOWN),
        ("<postmaster2@dcc.example>", UNKNOWN),
        ("<postmaster%autre.example@dcc.example>", UNKNOWN),
        ("<@dcc.example:postmaster@autre.example>", UNKNOWN),
    ]:
        with Raw(door) as raw:
            raw.ask(b"MAIL FROM:<a@b.example>")
            assert raw.ask(f"RCPT TO:{words}".encode())[:9] == expected, words
    with Raw(door) as raw:
        assert raw.ask(b"MAIL FROM:<postmaster>").startswith(b"553 5.1.7"), "a sender has a domain"


def test_a_mail_of_its_own(door: RunningDoor) -> None:
    """One mail is for the operator or for the gateway: the other recipient is asked for by itself, nothing is lost."""
    with Raw(door) as raw:
        raw.ask(b"MAIL FROM:<a@b.example>")
        assert raw.ask(b"RCPT TO:<postmaster>")[:9] == TAKEN
        assert raw.ask(b"RCPT TO:<abuse@dcc.example>")[:9] == TAKEN
        assert raw.ask(f"RCPT TO:<{GATEWAY}>".encode())[:9] == APART
        assert raw.ask(b"DATA").startswith(b"354")
        raw.say(COMPLAINT + b".\r\n")
        assert raw.reply().startswith(b"250")
        raw.ask(b"MAIL FROM:<a@b.example>")
        assert raw.ask(f"RCPT TO:<{GATEWAY}>".encode())[:9] == TAKEN
        assert raw.ask(b"RCPT TO:<postmaster>")[:9] == APART
    (message,) = stored(door.services)
    assert message.recipients == ("postmaster@dcc.example", "abuse@dcc.example")


def test_reaches_the_operator(rooms: Rooms, tmp_path: Path) -> None:
    """Held with a reason of its own, under a key, answered by nothing; the operator reads it, and it is audited."""
    sender = rooms.cast.person("oncologist")["mailbox"]
    message_id = rooms.take(COMPLAINT, sender, "postmaster@dcc.example")
    rooms.work()
    found = rooms.message(message_id)
    assert (found.state, found.reason_code) == (MessageState.HELD, "D2R-OPR02")
    assert rooms.deliveries() == []
    assert not rooms.services.spool.path(message_id).exists(), "it came in clear and lies under a key (I3)"
    config, out = rooms.services.settings.directory / "dcc.toml", tmp_path / "courriel.eml"
    done = dcc("held", "read", message_id, "-c", config, "--out", out, "--operator", "a.martin", "--json")
    assert done.code == 0, done.err
    assert done.json["size"] == len(out.read_bytes())
    assert out.read_bytes().endswith(COMPLAINT)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert len(rooms.audited("operator:message:read")) == 1
    assert dcc("held", "refuse", message_id, "-c", config, "--operator", "a.martin").code == 0
    assert rooms.deliveries() == []
    assert dcc("held", "read", message_id, "-c", config, "--out", out, "--operator", "a.martin").code == 1


def test_other_held_mails_are_not_read(rooms: Rooms, tmp_path: Path) -> None:
    """Whatever else is held may hold clinical content: an operator gets nothing of it (mission S12)."""
    sender = rooms.cast.person("oncologist")["mailbox"]
    message_id = rooms.take(COMPLAINT, sender, rooms.services.settings.gateway.address)
    with rooms.services.database.begin() as conn:
        messages.settle(
            conn, message_id, expected=MessageState.RECEIVED, end=MessageState.HELD, now=rooms.clock.at, stages=(),
            reason_code="D2R-REQ01",
        )  # fmt: skip
    out = tmp_path / "courriel.eml"
    config = rooms.services.settings.directory / "dcc.toml"
    done = dcc("held", "read", message_id, "-c", config, "--out", out, "--operator", "a.martin")
    assert done.code == 1
    assert not out.exists()
    with rooms.services.database.read() as conn:
        assert "operator:message:read" not in {one["tag"] for one in audit.export(conn)}


@pytest.mark.parametrize("sender", ["", "known"])
def test_is_no_oracle(rooms: Rooms, sender: str) -> None:
    """A sealed mail to the postmaster is not opened, whoever sends it and whatever is in it (I5)."""
    from dcc.gateway.demo_deposits import Draft, deposit

    made = deposit(rooms.cast, Draft("coordinator", "main"), rooms.clock.at, rooms.services.random_bytes)
    box = rooms.cast.person("coordinator")["mailbox"] if sender else ""
    for mail in (made, made[:-400] + b"A" * 200 + made[-200:]):
        message_id = rooms.take(mail, box, "postmaster@dcc.example")
        rooms.work()
        found = rooms.message(message_id)
        assert (found.state, found.reason_code) == (MessageState.HELD, "D2R-OPR02")
        assert "opened" not in found.evidence
    assert rooms.deliveries() == []


def test_complaints_and_bounces(rooms: Rooms) -> None:
    """A report that is about none of our mails is read by the operator (RFC 5965); a bounce of one of them counts."""
    feedback = b"From: fbl@b.example\r\nContent-Type: multipart/report; report-type=feedback-report; boundary=x\r\n\r\n--x--\r\n"
    message_id = rooms.take(feedback, "", "abuse@dcc.example")
    rooms.work()
    assert rooms.message(message_id).reason_code == "D2R-OPR02"
    rooms.deposit()
    rooms.work()
    host = rooms.announcer(Recorder())
    while host.run_once():
        pass
    lost = rooms.delivery("gp")
    bounce = (
        "From: MAILER-DAEMON@b.example\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=x\r\n\r\n"
        "--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; b.example\r\n\r\n"
        f"Final-Recipient: rfc822; {lost.mailbox}\r\nAction: failed\r\n\r\n"
        f"--x\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {lost.message_id}\r\n\r\n--x--\r\n"
    )
    again = rooms.take(bounce.encode(), "", "postmaster@dcc.example")
    rooms.work()
    assert rooms.message(again).state is MessageState.DONE
    assert rooms.delivery("gp").state is DeliveryState.FAILED
