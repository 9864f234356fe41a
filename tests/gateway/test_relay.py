"""The smarthost: what each answer means for a mail, and what arrives at the other end."""

from __future__ import annotations

import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from dcc.gateway import relay as relay_module
from dcc.gateway.relay import SmartHost, relay_of, tls_context
from dcc.gateway.relaying import Outcome, Rejected, Relay, Sent, TryLater, Uncertain
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.gateway.settings_sections import RelaySettings
from postoffice import PostOffice, free_port
from smtpscript import CLOSE, RESET, SILENCE, FaultyLine, ScriptedServer, open_sockets

SENDER, READER = "passerelle@dcc.example", "lecteur@rca.example"
HEAD = b"From: passerelle@dcc.example\r\nSubject: DCC\r\n\r\n"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """The next host."""
    with ScriptedServer() as found:
        yield found


@pytest.fixture
def host() -> Iterator[Callable[..., SmartHost]]:
    """Makes relays to a port; their connections end with the test."""
    made: list[SmartHost] = []

    def make(port: int, **changes: object) -> SmartHost:
        settings = RelaySettings.model_validate({"port": port, "timeout_seconds": 30, **changes})
        one = SmartHost(settings, "dcc.example", ssl.create_default_context())
        made.append(one)
        return one

    yield make
    for one in made:
        one.close()


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    """A finished mail."""
    path = tmp_path / "mail.eml"
    path.write_bytes(HEAD + b"contenu\r\n")
    return path


def certificate_for(address: str) -> bytes:
    """A self-signed certificate for an address, and its key, in PEM."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "relay")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False)
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    key = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key + made.public_bytes(Encoding.PEM)


def send(relay: SmartHost, mail: Path, recipient: str = READER) -> Outcome:
    return relay.send(mail, sender=SENDER, recipient=recipient, delivery_id="d")


def test_taken(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """A 250 to the data means sent, once, with the envelope as given."""
    assert send(host(server.port), mail) == Sent()
    (found,) = server.mails
    assert (found.recipient, found.octets) == (READER, mail.read_bytes())
    assert found.sender == f"MAIL FROM:<{SENDER}> SIZE={mail.stat().st_size}"


@pytest.mark.parametrize(("ask", "offered"), [(True, True), (True, False), (False, True)])
def test_report_asked_of_the_next_host(
    server: ScriptedServer, host: Callable[..., SmartHost], mail: Path, ask: bool, offered: bool
) -> None:
    """A report is asked for where the settings say so and the next host can: of the headers only (RFC 3461)."""
    if offered:
        server.replies["EHLO"].append("250-relay.example\r\n250 DSN")
    assert send(host(server.port, ask_dsn=ask), mail) == Sent()
    (found,) = server.mails
    asked = ask and offered
    assert found.sender.endswith(" RET=HDRS") is asked
    assert found.recipient == (f"{READER}> NOTIFY=SUCCESS,FAILURE" if asked else READER)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "end"])
@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("450 4.2.1 <lecteur@rca.example> busy", TryLater("450 4.2.1")),
        ("451 try again", TryLater("451")),
        ("550 5.1.1 <lecteur@rca.example> unknown", Rejected("550 5.1.1")),
        ("554 no", Rejected("554")),
    ],
)
def test_refused(
    server: ScriptedServer, host: Callable[..., SmartHost], mail: Path, verb: str, reply: str, outcome: Outcome
) -> None:
    """4xx is for later, 5xx for good, at whichever command; the text, which may name somebody, is not kept (I3).

    The connection stays good for the next mail.
    """
    relay = host(server.port)
    server.replies[verb].append(reply)
    assert send(relay, mail) == outcome
    assert server.mails == []
    assert send(relay, mail) == Sent()
    assert server.connections == 1


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", ["530 5.7.0 log in first", "530 Must issue a STARTTLS", "503 5.5.1 EHLO first"])
def test_host_that_does_not_like_how_we_speak(
    server: ScriptedServer, host: Callable[..., SmartHost], mail: Path, verb: str, reply: str
) -> None:
    """A relay whose settings are wrong must not fail every mail for good at once: they wait for the operator (I1)."""
    relay = host(server.port)
    server.replies[verb].append(reply)
    found = send(relay, mail)
    assert isinstance(found, TryLater)
    assert found.code.startswith(reply[:3])
    assert send(relay, mail) == Sent()


@pytest.mark.parametrize("reply", ["554 5.7.1 not from here", "421 4.3.2 not now", CLOSE, RESET])
@pytest.mark.parametrize("verb", ["connect", "EHLO"])
def test_host_that_refuses_us_refuses_no_mail(
    server: ScriptedServer, host: Callable[..., SmartHost], mail: Path, verb: str, reply: str
) -> None:
    """A next host that does not greet, even with a 5xx, says nothing about the mail: it is for later."""
    relay = host(server.port)
    server.replies[verb] += [reply, reply]  # a client may try HELO, or once more
    server.replies["HELO"].append(reply)
    assert isinstance(send(relay, mail), TryLater)
    server.replies.clear()
    assert send(relay, mail) == Sent()


def test_wrong_password_refuses_no_mail(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """A relay account that does not work is the operator's concern: the mails wait, none is failed."""
    server.replies["EHLO"].append("250-relay.example\r\n250 AUTH PLAIN LOGIN")
    server.replies["AUTH"] += ["535 5.7.8 no"] * 4
    assert send(host(server.port, username="dcc", password="faux"), mail) == TryLater("535 5.7.8")


def test_nobody_listens(host: Callable[..., SmartHost], mail: Path) -> None:
    """No next host at all: for later."""
    assert send(host(free_port()), mail) == TryLater("connection")


@pytest.mark.parametrize("fault", [CLOSE, RESET, "nonsense", "150 what?"])
def test_lost_after_data_is_uncertain(
    server: ScriptedServer, host: Callable[..., SmartHost], mail: Path, fault: str
) -> None:
    """Whole mail handed over and no reply that can be understood: uncertain, it may have arrived (I1)."""
    relay = host(server.port)
    server.replies["end"].append(fault)
    assert send(relay, mail) == Uncertain()
    assert send(relay, mail) == Sent()
    assert server.connections == 2, "that line is not used again"


def test_silence_after_data_is_uncertain(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """A next host that never answers the data is given up after the time set, as uncertain."""
    server.replies["end"].append(SILENCE)
    assert send(host(server.port, timeout_seconds=0.5), mail) == Uncertain()


def test_silence_before_data_is_for_later(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """A next host that never answers RCPT has nothing of the mail."""
    server.replies["RCPT"].append(SILENCE)
    assert send(host(server.port, timeout_seconds=0.5), mail) == TryLater("connection")


def test_slower_than_the_lease(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """One sending ends before its lease does, so that nobody else takes the mail meanwhile (I1)."""
    server.replies["end"].append(SILENCE)
    assert send(host(server.port, lease_seconds=1), mail) == Uncertain()
    server.replies["RCPT"].append(SILENCE)
    assert send(host(server.port, lease_seconds=1), mail) == TryLater("connection")


def test_line_cut_in_the_middle_of_the_mail(
    server: ScriptedServer, host: Callable[..., SmartHost], tmp_path: Path
) -> None:
    """Cut before the end of data: the next host may not act on a part (RFC 5321 §4.1.1.4), so it is for later."""
    mail = tmp_path / "large.eml"
    mail.write_bytes(HEAD + (b"x" * 70 + b"\r\n") * 200_000)  # more than the buffers of two sockets hold
    with FaultyLine(server.port) as line:
        relay = host(line.port)
        line.cut_after = 1_000_000
        assert send(relay, mail) == TryLater("connection")
        assert server.mails == []
        line.cut_after = None
        assert send(relay, mail) == Sent()
    assert [one.octets for one in server.mails] == [mail.read_bytes()]


def test_line_cut_before_the_reply(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """The next host has taken the mail and its 250 is lost on the way: uncertain, and it did arrive."""
    with FaultyLine(server.port) as line:
        line.deaf_after = b"\r\n.\r\n"
        assert send(host(line.port), mail) == Uncertain()
    assert len(server.mails) == 1


def test_refused_before_the_end(server: ScriptedServer, host: Callable[..., SmartHost], tmp_path: Path) -> None:
    """A next host that answers in the middle of the mail is heard, and the rest is not poured into its commands."""
    mail = tmp_path / "large.eml"
    mail.write_bytes(HEAD + (b"x" * 70 + b"\r\n") * 500_000)
    with EarlyRefusal() as port:
        assert send(host(port), mail) == Rejected("552 5.3.4")


class EarlyRefusal:
    """A server that refuses after the first octets of the mail, and then reads nothing more."""

    def __enter__(self) -> int:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()
        return int(self._listening.getsockname()[1])

    def _talk(self) -> None:
        line, _ = self._listening.accept()
        with line:
            line.sendall(b"220 x\r\n")
            for reply in (b"250-x\r\n250 SIZE\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
                line.recv(1000)
                line.sendall(reply)
            line.recv(1000)
            line.sendall(b"552 5.3.4 too big\r\n")
            self._over.wait(60)

    def __init__(self) -> None:
        self._over = threading.Event()

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join(60)
        self._listening.close()


def test_closed_while_idle(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """A kept connection that the next host closed meanwhile is replaced, and nothing is lost or sent twice."""
    relay = host(server.port)
    assert send(relay, mail) == Sent()
    server.hang_up()
    assert send(relay, mail) == Sent()
    for reply in (CLOSE, RESET, "421 4.4.2 idle too long"):
        server.replies["NOOP"].append(reply)
        assert send(relay, mail) == Sent()
        server.replies["MAIL"].append(reply)
        assert send(relay, mail) == Sent()
    assert len(server.mails) == 8


def test_closed_again_is_for_later(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """A next host that closes a new connection as well is not asked for ever."""
    relay = host(server.port)
    assert send(relay, mail) == Sent()
    server.replies["MAIL"] += [CLOSE, CLOSE]
    assert send(relay, mail) == TryLater("connection")


def test_fifty_on_a_connection(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """At most fifty mails on one connection, and it is ended politely (facts: mail §3)."""
    relay = host(server.port)
    for _ in range(101):
        assert send(relay, mail) == Sent()
    counts = [sum(one.connection == number for one in server.mails) for number in (1, 2, 3)]
    assert counts == [50, 50, 1]
    assert server.verbs.count("QUIT") == 2


def test_idle_connection_is_ended(
    server: ScriptedServer, host: Callable[..., SmartHost], mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing to send, a connection is ended by ourselves before the next host does."""
    relay = host(server.port)
    assert send(relay, mail) == Sent()
    relay.rest()
    assert "QUIT" not in server.verbs
    monkeypatch.setattr(relay_module, "MOST_IDLE", -1.0)
    relay.rest()
    assert server.verbs[-1] == "QUIT"


@pytest.mark.parametrize(
    "body",
    [
        b".\r\n..\r\n.a\r\n",
        b"a\r\n.\r\n",
        b"sans fin de ligne",
        b"",
        b"\xff\x00\xe9 8bit\r\n",
        b"x" * 70_000 + b"\r\n",
    ],
)
def test_octets_arrive_unchanged(
    server: ScriptedServer, host: Callable[..., SmartHost], tmp_path: Path, body: bytes
) -> None:
    """What arrives is the file, octet for octet; only the last line end is added where there is none."""
    mail = tmp_path / "mail.eml"
    mail.write_bytes(HEAD + body)
    assert send(host(server.port), mail) == Sent()
    ending = b"" if (HEAD + body).endswith(b"\r\n") else b"\r\n"
    assert server.mails[0].octets == HEAD + body + ending


def test_dots_at_the_edge_of_a_piece(
    server: ScriptedServer, host: Callable[..., SmartHost], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that begins with a dot is sent rightly wherever the pieces that are read from the file end."""
    mail = tmp_path / "mail.eml"
    mail.write_bytes(b".\r\n.\r\n..x\r\n\r\n.\r\n")
    relay = host(server.port)
    for size in range(1, 10):
        monkeypatch.setattr("dcc.gateway.relay_data.CHUNK", size)
        assert send(relay, mail) == Sent()
    assert {one.octets for one in server.mails} == {mail.read_bytes()}


def test_large_mail_in_small_memory(server: ScriptedServer, host: Callable[..., SmartHost], tmp_path: Path) -> None:
    """A mail of 60 MB is streamed: the relay never holds more than a few pieces of it (I8)."""
    mail = tmp_path / "large.eml"
    with mail.open("wb") as file:
        for _ in range(60):
            file.write((b"x" * 998 + b"\r\n") * 1000)
    server.keep = False
    relay = host(server.port)
    tracemalloc.start()
    try:
        assert send(relay, mail) == Sent()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 12 << 20  # the server's own buffers, in this process too, among them


def test_address_that_smtp_cannot_say(server: ScriptedServer, host: Callable[..., SmartHost], mail: Path) -> None:
    """An address beyond ASCII is refused by ourselves, and disturbs nothing that follows (RFC 6531)."""
    relay = host(server.port)
    assert send(relay, mail, "é@rca.example") == Rejected("553 5.6.7")
    assert send(relay, mail) == Sent()


class SilentUnderTls:
    """A server with STARTTLS that says nothing more from one command on, and closes nothing: not even TLS."""

    def __init__(self, certificate: Path, silent_from: bytes) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._silent_from = silent_from
        self._over = threading.Event()

    def __enter__(self) -> int:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return int(self._listening.getsockname()[1])

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(60)
        self._listening.close()

    def _accept(self) -> None:
        with ExitStack() as lines:
            while not self._over.is_set():
                try:
                    line, _ = self._listening.accept()
                except OSError:
                    return  # it is over
                lines.enter_context(self._talk(line))

    def _talk(self, line: socket.socket) -> socket.socket:
        """The socket to close at the very end."""
        line.sendall(b"220 x\r\n")
        while verb := line.recv(1000):
            if verb.startswith(self._silent_from):
                if verb.startswith(b"STARTTLS"):
                    line.sendall(b"220 ready\r\n")
                return line
            if verb.startswith(b"STARTTLS"):
                line.sendall(b"220 ready\r\n")
                line = self._context.wrap_socket(line, server_side=True)
                continue
            if verb.startswith(b"EHLO"):
                line.sendall(b"250-x\r\n250 STARTTLS\r\n")
            elif verb.startswith(b"DATA"):
                line.sendall(b"354 go\r\n")
                while not verb.endswith(b"\r\n.\r\n"):
                    verb += line.recv(1000)
                line.sendall(b"250 taken\r\n")
            else:
                line.sendall(b"250 ok\r\n")
        return line


class TestTls:
    """STARTTLS: verified unless the operator says otherwise."""

    @pytest.fixture
    def trusted(self, tmp_path: Path) -> Path:
        """The next host's certificate and key, for 127.0.0.1."""
        path = tmp_path / "host.pem"
        path.write_bytes(certificate_for("127.0.0.1"))
        return path

    @pytest.fixture
    def secured(self, trusted: Path) -> Iterator[ScriptedServer]:
        """A next host with STARTTLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(trusted)
        with ScriptedServer(context) as found:
            yield found

    def _send(self, settings: Settings, server: ScriptedServer, mail: Path, **changes: object) -> Outcome:
        relay = self._relay(settings, server.port, **changes)
        try:
            return relay.send(mail, sender=SENDER, recipient=READER, delivery_id="d")
        finally:
            relay.close()

    def test_verified(self, settings: Settings, secured: ScriptedServer, mail: Path, trusted: Path) -> None:
        """With the authority of the settings the mail leaves, under TLS."""
        assert self._send(settings, secured, mail, authorities=trusted) == Sent()
        assert secured.verbs[:3] == ["EHLO", "STARTTLS", "EHLO"]

    def test_unknown_authority(self, settings: Settings, secured: ScriptedServer, mail: Path) -> None:
        """A certificate that nobody vouches for: nothing is sent, and the mail waits."""
        assert self._send(settings, secured, mail) == TryLater("connection")
        assert "MAIL" not in secured.verbs

    def test_other_name(self, settings: Settings, secured: ScriptedServer, mail: Path, trusted: Path) -> None:
        """A certificate of another host: nothing is sent."""
        refused = self._send(settings, secured, mail, authorities=trusted, host="localhost")
        assert refused == TryLater("connection")
        assert "MAIL" not in secured.verbs

    def test_not_verified_by_choice(self, settings: Settings, secured: ScriptedServer, mail: Path) -> None:
        """An operator may do without verification, not without encryption."""
        assert self._send(settings, secured, mail, verify=False) == Sent()
        assert "STARTTLS" in secured.verbs

    def test_not_offered(self, settings: Settings, server: ScriptedServer, mail: Path) -> None:
        """A next host that offers no STARTTLS gets nothing in clear."""
        assert self._send(settings, server, mail) == TryLater("connection")
        assert "MAIL" not in server.verbs

    def _relay(self, settings: Settings, port: int, **changes: object) -> Relay:
        told = {"kind": "smtp", "port": port, "tls": "starttls", "timeout_seconds": 30, **changes}
        return relay_of(settings.model_copy(update={"relay": RelaySettings.model_validate(told)}))

    def test_failed_handshakes_leave_no_socket(
        self, settings: Settings, secured: ScriptedServer, mail: Path, trusted: Path
    ) -> None:
        """A whole night of certificates that nobody vouches for, of the wrong host, or no TLS at all: nothing stays open."""
        relays = [
            self._relay(settings, secured.port),
            self._relay(settings, secured.port, host="localhost", authorities=trusted),
            self._relay(settings, secured.port, tls="implicit"),
        ]
        for relay in relays * 20:
            assert relay.send(mail, sender=SENDER, recipient=READER, delivery_id="d") == TryLater("connection")
            assert open_sockets(secured.port) == 0
        assert secured.connections == 60
        for relay in relays:
            relay.close()

    @pytest.mark.parametrize("silent_from", [b"STARTTLS", b"MAIL"])
    def test_a_host_that_falls_silent_under_tls(
        self, settings: Settings, mail: Path, trusted: Path, silent_from: bytes
    ) -> None:
        """A line that is given up is closed at once: nobody waits for a close_notify that does not come
        (RFC 8446 §6.1)."""
        with SilentUnderTls(trusted, silent_from) as port:
            relay = self._relay(settings, port, authorities=trusted, timeout_seconds=0.3)
            for _ in range(5):
                assert relay.send(mail, sender=SENDER, recipient=READER, delivery_id="d") == TryLater("connection")
                assert open_sockets(port) == 0
            relay.close()

    def test_the_end_of_a_good_line(
        self, settings: Settings, mail: Path, trusted: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Closing the relay closes its socket, also where the other side does not answer QUIT nor the end of TLS."""
        monkeypatch.setattr(relay_module, "QUIT_SECONDS", 0.2)
        with SilentUnderTls(trusted, b"QUIT") as port:
            relay = self._relay(settings, port, authorities=trusted)
            assert relay.send(mail, sender=SENDER, recipient=READER, delivery_id="d") == Sent()
            assert open_sockets(port) == 1, "kept for the next mail"
            relay.close()
            assert open_sockets(port) == 0

    @pytest.mark.parametrize("name", ["authorities", "certificate"])
    def test_missing_file_is_told(self, settings: Settings, name: str) -> None:
        """A file that is not there is a sentence for the operator."""
        relay = RelaySettings.model_validate({"kind": "smtp", name: "absent.pem"})
        with pytest.raises(ConfigurationError, match=f"relay.{name} : absent.pem"):
            tls_context(settings.model_copy(update={"relay": relay}))


@pytest.mark.peer("postfix")
def test_through_a_real_postfix(host: Callable[..., SmartHost], tmp_path: Path) -> None:
    """Postfix takes it, and delivers the body octet for octet."""
    body = b".\r\n.a\r\n\r\n" + b"y" * 990 + b"\r\n" + f"{datetime.now(UTC):%c}".encode() + b"\r\n.\r\n"
    mail = tmp_path / "mail.eml"
    mail.write_bytes(HEAD + body)
    port = free_port()
    office = PostOffice(port)
    with office.open("127.0.0.1:1", ["rca.example"]):
        relay = host(port)
        assert [send(relay, mail), send(relay, mail)] == [Sent(), Sent()]
        found = office.mails(2, 60)
    assert [(box, octets.partition(b"\r\n\r\n")[2]) for box, octets in found] == [(READER, body), (READER, body)]
