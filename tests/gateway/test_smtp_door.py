"""The SMTP door against the defects A to L of stock aiosmtpd, and the production list (facts: mail §1)."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from doors import RunningDoor, open_door

from dcc.gateway import logs
from dcc.mailbox import messages
from dcc.mailbox.database import DatabaseGone
from dcc.mailbox.spool import Spool, StorageFull

if TYPE_CHECKING:
    from dcc.gateway.services import Services

GATEWAY = "passerelle@dcc.example"
SENDER = "medecin@cabinet.example"
MAIL = b"From: a@b.example\r\nSubject: x\r\n\r\nbonjour\r\n"


@contextlib.contextmanager
def client(door: RunningDoor) -> Iterator[smtplib.SMTP]:
    """A connected client that has said EHLO."""
    with smtplib.SMTP(door.host, door.port, timeout=30) as smtp:
        smtp.ehlo("client.example")
        yield smtp


def send(door: RunningDoor, mail: bytes, recipient: str = GATEWAY, sender: str = SENDER) -> tuple[int, str]:
    """The reply to DATA, or the first refusal."""
    with client(door) as smtp:
        for code, text in (smtp.mail(sender), smtp.rcpt(recipient)):
            if code != 250:
                return code, text.decode()
        code, text = smtp.data(mail)
        return code, text.decode()


class Raw:
    """A client that writes octets as they are."""

    def __init__(self, door: RunningDoor) -> None:
        self.socket = socket.create_connection((door.host, door.port), timeout=30)
        self.file = self.socket.makefile("rb")
        self.reply()
        self.say(b"EHLO client.example\r\n")
        while self.reply()[3:4] == b"-":
            pass

    def say(self, octets: bytes) -> None:
        self.socket.sendall(octets)

    def reply(self) -> bytes:
        return self.file.readline()

    def into_data(self) -> None:
        self.say(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{GATEWAY}>\r\nDATA\r\n".encode())
        assert [self.reply()[:3] for _ in range(3)] == [b"250", b"250", b"354"]

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def resident() -> int:
    """Resident memory of this process, octets."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def stored(services: Services) -> list[messages.Message]:
    """Every message that has a row."""
    with services.database.read() as conn:
        return messages.list_messages(conn)


def test_250_ends_with_the_id_and_everything_is_durable(door: RunningDoor) -> None:
    """The 250 names the message; its row and its unchanged octets are there."""
    code, text = send(door, MAIL)
    assert code == 250
    found = re.fullmatch(r"2\.0\.0 queued as (\S+)", text)
    assert found is not None
    (message,) = stored(door.services)
    assert message.id == found[1]
    raw = door.services.spool.path(message.id).read_bytes()
    assert raw.startswith(b"Received: from client.example by dcc.example with ESMTP")
    assert raw.endswith(MAIL)
    assert SENDER.encode() not in raw.removesuffix(MAIL)


def test_retransmission_gets_the_first_id(door: RunningDoor) -> None:
    """The same envelope and octets, sent again before the first is worked on, are one message."""
    assert send(door, MAIL)[1] == send(door, MAIL)[1]
    assert len(stored(door.services)) == 1
    assert len(list(door.services.spool.directory.iterdir())) == 1


def test_a_exception_is_a_fixed_451(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect A: a failure inside is a temporary reply with a reference, never its text."""

    def fail(_address: str) -> bool:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(door.door.intake, "recipient_known", fail)
    with client(door) as smtp:
        smtp.mail(SENDER)
        code, text = smtp.rcpt(GATEWAY)
    assert code == 451
    assert b"4.3.0" in text
    assert b"secret" not in text
    assert b"RuntimeError" not in text


def test_b_endless_line_stays_in_bounded_memory(services: Services) -> None:
    """Defect B: 300 MB without a line end are thrown away in bounded memory, and refused."""
    running = open_door(services, message_size=60 << 20)
    try:
        raw = Raw(running)
        raw.into_data()
        before, block = resident(), b"A" * (1 << 20)
        peak = 0
        with contextlib.suppress(ConnectionError):
            for number in range(300):
                raw.say(block)
                if number % 20 == 0:
                    peak = max(peak, resident() - before)
        with contextlib.suppress(ConnectionError):
            assert raw.reply()[:3] in {b"421", b""}
        raw.close()
        assert peak < 64 << 20
    finally:
        running.stop(1.0)
    assert not stored(services)
    assert not list(services.spool.directory.iterdir())


def test_c_large_mails_stream_in_constant_memory(door: RunningDoor) -> None:
    """Defect C: 50 MB of short lines cost less than 64 MB of memory."""
    mail = b"Subject: x\r\n\r\n" + b"\r\n" * (25 << 20)
    before, peak, done = resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            peak[0] = max(peak[0], resident() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    raw = Raw(door)
    raw.into_data()
    for at in range(0, len(mail), 1 << 20):
        raw.say(mail[at : at + (1 << 20)])
    raw.say(b".\r\n")
    assert raw.reply().startswith(b"250 2.0.0 queued as ")
    done.set()
    watcher.join()
    raw.close()
    assert stored(door.services)[0].size == len(mail)
    assert peak[0] < 64 << 20


def test_d_over_the_limit_is_552_then_421(services: Services) -> None:
    """Defect D: over the limit is told at the end; far over it the line is closed."""
    running = open_door(services, message_size=1 << 20)
    try:
        code, text = send(running, b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * 20_000)
        assert (code, text[:5]) == (552, "5.3.4")
        with client(running) as smtp:
            code, _ = smtp.mail(SENDER, [f"SIZE={2 << 20}"])
            assert code == 552
        raw = Raw(running)
        raw.into_data()
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                raw.say((b"z" * 76 + b"\r\n") * 3000)
        with contextlib.suppress(ConnectionError):
            assert raw.reply()[:3] in {b"421", b""}
        raw.close()
    finally:
        running.stop(1.0)
    assert not stored(services)


def test_e_slow_sender_is_not_cut_while_it_sends(services: Services) -> None:
    """Defect E: the timer starts again with each chunk, and a sender that stops is cut."""
    running = open_door(services, command_seconds=0.6, chunk_seconds=0.6)
    try:
        raw = Raw(running)
        raw.into_data()
        for _ in range(8):
            time.sleep(0.2)
            raw.say(b"line\r\n")
        raw.say(b".\r\n")
        assert raw.reply()[:3] == b"250"
        raw.into_data()
        time.sleep(1.2)
        assert raw.reply() == b""
        raw.close()
    finally:
        running.stop(1.0)


def test_f_commit_outlives_the_client(door: RunningDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defect F: a client that leaves during the commit does not undo it; what it sends again is the same message."""
    real = door.door.intake.commit
    entered, leave = threading.Event(), threading.Event()

    def slow(envelope: object, writer: object) -> str:
        entered.set()
        leave.wait(10)
        return real(envelope, writer)  # type: ignore[arg-type]

    monkeypatch.setattr(door.door.intake, "commit", slow)
    raw = Raw(door)
    raw.into_data()
    raw.say(MAIL + b".\r\n")
    assert entered.wait(10)
    raw.close()
    time.sleep(0.2)
    leave.set()
    deadline = time.monotonic() + 10
    while not stored(door.services) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(stored(door.services)) == 1
    monkeypatch.setattr(door.door.intake, "commit", real)
    assert send(door, MAIL)[1].endswith(stored(door.services)[0].id)


def test_g_connections_recipients_and_rate_are_limited(services: Services) -> None:
    """Defect G: too many connections, recipients or messages are told so."""
    running = open_door(services, connections_per_address=2, recipients=3, messages_per_minute=4)
    try:
        held = [Raw(running), Raw(running)]
        with socket.create_connection((running.host, running.port), timeout=10) as third:
            assert third.recv(200).startswith(b"421 4.7.0")
        for one in held:
            one.close()
        time.sleep(0.2)
        with client(running) as smtp:
            smtp.mail(SENDER)
            assert [smtp.rcpt(GATEWAY)[0] for _ in range(4)] == [250, 250, 250, 452]
            smtp.rset()
            assert [smtp.mail(SENDER)[0] for _ in range(4) if smtp.rset()] == [250, 250, 250, 451]
    finally:
        running.stop(1.0)


def test_h_descriptors_are_kept_for_the_work(services: Services) -> None:
    """Defect H: the number of connections stays below the number of descriptors, whatever the settings say."""
    import resource

    running = open_door(services, connections=10_000_000)
    try:
        assert running.door._most < resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    finally:
        running.stop(1.0)


def test_i_stop_tells_the_idle_and_awaits_those_in_data(door: RunningDoor) -> None:
    """Defect I: 421 to the idle at once; a message under way is taken, then the line is closed."""
    idle, busy = Raw(door), Raw(door)
    busy.into_data()
    busy.say(MAIL)
    time.sleep(0.1)
    stopping = threading.Thread(target=door.stop, args=(5.0,))
    stopping.start()
    assert idle.reply().startswith(b"421 4.3.2")
    busy.say(b".\r\n")
    assert busy.reply().startswith(b"250 2.0.0 queued as ")
    assert busy.reply().startswith(b"421")
    stopping.join(20)
    assert not stopping.is_alive()
    idle.close()
    busy.close()
    assert len(stored(door.services)) == 1


def test_j_long_lines_are_taken(door: RunningDoor) -> None:
    """Defect J: a line of 60 000 octets is taken; beyond the setting it is refused."""
    assert send(door, b"Subject: x\r\n\r\n" + b"a" * 60_000 + b"\r\n")[0] == 250
    assert send(door, b"Subject: x\r\n\r\n" + b"a" * 70_000 + b"\r\n")[0] == 550


def test_k_no_address_and_no_content_in_any_log(
    door: RunningDoor, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defect K: at DEBUG, no logger says an address or an octet of a message; the banner names no product version."""
    logs.configure(level=logging.DEBUG)
    logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
    with caplog.at_level(logging.DEBUG):
        send(door, b"Subject: PAT-TROIS\r\n\r\nDOMINIQUE est venue\r\n")
        send(door, MAIL, recipient="inconnu@dcc.example")
    shown = capsys.readouterr()
    text = caplog.text + shown.out + shown.err
    for secret in ("PAT-TROIS", "DOMINIQUE", SENDER, GATEWAY, "inconnu"):
        assert secret not in text
    with socket.create_connection((door.host, door.port), timeout=10) as raw:
        banner = raw.recv(200).decode()
    assert "Python" not in banner
    assert "aiosmtpd" not in banner
    structlog.reset_defaults()


def test_l_handshake_has_a_deadline(services: Services) -> None:
    """Defect L: a client that says STARTTLS and then nothing is cut."""
    running = open_door(services, handshake_seconds=0.5)
    try:
        raw = Raw(running)
        raw.say(b"STARTTLS\r\n")
        assert raw.reply()[:3] == b"220"
        begun = time.monotonic()
        assert raw.socket.recv(100) == b""
        assert time.monotonic() - begun < 5
        raw.close()
    finally:
        running.stop(1.0)


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_starttls_discards_what_was_sent_before(door: RunningDoor) -> None:
    """STARTTLS works; commands slipped in before the handshake are dropped (R-SMTP, CVE-2011-0411)."""
    raw = Raw(door)
    raw.say(b"STARTTLS\r\nRSET\r\nNOOP\r\n")
    assert raw.reply()[:3] == b"220"
    secure = _context().wrap_socket(raw.socket)
    secure.sendall(b"EHLO client.example\r\n")
    answer = secure.recv(4096)
    assert answer.startswith(b"250-")
    secure.sendall(f"MAIL FROM:<{SENDER}>\r\n".encode())
    assert secure.recv(200).startswith(b"250")
    secure.close()


def test_implicit_tls_takes_mail(door: RunningDoor) -> None:
    """The implicit TLS listener takes a message, and the trace says so."""
    with smtplib.SMTP_SSL(door.host, door.tls_port, timeout=30, context=_context()) as smtp:
        smtp.sendmail(SENDER, [GATEWAY], MAIL)
    (message,) = stored(door.services)
    assert b" with ESMTPS" in door.services.spool.path(message.id).read_bytes()


def test_required_tls_refuses_clear_mail(services: Services) -> None:
    """With require_tls, a mail in clear gets 530."""
    running = open_door(services, require_tls=True)
    try:
        with client(running) as smtp:
            assert smtp.mail(SENDER)[0] == 530
    finally:
        running.stop(1.0)


@pytest.mark.parametrize("octets", [b"a\nb\r\n", b"a\rb\r\n", b"a\0b\r\n"])
def test_bare_line_ends_and_nul_are_refused(door: RunningDoor, octets: bytes) -> None:
    """A bare CR, a bare LF or a NUL in the message gets 550 5.5.2, and nothing is kept."""
    raw = Raw(door)
    raw.into_data()
    raw.say(b"Subject: x\r\n\r\n" + octets + b".\r\n")
    assert raw.reply().startswith(b"550 5.5.2")
    raw.close()
    assert not stored(door.services)
    assert not list(door.services.spool.directory.iterdir())


def test_pipelined_commands_behind_data_are_served(door: RunningDoor) -> None:
    """What follows the end of data in the same packet is read as commands."""
    raw = Raw(door)
    raw.into_data()
    raw.say(MAIL + b".\r\nNOOP\r\nQUIT\r\n")
    assert [raw.reply()[:3] for _ in range(3)] == [b"250", b"250", b"221"]
    raw.close()


def test_unknown_recipient_is_told_at_rcpt(door: RunningDoor) -> None:
    """An address that nobody has here gets 550 at RCPT; a folder's address is known."""
    assert send(door, MAIL, recipient="personne@dcc.example")[0] == 550
    assert send(door, MAIL, recipient="PASSERELLE@DCC.example")[0] == 250


def test_null_sender_is_taken(door: RunningDoor) -> None:
    """A bounce comes from nobody, and is taken."""
    assert send(door, MAIL, sender="")[0] == 250
    assert stored(door.services)[0].mail_from == ""


def test_too_many_received_fields(door: RunningDoor) -> None:
    """More than fifty Received fields are a loop: 554 5.4.6."""
    loop = b"Received: from a by b\r\n" * 51 + MAIL
    code, text = send(door, loop)
    assert (code, text[:5]) == (554, "5.4.6")
    assert send(door, b"Received: from a by b\r\n" * 50 + MAIL)[0] == 250


@pytest.mark.parametrize(("error", "code"), [(StorageFull("x"), 452), (DatabaseGone("x"), 451)])
def test_full_disk_and_absent_database_are_temporary(
    door: RunningDoor, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    """A full disk is 452, an absent database 451, nothing is kept, and the next mail is taken."""
    real = door.door.intake.commit

    def fail(_envelope: object, _writer: object) -> str:
        raise error

    monkeypatch.setattr(door.door.intake, "commit", fail)
    assert send(door, MAIL)[0] == code
    monkeypatch.setattr(door.door.intake, "commit", real)
    assert not list(door.services.spool.directory.iterdir())
    assert send(door, MAIL)[0] == 250


def test_really_full_disk(door: RunningDoor) -> None:
    """ENOSPC from the file system itself is 452 4.3.1."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")

    class Full(Spool):
        def create(self, message_id: str):  # type: ignore[no-untyped-def]
            writer = super().create(message_id)
            assert writer._file is not None
            os.dup2(os.open("/dev/full", os.O_WRONLY), writer._file.fileno())
            return writer

    door.services.spool = Full(door.services.spool.directory)
    code, text = send(door, MAIL)
    assert (code, text[:5]) == (452, "4.3.1")
    assert not stored(door.services)


def test_back_pressure(services: Services) -> None:
    """Above the queue's high-water mark the door says later at MAIL."""
    running = open_door(services, queue_high_water=1)
    try:
        assert send(running, MAIL)[0] == 250
        time.sleep(1.1)
        assert send(running, MAIL + b"more\r\n")[0] == 451
    finally:
        running.stop(1.0)


def test_free_disk_is_looked_at_before_anything_is_received(services: Services) -> None:
    """Below the floor of free disk, MAIL gets 452."""
    running = open_door(services, free_disk_bytes=1 << 60)
    try:
        with client(running) as smtp:
            assert smtp.mail(SENDER)[0] == 452
    finally:
        running.stop(1.0)
