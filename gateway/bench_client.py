"""An SMTP client that only measures: prepared octets over several connections, a process of its own."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path


def measured(address: tuple[str, int], recipient: str, mail: Path, messages: int, connections: int) -> float:
    """Seconds until every message has been answered with 250. Raises RuntimeError when one is not."""
    command = [sys.executable, "-m", "dcc.gateway.bench_client"]
    values = [address[0], str(address[1]), recipient, str(mail), str(messages), str(connections)]
    done = subprocess.run([*command, *values], capture_output=True, check=False, timeout=600)  # noqa: S603 - this very module
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace").strip().splitlines()[-1])
    seconds: float = json.loads(done.stdout)
    return seconds


class Session:
    """One connection in lock step: no pipelining, like most mail clients."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._socket = socket.create_connection(address, timeout=120)
        self._file = self._socket.makefile("rb")
        self._answer(b"220")
        self.command(b"EHLO bench.example", b"250")

    def _answer(self, expected: bytes) -> None:
        while True:
            line = self._file.readline()
            if line[3:4] != b"-":
                break
        if not line.startswith(expected):
            raise RuntimeError(f"expected {expected.decode()}, got {line[:60]!r}")

    def command(self, line: bytes, expected: bytes) -> None:
        """Send one line and wait for its answer."""
        self._socket.sendall(line + b"\r\n")
        self._answer(expected)

    def send(self, recipient: str, stuffed: bytes) -> None:
        """One message; `stuffed` ends with CRLF.CRLF."""
        self.command(b"MAIL FROM:<bench@bench.example>", b"250")
        self.command(f"RCPT TO:<{recipient}>".encode(), b"250")
        self.command(b"DATA", b"354")
        self._socket.sendall(stuffed)
        self._answer(b"250")

    def quit(self) -> None:
        """End the session."""
        self.command(b"QUIT", b"221")
        self._file.close()
        self._socket.close()


def _run(address: tuple[str, int], recipient: str, stuffed: bytes, messages: int, connections: int) -> float:
    failures: list[str] = []
    numbers = itertools.count()
    begun = time.perf_counter()

    def work(count: int) -> None:
        try:
            session = Session(address)
            for _ in range(count):
                # A field of its own makes each message another one: the same bytes again would be a retransmission.
                session.send(recipient, f"X-Bench: {next(numbers)}-{begun}\r\n".encode() + stuffed)
            session.quit()
        except (OSError, RuntimeError) as error:
            failures.append(str(error))

    threads = [threading.Thread(target=work, args=(messages // connections,)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(failures[0])
    return time.perf_counter() - begun


def _main(arguments: list[str]) -> float:
    host, port, recipient, path, messages, connections = arguments
    stuffed = Path(path).read_bytes().replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n"  # RFC 5321 §4.5.2
    return _run((host, int(port)), recipient, stuffed, int(messages), int(connections))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(sys.argv[1:])))
