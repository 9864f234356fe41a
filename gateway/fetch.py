"""Fetching from listed hosts, within a size and a time, by HTTP(S) or LDAP(S) (facts: smime R-REVOC)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from dcc.gateway import fetch_ldap

PORTS = {"http": 80, "https": 443, "ldap": 389, "ldaps": 636}
SECURE = frozenset({"https", "ldaps"})
MOST_OCTETS = 100 << 20  # R-REVOC
MOST_SECONDS = 10.0  # R-REVOC
MOST_REDIRECTS = 3
HEAD_OCTETS = 64 << 10
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# RFC 3986 §2.2 and "%": what may stand in a target as it is; raw spaces and letters with accents may not
SAFE = "/%:@!$&'()*+,;=~?-._"


class FetchRefused(Exception):
    """What a host answered, or what it was asked, is not taken; the text is the sentence for the operator."""


class NothingThere(FetchRefused):
    """A directory answered, and has no such value."""


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Asks the hosts of its list and nobody else."""

    hosts: frozenset[str]
    tls: ssl.SSLContext | None = None
    octets: int = MOST_OCTETS
    seconds: float = MOST_SECONDS
    headers: tuple[tuple[str, str], ...] = ()  # of every request by HTTP

    def get(self, url: str) -> tuple[bytes, ...]:
        """One answer by HTTP, each value of the attribute by LDAP. Raises FetchRefused, OSError."""
        return self._bounded(url, None, "")

    def post(self, url: str, body: bytes, media_type: str) -> bytes:
        """The answer to a request by HTTP. Raises FetchRefused, OSError."""
        return self._bounded(url, body, media_type)[0]

    def _bounded(self, url: str, body: bytes | None, media_type: str) -> tuple[bytes, ...]:
        async def whole() -> tuple[bytes, ...]:
            async with asyncio.timeout(self.seconds):  # all of it: a host that drips gains nothing
                return await self._ask(url, body, media_type)

        try:
            return asyncio.run(whole())
        except TimeoutError:
            raise TimeoutError(f"pas de réponse entière en {self.seconds:g} s") from None
        except ssl.SSLError:
            raise  # a certificate that nobody vouches for is a ValueError too
        except (EOFError, ValueError) as error:  # a line cut short, a number that is none, a head without end
            raise FetchRefused("réponse illisible") from error

    async def _ask(self, url: str, body: bytes | None, media_type: str) -> tuple[bytes, ...]:
        for _ in range(MOST_REDIRECTS + 1):
            place = self._allowed(url)
            if place.scheme.startswith("ldap"):
                return await self._ldap(place, url)
            status, headers, answer = await self._http(place, body, media_type)
            if status == 200:
                return (answer,)
            if status not in REDIRECTS or body is not None or "location" not in headers:
                raise FetchRefused(f"réponse HTTP {status}")
            followed = urljoin(url, headers["location"])
            if place.scheme == "https" and urlsplit(followed).scheme != "https":
                raise FetchRefused("renvoi vers une adresse sans TLS")
            if not urlsplit(followed).scheme.startswith("http"):
                raise FetchRefused("renvoi vers un autre protocole")
            url = followed
        raise FetchRefused("trop de renvois")

    def _allowed(self, url: str) -> _Place:
        place = place_of(url)
        if place.host not in self.hosts:
            raise FetchRefused(f"hôte non listé : {place.host}")
        return place

    async def _connect(self, place: _Place) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        tls = None
        if place.scheme in SECURE:
            tls = self.tls or ssl.create_default_context()
        return await asyncio.open_connection(place.host, place.port, ssl=tls, limit=HEAD_OCTETS)

    async def _ldap(self, place: _Place, url: str) -> tuple[bytes, ...]:
        search = fetch_ldap.search_of(url)
        reader, writer = await self._connect(place)
        try:
            writer.write(search.request)
            await writer.drain()
            found = await fetch_ldap.values(reader, search, self.octets)
        finally:
            _end(writer)
        if not found:
            raise NothingThere("l'annuaire n'a pas cette liste")
        return found

    async def _http(self, place: _Place, body: bytes | None, media_type: str) -> tuple[int, dict[str, str], bytes]:
        head = [f"{'GET' if body is None else 'POST'} {place.target} HTTP/1.0", f"Host: {place.authority}"]
        head += [f"{name}: {value}" for name, value in self.headers]
        if body is not None:
            head += [f"Content-Type: {media_type}", f"Content-Length: {len(body)}"]
        # HTTP/1.0: an answer in one piece, ended by its length or by the end of the connection (RFC 9112 §6.3)
        reader, writer = await self._connect(place)
        try:
            writer.write(("\r\n".join([*head, "Connection: close", "", ""])).encode("ascii") + (body or b""))
            await writer.drain()
            status, headers = _head(await reader.readuntil(b"\r\n\r\n"))
            if "transfer-encoding" in headers:
                raise FetchRefused("réponse HTTP en morceaux à une demande HTTP/1.0")
            answer = await self._body(reader, headers) if status == 200 else b""
        except asyncio.LimitOverrunError:
            raise FetchRefused("en-têtes HTTP trop longs") from None
        finally:
            _end(writer)
        return status, headers, answer

    async def _body(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        length = int(headers["content-length"]) if "content-length" in headers else None
        if length is not None and not 0 <= length <= self.octets:
            raise FetchRefused(f"plus de {self.octets} octets")
        found = bytearray()
        while length is None or len(found) < length:
            piece = await reader.read(1 << 16 if length is None else min(1 << 16, length - len(found)))
            if not piece:
                break
            found += piece
            if len(found) > self.octets:
                raise FetchRefused(f"plus de {self.octets} octets")
        if length is not None and len(found) < length:
            raise FetchRefused("réponse coupée")
        return bytes(found)


@dataclass(frozen=True, slots=True)
class _Place:
    scheme: str
    host: str
    port: int
    target: str
    authority: str


def place_of(url: str) -> _Place:
    """Where a URL leads; a raw space in it is written %20 (facts: cards §1.4). Raises FetchRefused."""
    try:
        parts = urlsplit(quote(url.strip(), safe=SAFE + "#[]"))
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in PORTS or "@" in parts.netloc:
        raise FetchRefused("ce n'est pas une adresse http, https, ldap ou ldaps")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return _Place(parts.scheme, host.lower(), port or PORTS[parts.scheme], target, parts.netloc)


def hosts_of(urls: Iterable[str]) -> frozenset[str]:
    """The hosts that these URLs name. Raises FetchRefused."""
    return frozenset(place_of(one).host for one in urls)


def _end(writer: asyncio.StreamWriter) -> None:
    """Close the socket with the line: asyncio would wait for the other side's end of TLS, and the loop ends here."""
    writer.close()  # says our close_notify (RFC 8446 §6.1)
    writer.transport.abort()


def _head(octets: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = octets.decode("latin-1").split("\r\n")
    version, code = first.split(" ", 2)[:2]
    if not version.startswith("HTTP/1."):
        raise ValueError("another protocol")
    pairs = [line.partition(":") for line in lines if ":" in line]
    return int(code), {name.strip().lower(): value.strip() for name, _, value in pairs}
