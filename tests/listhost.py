"""A host of opposition lists on loopback that answers raw octets, whatever a test wants, and remembers what it was asked."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Answer = bytes | Callable[[socket.socket], None]


def http(body: bytes = b"", status: str = "200 OK", *headers: str, length: bool = True) -> bytes:
    """A whole answer."""
    told = [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([f"HTTP/1.1 {status}", *told, *headers, "", ""]).encode() + body


@dataclass
class ListHost:
    """Answers by what the first line of the request holds; `default` else."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    default: Answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    asked: list[bytes] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)  # whoever drips or waits stops at this

    def url(self, path: str, scheme: str = "http", host: str = "127.0.0.1") -> str:
        """Where it answers."""
        return f"{scheme}://{host}:{self.port}{path}"

    def handle(self, line: socket.socket) -> None:
        """One connection."""
        with suppress(OSError), line:
            request = line.recv(1 << 16)
            while request.startswith(b"POST") and not _whole(request):
                request += line.recv(1 << 16)
            self.asked.append(request)
            first = request.split(b"\r\n", 1)[0].decode("latin-1")
            answer = next((one for part, one in self.answers.items() if f" {part} " in first), self.default)
            if isinstance(answer, bytes):
                line.sendall(answer)
            else:
                answer(line)


def _whole(request: bytes) -> bool:
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return bool(head) and len(body) >= int(lengths[0])


@contextmanager
def list_host(tls: ssl.SSLContext | None = None) -> Iterator[ListHost]:
    """One host, until the end of the block."""
    host = ListHost()
    with socket.create_server(("127.0.0.1", 0)) as server:
        host.port = server.getsockname()[1]

        def serve() -> None:
            while not host.ended.is_set():
                try:
                    line, _ = server.accept()
                    line.settimeout(10)
                    if tls is not None:
                        line = tls.wrap_socket(line, server_side=True)
                except OSError:
                    continue
                threading.Thread(target=host.handle, args=(line,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield host
        finally:
            host.ended.set()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", host.port), 1).close()  # so that accept returns
            thread.join(10)
