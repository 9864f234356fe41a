"""Fetching: listed hosts only, within a size and a time, whatever the other side answers (R-REVOC)."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from asn1crypto import core, parser
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given
from hypothesis import strategies as st

from cardworld import big_crl
from dcc.gateway import fetch_ldap
from dcc.gateway.fetch import Fetcher, FetchRefused, place_of
from listdirectory import list_directory
from listhost import Answer, ListHost, http, list_host
from smtpscript import open_sockets

OURS = frozenset({"127.0.0.1"})
BODY = b"une liste" * 1000


@pytest.fixture
def host() -> Iterator[ListHost]:
    """A host."""
    with list_host() as found:
        yield found


def refusal(host: ListHost, answer: Answer, **bounds: float) -> str:
    """Why this answer is not taken."""
    host.answers["/a.crl"] = answer
    with pytest.raises(FetchRefused) as refused:
        Fetcher(OURS, **bounds).get(host.url("/a.crl"))  # type: ignore[arg-type]
    return str(refused.value)


@pytest.mark.parametrize("length", [True, False])
def test_an_answer_is_taken_whole(host: ListHost, length: bool) -> None:
    """A body ended by its length, or by the end of the connection, comes as it is."""
    host.answers["/a.crl"] = http(BODY, length=length)
    assert Fetcher(OURS).get(host.url("/a.crl")) == (BODY,)


def test_a_raw_space_in_the_url(host: ListHost) -> None:
    """facts: cards §1.4: a space in a URL is asked for as %20, one that is written so already stays."""
    host.answers["/crl/TEST%20CLASSE-1.crl"] = http(BODY)
    assert Fetcher(OURS).get(host.url("/crl/TEST CLASSE-1.crl")) == (BODY,)
    assert Fetcher(OURS).get(host.url("/crl/TEST%20CLASSE-1.crl")) == (BODY,)


def test_only_listed_hosts_are_asked(host: ListHost) -> None:
    """A host that no setting names is refused before anything is sent to it."""
    with pytest.raises(FetchRefused, match=r"hôte non listé : 127\.0\.0\.1"):
        Fetcher(frozenset({"localhost"})).get(host.url("/a.crl"))
    assert host.asked == []


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://x@127.0.0.1/a", "http://", "127.0.0.1"]
)
def test_only_these_protocols(url: str) -> None:
    """Anything but http, https, ldap and ldaps, and a user's name in a URL, is refused."""
    with pytest.raises(FetchRefused, match="ce n'est pas une adresse"):
        Fetcher(OURS).get(url)


def test_a_redirect_inside_the_list_is_followed(host: ListHost) -> None:
    """To a listed host, relative or absolute, three times at the most."""
    host.answers = {
        "/a.crl": http(b"", "301 Moved", "Location: /b.crl"),
        "/b.crl": http(b"", "302 Found", f"Location: {host.url('/c.crl')}"),
        "/c.crl": http(BODY),
        "/round.crl": http(b"", "302 Found", "Location: /round.crl"),
    }
    assert Fetcher(OURS).get(host.url("/a.crl")) == (BODY,)
    with pytest.raises(FetchRefused, match="trop de renvois"):
        Fetcher(OURS).get(host.url("/round.crl"))


def test_a_redirect_elsewhere_is_refused(host: ListHost) -> None:
    """R-REVOC: no redirect to another host, nor to another protocol."""
    assert refusal(host, http(b"", "302 Found", f"Location: {host.url('/b', host='localhost')}")) == (
        "hôte non listé : localhost"
    )
    assert refusal(host, http(b"", "302 Found", "Location: ldap://127.0.0.1/o=x?a")) == "renvoi vers un autre protocole"
    assert len(host.asked) == 2


def test_too_much_is_refused(host: ListHost) -> None:
    """More octets than are taken: refused by the length told, or where the bound is passed."""
    assert refusal(host, http(BODY), octets=100) == "plus de 100 octets"
    assert refusal(host, http(BODY, length=False), octets=100) == "plus de 100 octets"


def test_a_host_that_drips_is_left(host: ListHost) -> None:
    """The time bounds the whole answer: an octet now and then gains nothing."""

    def drip(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not host.ended.wait(0.05):
            line.sendall(b"x")

    host.answers["/a.crl"] = drip
    with pytest.raises(TimeoutError, match="pas de réponse entière"):
        Fetcher(OURS, seconds=0.5).get(host.url("/a.crl"))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (http(b"", "404 Not Found"), "réponse HTTP 404"),
        (http(b"", "503 Service Unavailable"), "réponse HTTP 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "réponse coupée"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "plus de"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "réponse illisible"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "en morceaux"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "en-têtes HTTP trop longs"),
        (b"HTTP/1.1 200", "réponse illisible"),
        (b"220 smtp.example ESMTP\r\n\r\n", "réponse illisible"),
        (b"\r\n\r\n", "réponse illisible"),
        (b"", "réponse illisible"),
    ],
    ids=[
        "404",
        "503",
        "cut",
        "negative",
        "word",
        "chunked",
        "headers",
        "half a line",
        "smtp",
        "empty lines",
        "nothing",
    ],
)
def test_answers_that_are_none(host: ListHost, answer: bytes, why: str) -> None:
    """Whatever is no whole HTTP answer is refused with a sentence."""
    assert why in refusal(host, answer)


def test_nobody_there() -> None:
    """A port that nobody listens on is an OSError: the host cannot be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(OSError):
        Fetcher(OURS).get(f"http://127.0.0.1:{port}/a.crl")


def test_tls_is_verified(made: Path) -> None:
    """Over https the host's certificate must be vouched for; where it is, the answer is taken, and never redirected to http."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(made / "keys/smtp.pem", made / "keys/smtp.key")
    known = ssl.create_default_context(cadata=_anchors(made))
    hosts = frozenset({"localhost"})
    with list_host(own) as host:
        plain = f"Location: {host.url('/a.crl', host='localhost')}"
        host.answers = {"/a.crl": http(BODY), "/b.crl": http(b"", "302 Found", plain)}
        url = host.url("/a.crl", "https", "localhost")
        with pytest.raises(ssl.SSLError):
            Fetcher(hosts).get(url)
        assert Fetcher(hosts, known).get(url) == (BODY,)
        with pytest.raises(FetchRefused, match="sans TLS"):
            Fetcher(hosts, known).get(host.url("/b.crl", "https", "localhost"))


def test_a_host_that_does_not_end_tls(made: Path) -> None:
    """Once the answer is there the socket is closed, though the host says nothing more and keeps its line open."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(made / "keys/smtp.pem", made / "keys/smtp.key")
    known = ssl.create_default_context(cadata=_anchors(made))
    with list_host(own) as host:

        def linger(line: socket.socket) -> None:
            line.sendall(http(BODY))
            host.ended.wait(60)

        host.answers["/a.crl"] = linger
        for _ in range(5):
            assert Fetcher(frozenset({"localhost"}), known).get(host.url("/a.crl", "https", "localhost")) == (BODY,)
            assert open_sockets(host.port) == 0


def _anchors(made: Path) -> str:
    found = (x509.load_pem_x509_certificate(one.read_bytes()) for one in (made / "demo/pki").glob("racine-*.pem"))
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def ldap(tag: int, contents: bytes) -> bytes:
    """One LDAP message around an operation."""
    operation = parser.emit(1, 1, tag, contents)
    return bytes(parser.emit(0, 1, 16, core.Integer(1).dump() + operation))


def entry(name: str, *values: bytes) -> bytes:
    """One entry with one attribute."""
    held = b"".join(core.OctetString(one).dump() for one in values)
    pair = core.OctetString(name.encode()).dump() + parser.emit(0, 1, 17, held)
    attributes = parser.emit(0, 1, 16, parser.emit(0, 1, 16, pair))
    return ldap(4, core.OctetString(b"cn=x").dump() + attributes)


def done(code: int = 0) -> bytes:
    """The end of a search."""
    text = core.OctetString(b"").dump()
    return ldap(5, bytes(parser.emit(0, 0, 10, bytes([code]))) + text + text)


ASKED = "/cn=AC%20X,o=GIP CPS,c=FR?certificaterevocationlist;binary?base?objectClass=pkiCA"


def test_an_ldap_search(host: ListHost) -> None:
    """The values of the attribute that the URL names come, whatever its case and options; other entries' do not."""
    host.default = entry("cACertificate;binary", b"no") + entry("certificateRevocationList;binary", BODY, b"b") + done()
    assert Fetcher(OURS).get(host.url(ASKED, "ldap")) == (BODY, b"b")
    assert b"cn=AC X,o=GIP CPS,c=FR" in host.asked[0]
    assert b"certificaterevocationlist;binary" in host.asked[0]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (done(32), "l'annuaire n'a pas cette liste"),
        (entry("other", b"x") + done(), "l'annuaire n'a pas cette liste"),
        (done(50), "réponse illisible"),
        (entry("certificateRevocationList", b"x"), "réponse illisible"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "réponse illisible"),
        (b"\x30\x84\x7f\xff\xff\xff", "réponse illisible"),
        (b"\x30\x80\x00\x00", "réponse illisible"),
    ],
    ids=["no entry", "another attribute", "refused", "no end", "http", "too long", "no length"],
)
def test_ldap_answers_that_are_none(host: ListHost, answer: bytes, why: str) -> None:
    """Whatever is no whole answer to the search is refused with a sentence, and a length is believed only in its bounds."""
    host.default = answer
    with pytest.raises(FetchRefused, match=why):
        Fetcher(OURS).get(host.url(ASKED, "ldap"))


@pytest.mark.parametrize("path", ["/o=x", "/o=x??base", "/o=x?a,b", "/o=x?a?deep", "/o=x?a?base?(|(a=b)(c=d))"])
def test_ldap_urls_that_are_not_understood(host: ListHost, path: str) -> None:
    """A URL without one attribute, with an unknown scope or a composed filter is refused before anything is asked."""
    with pytest.raises(FetchRefused):
        Fetcher(OURS).get(host.url(path, "ldap"))
    assert host.asked == []


@pytest.mark.peer("slapd")
def test_a_real_directory(tmp_path: Path) -> None:
    """OpenLDAP gives a list by the URL that IGC-Santé writes into its certificates, and says when there is none."""
    crl = big_crl("FO-PP", range(1, 20_001))
    with list_directory(tmp_path, crl) as port:
        url = f"ldap://127.0.0.1:{port}/cn=AC TEST,o=dcc?certificaterevocationlist;binary?base?objectClass=pkiCA"
        assert Fetcher(OURS).get(url) == (crl,)
        with pytest.raises(FetchRefused, match="n'a pas cette liste"):
            Fetcher(OURS).get(url.replace("AC TEST", "AC AUTRE"))
        with pytest.raises(FetchRefused, match="réponse illisible"):
            Fetcher(OURS, octets=100_000).get(url)


async def _read(octets: bytes) -> tuple[bytes, ...]:
    reader = asyncio.StreamReader()
    reader.feed_data(octets)
    reader.feed_eof()
    return await fetch_ldap.values(reader, fetch_ldap.search_of("ldap://h/o=x?a"), 1 << 16)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda one: ldap(4, one)),
        st.binary(max_size=60).map(lambda one: ldap(5, one)),
    )
)
@example(ldap(5, b""))
@example(ldap(4, b""))
@example(b"\x30\x00")
@example(b"\x30\x03\x02\x01\x01")
def test_no_octets_break_the_reader_of_ldap(octets: bytes) -> None:
    """Any octets are values, or a ValueError or EOFError, which the fetcher tells as an unreadable answer."""
    with suppress(ValueError, EOFError):
        asyncio.run(_read(octets))


@given(st.text(max_size=60).map("ldap://h/".__add__))
@example("ldap://h/%?%?%?%")
def test_no_ldap_url_breaks_the_search(url: str) -> None:
    """Any LDAP URL is a search or a ValueError."""
    with suppress(ValueError):
        assert fetch_ldap.search_of(url).request[0] == 0x30


@given(st.one_of(st.text(max_size=60), st.text(max_size=60).map("http://".__add__)))
@example("http://[")
@example("http://x:99999999/")
@example("http://x:é/")
def test_no_url_breaks_its_reader(url: str) -> None:
    """Any text is a place or refused; what is asked for is ASCII on one line."""
    with suppress(FetchRefused):
        place = place_of(url)
        assert place.target.isascii()
        assert place.authority.isascii()
        assert not set(place.target + place.authority) & set("\r\n ")
