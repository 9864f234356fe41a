"""Ingest: our door, which fsyncs and commits, against smtp-sink and stock aiosmtpd, which throw everything away."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dcc.gateway import bench_client

CONNECTIONS = 4


@dataclass(frozen=True, slots=True)
class Ingest:
    """One server, one size: messages and octets each second."""

    server: str
    size: int
    messages_per_second: float
    bytes_per_second: float


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the server does not listen")


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - our own list
    try:
        yield process
    finally:
        process.terminate()
        process.wait(40)


@contextmanager
def smtp_sink() -> Iterator[tuple[str, int]]:
    """Postfix's test server, which throws everything away."""
    program = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    if not Path(program).exists():
        raise FileNotFoundError("smtp-sink")
    port = free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    with _running([program, *user, f"127.0.0.1:{port}", "128"]) as process:
        _wait(port, process)
        yield "127.0.0.1", port


@contextmanager
def stock_aiosmtpd() -> Iterator[tuple[str, int]]:
    """aiosmtpd as it comes, throwing everything away."""
    port = free_port()
    command = [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}", "-s", "200000000"]
    with _running([*command, "-c", "aiosmtpd.handlers.Sink"]) as process:
        _wait(port, process)
        yield "127.0.0.1", port


@contextmanager
def our_door(instance: Path) -> Iterator[tuple[str, int]]:
    """`dcc serve --role smtp` on an instance: stores, fsyncs and commits each message before 250."""
    ready = instance / "run" / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "dcc.gateway.cli", "serve", "-c", str(instance / "dcc.toml"), "--role", "smtp"]
    with _running(command) as process:
        for _ in range(600):
            if ready.exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        if not ready.exists():
            raise RuntimeError("dcc serve does not start")
        host, _, port = json.loads(ready.read_text(encoding="utf-8"))["smtp"].rpartition(":")
        yield host, int(port)


def measure(mails: dict[int, Path], counts: dict[int, int], instance: Path | None, recipient: str) -> list[Ingest]:
    """Every server with every size. A server that is absent is left out; ours is, without an instance."""
    servers = {"smtp-sink": smtp_sink, "aiosmtpd (stock)": stock_aiosmtpd}
    found: list[Ingest] = []
    for name, start in servers.items():
        try:
            with start() as address:
                found.extend(_each(name, address, mails, counts, "bench@dcc.example"))
        except FileNotFoundError:
            continue
    if instance is not None and importlib.util.find_spec("dcc.gateway.serve"):
        with our_door(instance) as address:
            found.extend(_each("dcc serve", address, mails, counts, recipient))
    return found


def _each(
    name: str, address: tuple[str, int], mails: dict[int, Path], counts: dict[int, int], recipient: str
) -> Iterator[Ingest]:
    for size, path in mails.items():
        count = counts[size]
        bench_client.measured(address, recipient, path, CONNECTIONS, CONNECTIONS)  # warm
        seconds = bench_client.measured(address, recipient, path, count, CONNECTIONS)
        yield Ingest(name, size, count / seconds, count * path.stat().st_size / seconds)
