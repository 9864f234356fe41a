"""`dcc serve` as processes that may be killed at any moment; forked from one that has loaded everything, to be quick."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 90.0  # a busy machine is slow; nothing waits that long
NURSERY = """
import json, os, signal, sys
import dcc.gateway.checking, dcc.gateway.serve, dcc.mailbox.migrate, dcc.router.archive
from dcc.gateway.cli import build, main

build()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    told = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.update(told["environment"])
        log = os.open(told["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        try:
            main(told["arguments"])
        finally:
            os._exit(1)
    print(child, flush=True)
"""


@dataclass(frozen=True)
class Gateway:
    """One process."""

    pid: int
    handle: int  # a pidfd: readable once the process has ended
    directory: Path

    def ended(self, seconds: float = 0.0) -> bool:
        """Whether it has ended, after waiting for it this long."""
        return bool(select.select([self.handle], [], [], seconds)[0])

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process."""
        if not self.ended():
            signal.pidfd_send_signal(self.handle, number)

    def kill(self) -> None:
        """kill -9, and wait until it has gone."""
        self.send(signal.SIGKILL)
        assert self.ended(SECONDS)

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.send(signal.SIGTERM)
        assert self.ended(SECONDS)

    def ready(self) -> dict[str, Any]:
        """What this process says when it listens. It may die before: an empty answer."""
        path = self.directory / "run" / "ready.json"
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline and not self.ended():
            if path.exists():
                told: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
                if told["pid"] == self.pid:
                    return told
            time.sleep(0.01)
        assert self.ended(), "it neither listens nor ends"
        return {}


class Nursery:
    """Starts gateways."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @contextmanager
    def serving(self, directory: Path, *options: str, **environment: str) -> Iterator[Gateway]:
        """`dcc serve` on this instance with these variables; killed at the end if it still lives."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        told = {
            "arguments": ["serve", "-c", str(directory / "dcc.toml"), *options], "environment": environment,
            "log": str(directory / "run" / "journal.log"),
        }  # fmt: skip
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        handle = os.pidfd_open(pid)
        gateway = Gateway(pid, handle, directory)
        try:
            yield gateway
        finally:
            gateway.kill()
            os.close(handle)

    def close(self) -> None:
        """End with everything that still runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()
