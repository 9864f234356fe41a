"""The SMTP door against the defects A to L of stock aiosmtpd (facts: mail §1)."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog

from dcc.gateway import logs
from dcc.gateway.smtp import SPARE_FILES
from doors import (
    GATEWAY,
    MAIL,
    SENDER,
    Place,
    Raw,
    RunningDoor,
    client,
    opened,
    send,
    spooled,
    stored,
    until,
)  # fmt: skip

if TYPE_CHECKING:
    from conftest import Served
    from dcc.gateway.services import Services

MEGA = 1 << 20


def test_a_exception_is_a_fixed_451(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect A: a failure inside is a temporary reply with a reference, never its text, and the session goes on."""

    def fail(_address: str) -> bool:
        raise RuntimeError("secret detail")

    with client(door) as smtp:
        smtp.mail(SENDER)
        with monkeypatch.context() as patch:
            patch.setattr(door.door.intake, "recipient_known", fail)
            code, text = smtp.rcpt(GATEWAY)
        assert code == 451
        assert re.fullmatch(rb"4\.3\.0 Temporary failure, try again later \(reference [0-9a-f]{8}\)", text)
        assert smtp.rcpt(GATEWAY)[0] == 250


def test_a_failure_while_receiving_or_committing_is_temporary(
    door: RunningDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Defect A: whatever fails around the file of a message, all of DATA is read first: none of it becomes a command."""

    def fail(*_arguments: object) -> None:
        raise RuntimeError("secret detail")

    for name in ("begin", "commit"):
        with monkeypatch.context() as patch, Raw(door) as raw:
            patch.setattr(door.door.intake, name, fail)
            raw.into_data()
            raw.say(b"Subject: x\r\n\r\n" + b"QUIT\r\n" * 100_000)
            raw.say(b".\r\n")
            reply = raw.reply()
            assert reply.startswith(b"451 4.3.0 ")
            assert b"secret" not in reply
            assert raw.ask(b"NOOP").startswith(b"250")
    until(lambda: not spooled(door.services))
    assert not stored(door.services)


def test_b_endless_line_stays_in_bounded_memory(served: Served) -> None:
    """Defect B: 300 MB without a line end are thrown away in bounded memory, and refused."""
    before, block = served.forget_peak(), b"A" * MEGA
    with Raw(served) as raw:
        raw.into_data()
        for _ in range(300):
            raw.say(block)
        raw.say(b"\r\n.\r\n")
        assert raw.reply()[:3] in {b"550", b"552"}
    assert served.peak() - before < 64 * MEGA


@pytest.mark.parametrize("line", [b"\r\n", b"a" * 76 + b"\r\n", b"..\r\n", b".\r\n"[:1] * 2 + b"x" * 60_000 + b"\r\n"])
def test_c_large_mails_stream_in_constant_memory(served: Served, line: bytes) -> None:
    """Defect C: 50 MB of empty, ordinary, dotted or long lines cost less than 64 MB of memory."""
    block = line * (MEGA // len(line))
    before = served.forget_peak()
    with Raw(served) as raw:
        raw.into_data()
        raw.say(b"Subject: x\r\n\r\n")
        for _ in range(50):
            raw.say(block)
        raw.say(b".\r\n")
        queued = raw.reply()
    assert queued.startswith(b"250 2.0.0 queued as ")
    assert served.peak() - before < 64 * MEGA
    file = served.directory / "var" / "spool" / f"{queued.split()[-1].decode()}.eml"
    content = file.read_bytes().partition(b"Subject: x\r\n\r\n")[2]
    assert content == (line.removeprefix(b".") * (MEGA // len(line))) * 50
    file.unlink()


def test_d_over_the_limit_is_552_then_421(services: Services) -> None:
    """Defect D: over the limit is told at MAIL or at the end; four times over it the line is closed; nothing is kept."""
    with opened(services, message_size=MEGA) as running:
        code, text = send(running, b"Subject: x\r\n\r\n" + (b"y" * 76 + b"\r\n") * 20_000)
        assert (code, text[:5]) == (552, "5.3.4")
        assert send(running, b"y" * 76 + b"\r\n")[0] == 250
        with client(running) as smtp:
            assert smtp.mail(SENDER, [f"SIZE={2 * MEGA}"])[0] == 552
            assert smtp.mail(SENDER, [f"SIZE={MEGA}"])[0] == 250
        with Raw(running) as raw:
            raw.into_data()
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    raw.say((b"z" * 76 + b"\r\n") * 3000)
            assert raw.reply().startswith(b"421 4.3.4")
            assert raw.reply() == b""
        until(lambda: len(spooled(services)) == 1)
    assert len(stored(services)) == 1


def test_e_the_timer_begins_anew_with_each_chunk(services: Services) -> None:
    """Defect E: each chunk of DATA gives a slow sender its full time again."""
    with opened(services, chunk_seconds=300, command_seconds=300) as door, Raw(door) as raw:
        raw.into_data()
        (session,) = door.door._sessions
        for _ in range(5):
            before = session._timeout_handle.when()
            raw.say(b"line\r\n")
            until(lambda due=before: session._timeout_handle.when() > due)  # type: ignore[misc]
        raw.say(b".\r\n")
        assert raw.reply().startswith(b"250")


def test_e_silence_and_slowness_have_an_end(services: Services) -> None:
    """Defect E: a sender that stops within DATA is cut, and so is one that goes on for too long."""
    with opened(services, chunk_seconds=0.2) as running, Raw(running) as raw:
        raw.into_data()
        raw.say(b"Subject: x\r\n")
        assert raw.reply().startswith(b"421 4.4.2")
        assert raw.reply() == b""
    with opened(services, message_seconds=0.3) as running, Raw(running) as raw:
        raw.into_data()
        raw.socket.settimeout(0.02)
        told = b""
        while not told:
            with contextlib.suppress(TimeoutError, ConnectionError):
                raw.say(b"line\r\n")
            with contextlib.suppress(TimeoutError):
                told = raw.reply()
        assert told.startswith(b"421 4.4.2")
    assert not stored(services)
    assert not spooled(services)


@pytest.mark.parametrize("how", ["leaves", "breaks", "waits too long"])
def test_f_commit_outlives_the_client(services: Services, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Defect F: a client that goes during the commit does not undo it; what it sends again is the same message."""
    with opened(services, command_seconds=0.3 if how == "waits too long" else 300) as door:
        real = door.door.intake.commit
        entered, leave = threading.Event(), threading.Event()

        def slow(envelope: object, writer: object) -> str:
            entered.set()
            leave.wait(60)
            return real(envelope, writer)  # type: ignore[arg-type]

        with monkeypatch.context() as patch, Raw(door) as raw:
            patch.setattr(door.door.intake, "commit", slow)
            raw.into_data()
            raw.say(MAIL + b".\r\n")
            assert entered.wait(60)
            if how == "waits too long":
                assert raw.reply().startswith(b"421 4.4.2")
            elif how == "breaks":
                raw.reset()
                until(lambda: not door.door._sessions)
            else:
                raw.socket.close()
            leave.set()
            until(lambda: not door.door.background)
        (message,) = stored(services)
        assert spooled(services) == [f"{message.id}.eml"]
        assert send(door, MAIL)[1].endswith(message.id)
    assert len(stored(services)) == 1
    assert spooled(services) == [f"{message.id}.eml"]


def test_f_a_message_that_breaks_off_leaves_nothing(door: RunningDoor) -> None:
    """Defect F: a client that goes in the middle of DATA leaves neither a row nor a file."""
    with Raw(door) as raw:
        raw.into_data()
        raw.say(b"Subject: x\r\n\r\n" + b"a" * 60_000 + b"\r\n" + b"b\r\n" * 400_000)
        until(lambda: bool(spooled(door.services)))
        raw.reset()
    until(lambda: not spooled(door.services))
    assert not stored(door.services)


def test_f_a_client_that_only_stops_talking_hears_the_answer(door: RunningDoor) -> None:
    """Defect F: the end of the client's octets is not the end of its connection."""
    with Raw(door) as raw:
        raw.into_data()
        raw.say(MAIL + b".\r\n")
        raw.socket.shutdown(1)
        assert raw.reply().startswith(b"250 2.0.0 queued as ")


def test_g_recipients_and_rate_are_limited(services: Services) -> None:
    """Defect G: too many recipients or messages are told so, and a moment later may come again."""
    with opened(services, recipients=3, messages_per_minute=4) as running, client(running) as smtp:
        smtp.mail(SENDER)
        assert [smtp.rcpt(GATEWAY)[0] for _ in range(3)] == [250, 250, 250]
        code, text = smtp.rcpt(GATEWAY)
        assert (code, text[:5]) == (452, b"4.5.3")
        found = [smtp.mail(SENDER) for _ in range(4) if smtp.rset()]
        assert [code for code, _ in found] == [250, 250, 250, 451]
        assert found[-1][1].startswith(b"4.7.1")


def test_g_connections_are_limited_by_address_network_and_in_all(services: Services) -> None:
    """Defect G: one connection too many gets 421 4.7.0 at once, and its place is free again when another ends."""
    with opened(services, connections_per_address=2, connections_per_network=3, connections=4) as running:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(Raw(running))
            sources = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.1.1", "127.0.2.1"]
            told = []
            for source in sources:
                raw = stack.enter_context(Raw(running, source=source, hello=False))
                told.append(raw.reply()[:9])
            full = b"421 4.7.0"
            assert told == [b"220 dcc.e", full, b"220 dcc.e", full, b"220 dcc.e", full]
            assert first.ask(b"NOOP").startswith(b"250")
            assert running.door.metrics.registry.get_sample_value("dcc_smtp_connections_refused_total") == 3
        until(lambda: not running.door._sessions)
        assert send(running, MAIL)[0] == 250


def test_g_duration_commands_and_errors_are_limited(services: Services) -> None:
    """Defect G: a session that lasts too long, says too much or is wrong too often is closed with 421."""
    with opened(services, session_seconds=0.2) as running, Raw(running) as raw:
        assert raw.reply().startswith(b"421 4.4.2")
    with opened(services, command_seconds=0.2) as running, Raw(running) as raw:
        assert raw.reply().startswith(b"421 4.4.2")
    with opened(services) as running:
        for word, most in ((b"NOPE\r\n", 20), (b"NOOP\r\n", 5000)):
            with Raw(running) as raw:
                with contextlib.suppress(ConnectionError):
                    raw.say(word * 6000)
                replies = 0
                while not (reply := raw.reply()).startswith(b"421 4.7.0"):
                    assert reply
                    replies += 1
            assert most - 2 <= replies <= most


def test_g_a_peer_that_does_not_read_is_cut(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect G: a peer that asks and never reads keeps its place no longer than its time."""
    monkeypatch.setattr("dcc.gateway.smtp_connection.LINGER_SECONDS", 0.1)
    monkeypatch.setattr("dcc.gateway.smtp_connection.MOST_COMMANDS", 1 << 60)
    with opened(services, session_seconds=1) as running, Raw(running) as raw:
        raw.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                raw.say(b"HELP\r\n" * 10_000)
        until(lambda: not running.door._sessions)


def test_h_descriptors_are_kept_for_the_work(instance: Path, tmp_path: Path) -> None:
    """Defect H: however many connect, descriptors are left for the work, and the log stays short."""
    limit = SPARE_FILES + 40
    log, ready = tmp_path / "log", instance / "run" / "ready.json"
    many = {
        f"DCC_SMTP__{name}": "100000" for name in ("CONNECTIONS", "CONNECTIONS_PER_ADDRESS", "CONNECTIONS_PER_NETWORK")
    }
    command = [sys.executable, "-m", "dcc.gateway.cli", "serve", "-c", str(instance / "dcc.toml"), "--role", "smtp"]
    with log.open("wb") as out, subprocess.Popen(
        command, stdout=out, stderr=out, env=os.environ | many,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
    ) as process:  # fmt: skip
        try:
            until(lambda: ready.exists() or process.poll() is not None)
            host, _, port = re.search(r'"smtp": "([^"]+)"', ready.read_text())[1].rpartition(":")  # type: ignore[index]
            place = Place(host, int(port))
            with contextlib.ExitStack() as stack:
                raws = [stack.enter_context(Raw(place, hello=False)) for _ in range(limit + 30)]
                told = [one.reply()[:3] for one in raws]
                assert told.count(b"220") == 40
                assert told.count(b"421") == limit + 30 - 40
                assert raws[0].ask(b"EHLO client.example").startswith(b"250")
                raws[0].into_data()
                raws[0].say(MAIL + b".\r\n")
                assert raws[0].reply().startswith(b"250 2.0.0 queued as ")
        finally:
            process.terminate()
            assert process.wait(30) == 0, log.read_text()
    assert log.stat().st_size < 2000
    assert b"Traceback" not in log.read_bytes()


def test_i_stop_tells_the_idle_and_awaits_those_in_data(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect I: 421 to the idle at once; a message under way is taken, then the line is closed."""
    monkeypatch.setattr("dcc.gateway.smtp_connection.LINGER_SECONDS", 0.1)  # the secure one never says farewell
    with Raw(door) as idle, Raw(door) as busy, Raw(door) as secure:
        secure.ask(b"STARTTLS")
        secure.start_tls()
        assert secure.ask(b"EHLO client.example").startswith(b"250")
        busy.into_data()
        busy.say(MAIL)
        stopping = threading.Thread(target=door.stop, args=(60.0,))
        stopping.start()
        assert idle.reply().startswith(b"421 4.3.2")
        assert idle.reply() == b""
        assert secure.reply().startswith(b"421 4.3.2")
        assert stopping.is_alive()
        busy.say(b".\r\n")
        assert busy.reply().startswith(b"250 2.0.0 queued as ")
        assert busy.reply().startswith(b"421 4.3.2")
        assert busy.reply() == b""
        stopping.join(60)
        assert not stopping.is_alive()
    assert len(stored(door.services)) == 1


def test_i_stop_does_not_wait_for_ever(door: RunningDoor) -> None:
    """Defect I: a message that does not end within the time given, or a handshake, does not hold up the end."""
    with Raw(door) as busy, Raw(door) as silent:
        busy.into_data()
        busy.say(MAIL)
        assert silent.ask(b"STARTTLS").startswith(b"220")
        stopping = threading.Thread(target=door.stop, args=(0.2,))
        stopping.start()
        assert busy.reply().startswith(b"421 4.3.2")
        assert silent.reply() == b""
        stopping.join(60)
        assert not stopping.is_alive()
    assert not stored(door.services)
    assert not spooled(door.services)


@pytest.mark.parametrize("before", [0, 1000, 200_000])
def test_j_long_lines_are_taken(door: RunningDoor, before: int) -> None:
    """Defect J: a line of 65 536 octets is taken wherever it stands; one octet more is refused."""
    head = b"Subject: x\r\n\r\n" + (b"-" * 98 + b"\r\n") * (before // 100)
    tail = b"\r\n" + b"end\r\n" * 20_000
    assert send(door, head + b"a" * (64 << 10) + tail)[0] == 250
    code, text = send(door, head + b"a" * ((64 << 10) + 1) + tail)
    assert (code, text[:5]) == (550, "5.6.0")


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Iterator[tuple[list[logging.Logger], io.StringIO]]:
    """All loggers there are, those included that the gateway quiets, and where its own events go."""
    root = logging.getLogger()
    loggers = [logging.getLogger(name) for name in ["", *root.manager.loggerDict, *logs.QUIET]]
    before = [(one, one.level) for one in loggers]
    events = io.StringIO()
    logs.configure(events, logging.DEBUG)
    caplog.handler.setLevel(logging.DEBUG)
    yield loggers, events
    for one, level in before:
        one.setLevel(level)
    structlog.reset_defaults()


def test_k_no_address_and_no_content_in_any_log(
    services: Services,
    everything: tuple[list[logging.Logger], io.StringIO],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Defect K: at DEBUG, asyncio's own included, no logger says an address or an octet of a message, come what may."""
    loggers, events = everything

    def fail(*_arguments: object) -> None:
        raise RuntimeError(f"DOMINIQUE {SENDER}")

    with opened(services, connections_per_address=3) as door:
        door.loop.call_soon_threadsafe(door.loop.set_debug, True)
        door.loop.slow_callback_duration = 0  # every callback is told
        for one in loggers:
            one.setLevel(logging.DEBUG)
        secret = b"Subject: PAT-TROIS\r\n\r\nDOMINIQUE est venue\r\n"
        assert send(door, secret)[0] == 250
        assert send(door, MAIL, recipient="inconnu@dcc.example")[0] == 550
        assert send(door, secret + b"DOMINIQUE" * 10_000)[0] == 550
        for name in ("room", "recipient_known", "begin", "commit"):
            with monkeypatch.context() as patch:
                patch.setattr(door.door.intake, name, fail)
                assert send(door, secret + name.encode())[0] == 451
        for words in (
            b"VRFY <inconnu@dcc.example>",
            b"DOMINIQUE",
            b"MAIL FROM:<DOMINIQUE",
            b"MAIL PAT-TROIS",
            b"STARTTLS",
        ):
            with Raw(door) as raw:
                raw.ask(words)
                raw.say(b"DOMINIQUE\nRCPT TO:<inconnu@dcc.example>\r\n")
        with Raw(door) as raw:
            raw.into_data()
            raw.say(secret)
            raw.reset()
    assert "session_failed" in events.getvalue()
    assert "took" in caplog.text  # asyncio did talk
    text = caplog.text + events.getvalue() + "".join(capfd.readouterr())
    for one in ("PAT-TROIS", "DOMINIQUE", SENDER, GATEWAY, "inconnu"):
        assert one not in text


def test_k_the_banner_names_no_program(door: RunningDoor) -> None:
    """Defect K: neither banner nor replies name Python, aiosmtpd or a version."""
    with Raw(door, hello=False) as raw:
        told = [raw.reply(), raw.ask(b"HELP"), raw.ask(b"EHLO client.example"), raw.ask(b"QUIT")]
    assert told[0] == b"220 dcc.example ESMTP DCC gateway"
    for one in told:
        assert not re.search(rb"python|aiosmtpd|\d\.\d\.\d+[a-z]", one, re.IGNORECASE)


def test_l_handshake_has_a_deadline(services: Services) -> None:
    """Defect L: a client that says STARTTLS or connects to the TLS port, and then nothing, is cut and leaves its place."""
    with opened(services, handshake_seconds=0.3) as running:
        with Raw(running) as raw:
            assert raw.ask(b"STARTTLS").startswith(b"220")
            assert raw.reply() == b""
        with Raw(Place(running.host, running.tls_port), hello=False) as raw:
            assert raw.reply() == b""
        until(lambda: not running.door._sessions)


@pytest.mark.parametrize("how", ["leaves", "breaks", "talks nonsense"])
def test_l_a_failed_handshake_leaves_its_place(door: RunningDoor, how: str) -> None:
    """Defect L: a handshake that fails ends the connection, and its place is free again."""
    with Raw(door) as raw, Raw(Place(door.host, door.tls_port), hello=False) as implicit:
        assert raw.ask(b"STARTTLS").startswith(b"220")
        until(lambda: len(door.door._sessions) == 2)
        for one in (raw, implicit):
            if how == "leaves":
                one.socket.close()
            elif how == "breaks":
                one.reset()
            else:
                one.say(b"MAIL FROM:<a@b.example>\r\n" * 10)
        until(lambda: not door.door._sessions)


def test_l_handshakes_count_as_connections(services: Services) -> None:
    """Defect L: who has not finished the handshake on the TLS port takes a place all the same."""
    with opened(services, connections_per_address=2) as running:
        place = Place(running.host, running.tls_port)
        with Raw(place, hello=False), Raw(place, hello=False):
            until(lambda: len(running.door._sessions) == 2)
            with Raw(place, hello=False) as third:
                assert third.reply() == b""
            with Raw(running, hello=False) as fourth:
                assert fourth.reply().startswith(b"421 4.7.0")


def test_l_nobody_can_log_in(door: RunningDoor) -> None:
    """Defect L: AUTH is announced neither in clear nor under TLS, and refused."""
    with Raw(door) as raw:
        assert raw.ask(b"AUTH PLAIN AGEAYg==").startswith(b"502 5.5.1")
        assert raw.ask(b"STARTTLS").startswith(b"220")
        raw.start_tls()
        raw.say(b"EHLO client.example\r\n")
        assert not [line for line in raw.answer() if b"AUTH" in line or b"STARTTLS" in line]
        assert raw.ask(b"AUTH PLAIN AGEAYg==").startswith(b"502 5.5.1")
