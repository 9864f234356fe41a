"""What the door answers to commands, well formed or not (RFC 5321, RFC 2034)."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.gateway.services import Services
from dcc.gateway.smtp_path import Path, Refused, parse_path
from dcc.mailbox import messages
from dcc.mailbox.records import MessageState
from doors import GATEWAY, MAIL, SENDER, Raw, RunningDoor, opened, send, spooled, stored


def test_250_ends_with_the_id_and_everything_is_durable(door: RunningDoor) -> None:
    """The 250 names the message; its row and its unchanged octets are there, behind a field that names no person."""
    code, text = send(door, MAIL)
    assert code == 250
    found = re.fullmatch(r"2\.0\.0 queued as (\S+)", text)
    assert found is not None
    (message,) = stored(door.services)
    assert message.id == found[1]
    assert (message.mail_from, message.recipients, message.size) == (SENDER, (GATEWAY,), len(MAIL))
    raw = door.services.spool.path(message.id).read_bytes()
    field = raw.removesuffix(MAIL)
    assert re.fullmatch(
        rb"Received: from client\.example by dcc\.example with ESMTP\r\n\tid \S+; \w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000\r\n",
        field,
    )


def test_retransmission_gets_the_first_id(door: RunningDoor) -> None:
    """The same envelope and octets, sent again before the first has an end, are one message; after it, another."""
    first = send(door, MAIL)[1]
    assert send(door, MAIL)[1] == first
    assert send(door, MAIL, sender="autre@cabinet.example")[1] != first
    assert send(door, MAIL + b"x\r\n")[1] != first
    assert len(stored(door.services)) == len(spooled(door.services)) == 3
    with door.services.database.begin() as conn:
        message = messages.get(conn, first.split()[-1])
        assert message is not None
        assert messages.settle(
            conn, message.id, expected=MessageState.RECEIVED, end=MessageState.DONE, now=message.due, stages=[]
        )
    assert send(door, MAIL)[1] != first


def test_what_is_announced(door: RunningDoor) -> None:
    """EHLO announces what works and nothing else; HELO nothing."""
    with Raw(door, hello=False) as raw:
        raw.reply()
        raw.say(b"EHLO client.example\r\n")
        assert raw.answer() == [
            b"250-dcc.example",
            b"250-SIZE %d" % door.door.settings.message_size,
            b"250-8BITMIME",
            b"250-PIPELINING",
            b"250-ENHANCEDSTATUSCODES",
            b"250-STARTTLS",
            b"250 HELP",
        ]
        assert raw.ask(b"HELO client.example") == b"250 dcc.example"


WORDS = [
    (b"NOOP", b"250 2.0.0"),
    (b"noop at all", b"250 2.0.0"),
    (b"RSET", b"250 2.0.0"),
    (b"HELP", b"214 2.0.0"),
    (b"HELP MAIL", b"214 2.0.0"),
    (b"VRFY passerelle", b"252 2.5.0"),
    (b"VRFY personne", b"252 2.5.0"),
    (b"EXPN liste", b"502 5.5.1"),
    (b"AUTH LOGIN", b"502 5.5.1"),
    (b"TURN", b"500 5.5.1"),
    (b"", b"500 5.5.1"),
    (b"GET / HTTP/1.1", b"500 5.5.1"),
    (b"EHLO", b"501 5.5.4"),
    (b"HELO", b"501 5.5.4"),
    (b"STARTTLS now", b"501 5.5.4"),
    (b"DATA", b"503 5.5.1"),
    (b"DATA now", b"501 5.5.4"),
    (b"RCPT TO:<passerelle@dcc.example>", b"503 5.5.1"),
    (b"NOOP " + b"x" * 1100, b"500 5.5.2"),
    (b"MAIL", b"501 5.5.4"),
    (b"MAIL TO:<a@b.example>", b"501 5.5.4"),
    (b"MAIL FROM:", b"553 5.1.7"),
    (b"MAIL FROM:<a@b", b"553 5.1.7"),
    (b"MAIL FROM:<a>", b"553 5.1.7"),
    (b"MAIL FROM:<a@b.example><c@d.example>", b"553 5.1.7"),
    (b"MAIL FROM:<a b@c.example>", b"553 5.1.7"),
    ("MAIL FROM:<é@b.example>".encode(), b"553 5.6.7"),
    (b"MAIL FROM:<a@b.example> SMTPUTF8", b"555 5.5.4"),
    (b"MAIL FROM:<a@b.example> RET=HDRS", b"555 5.5.4"),
    (b"MAIL FROM:<a@b.example> SIZE=x", b"501 5.5.4"),
    (b"MAIL FROM:<a@b.example> SIZE=-1", b"501 5.5.4"),
    (b"MAIL FROM:<a@b.example> SIZE=1 SIZE=2", b"501 5.5.4"),
    (b"MAIL FROM:<a@b.example> BODY=BINARYMIME", b"501 5.5.4"),
    (b"MAIL FROM:<a@b.example> SIZE=99999999999999999999", b"552 5.3.4"),
    (b"MAIL FROM:<a@b.example> size=100 body=8bitmime", b"250 2.1.0"),
    (b"mail from: <a@b.example>", b"250 2.1.0"),
    (b"MAIL FROM:a@b.example", b"250 2.1.0"),
    (b"MAIL FROM:<>", b"250 2.1.0"),
    (b'MAIL FROM:<"a b>\\"c"@b.example>', b"250 2.1.0"),
    (b"MAIL FROM:<@r.example,@s.example:a@b.example>", b"250 2.1.0"),
    (b"MAIL FROM:<bounce+x=y@[127.0.0.1]>", b"250 2.1.0"),
]


def test_each_command_has_its_reply(door: RunningDoor) -> None:
    """Each command, right or wrong, gets its reply with an enhanced code, and the session goes on."""
    for words, expected in WORDS:
        with Raw(door) as raw:
            assert raw.ask(words)[:9] == expected, words
            assert raw.ask(b"NOOP")[:3] == b"250"


def test_order_of_commands(door: RunningDoor) -> None:
    """MAIL needs EHLO, is not nested, and RSET, EHLO and a message begin anew."""
    with Raw(door, hello=False) as raw:
        raw.reply()
        assert raw.ask(b"MAIL FROM:<a@b.example>").startswith(b"503 5.5.1")
        for again in (b"EHLO client.example", b"HELO client.example", b"RSET"):
            raw.ask(b"EHLO client.example")
            assert raw.ask(b"MAIL FROM:<>").startswith(b"250")
            assert raw.ask(b"MAIL FROM:<a@b.example>").startswith(b"503 5.5.1")
            assert raw.ask(f"RCPT TO:<{GATEWAY}>".encode()).startswith(b"250")
            assert raw.ask(again).startswith(b"250")
            assert raw.ask(b"DATA").startswith(b"503 5.5.1")
            assert raw.ask(f"RCPT TO:<{GATEWAY}>".encode()).startswith(b"503 5.5.1")
        raw.into_data()
        raw.say(MAIL + b".\r\n")
        assert raw.reply().startswith(b"250")
        assert raw.ask(b"DATA").startswith(b"503 5.5.1")


def test_recipients(door: RunningDoor) -> None:
    """Only addresses that somebody has here are taken, however they are written; the same one twice is one."""
    with door.services.database.read() as conn:
        from dcc.mailbox.schema import folders

        folder = conn.execute(folders.select()).first().address  # type: ignore[union-attr]
    with Raw(door) as raw:
        assert raw.ask(b"MAIL FROM:<>").startswith(b"250")
        for words, expected in [
            ("<personne@dcc.example>", b"550 5.1.1"),
            ("<passerelle@autre.example>", b"550 5.1.1"),
            ("<>", b"553 5.1.3"),
            ("<passerelle>", b"553 5.1.3"),
            ("<passerelle@dcc.example> NOTIFY=NEVER", b"555 5.5.4"),
            ("<passerelle%dcc.example@autre.example>", b"550 5.1.1"),
            ("<PASSERELLE@DCC.example>", b"250 2.1.5"),
            ('<"passerelle"@dcc.example>', b"250 2.1.5"),
            ("<@relais.example:passerelle@dcc.example>", b"250 2.1.5"),
            (f"<{folder}>", b"250 2.1.5"),
        ]:
            assert raw.ask(f"RCPT TO:{words}".encode())[:9] == expected, words
        assert raw.ask(b"DATA").startswith(b"354")
        raw.say(MAIL + b".\r\n")
        assert raw.reply().startswith(b"250")
    (message,) = stored(door.services)
    assert message.recipients == (GATEWAY, folder)
    assert message.mail_from == ""


@given(st.text(st.characters(max_codepoint=0x180), max_size=60), st.sampled_from(["FROM:", "TO:"]))
def test_any_argument(text: str, keyword: str) -> None:
    """Any text after MAIL or RCPT is a path, or has its reply."""
    for argument in (text, keyword + text, f"{keyword}<{text}>", f"{keyword}<a@b.example>{text}"):
        found = parse_path(keyword, argument)
        if isinstance(found, Refused):
            assert re.match(r"5\d\d 5\.\d\.\d ", found.reply)
        else:
            assert isinstance(found, Path)
            assert not re.search(r"[\x00-\x1f\x7f]", found.address)
            assert found.address.isascii()


@pytest.mark.parametrize("octets", [b"NOOP\n", b"NOOP\rNOOP\r\n", b"NO\0OP\r\n", b"NOOP\n\r\n", b"\n", b"\r\r\n"])
def test_rule_21_commands_end_in_crlf_and_nothing_else(door: RunningDoor, octets: bytes) -> None:
    """A bare CR, a bare LF or a NUL in a command is how one mail becomes two: the line is closed (R-SMTP)."""
    with Raw(door) as raw:
        raw.say(octets + b"NOOP\r\n")
        assert raw.reply().startswith(b"554 5.5.2")
        assert raw.reply() == b""


def test_a_command_that_never_ends(door: RunningDoor) -> None:
    """A command line without an end is cut after a bounded number of octets."""
    with Raw(door) as raw:
        with contextlib.suppress(ConnectionError):
            for _ in range(10_000):
                raw.say(b"x" * 10_000)
        assert raw.reply().startswith(b"500 5.5.2")


@pytest.mark.parametrize(
    "octets", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n", b"\n.\nQUIT\n", b"\n.\r\nQUIT\r\n", b"\r.\rQUIT\r\n"]
)
def test_bare_line_ends_and_nul_are_refused(door: RunningDoor, octets: bytes) -> None:
    """A bare CR, a bare LF or a NUL in the message gets 550 5.5.2 at its true end, and nothing is kept."""
    with Raw(door) as raw:
        raw.into_data()
        raw.say(b"Subject: x\r\n\r\n" + octets + b"\r\n.\r\n")
        assert raw.reply().startswith(b"550 5.5.2")
        assert raw.ask(b"NOOP").startswith(b"250")
    assert not stored(door.services)
    assert not spooled(door.services)


def test_pipelined_commands_behind_data_are_served(door: RunningDoor) -> None:
    """What follows the end of data in the same packet is read as commands."""
    with Raw(door) as raw:
        for content in (MAIL, b"", b"..dot\r\n"):
            raw.into_data()
            raw.say(content + b".\r\nNOOP\r\n")
            assert [raw.reply()[:3] for _ in range(2)] == [b"250", b"250"]
        raw.into_data()
        raw.say(MAIL + b".\r\nQUIT\r\n")
        assert [raw.reply()[:3] for _ in range(3)] == [b"250", b"221", b""]
    assert sorted(one.size for one in stored(door.services)) == [0, 6, len(MAIL)]


def test_early_talkers_are_closed(services: Services) -> None:
    """Who talks before the banner, or before the answer to EHLO or DATA, is told so and closed (RFC 5321 §4.3.1)."""
    with opened(services, greeting_seconds=50) as running, Raw(running, hello=False) as raw:
        raw.say(b"EHLO client.example\r\n")
        assert raw.reply().startswith(b"554 5.5.1")
        assert raw.reply() == b""
    with opened(services, greeting_seconds=0.05) as running:
        with Raw(running, hello=False) as raw:
            raw.reply()
            raw.say(b"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n")
            assert raw.reply().startswith(b"554 5.5.0")
            assert raw.reply() == b""
        with Raw(running) as raw:
            raw.say(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{GATEWAY}>\r\nDATA\r\nSubject: x\r\n".encode())
            assert [raw.reply()[:9] for _ in range(4)] == [b"250 2.1.0", b"250 2.1.5", b"554 5.5.0", b""]
        assert send(running, MAIL)[0] == 250


def test_too_many_received_fields(door: RunningDoor) -> None:
    """More than fifty Received fields are a loop: 554 5.4.6; those of a message inside do not count."""
    code, text = send(door, b"Received: from a by b\r\n" * 51 + MAIL)
    assert (code, text[:5]) == (554, "5.4.6")
    assert send(door, b"RECEIVED: from a by b\r\n" * 50 + MAIL + b"Received: from c by d\r\n" * 20)[0] == 250
