"""A `dcc serve` of an instance as a process of its own: started, awaited, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
STOP_SECONDS = 30.0


class DidNotStart(Exception):
    """The gateway ended, or did not listen in time; the text is for the operator."""


@contextlib.contextmanager
def serving(config: Path, roles: str = "smtp,worker,relay", log: Path | None = None) -> Iterator[dict[str, Any]]:
    """Run the gateway while inside; gives what `run/ready.json` says. Raises DidNotStart."""
    ready = config.parent / "run" / "ready.json"
    ready.unlink(missing_ok=True)
    with contextlib.ExitStack() as stack:
        out = subprocess.DEVNULL if log is None else stack.enter_context(log.open("ab"))
        process = subprocess.Popen(  # noqa: S603  our own interpreter and module
            [sys.executable, "-m", "dcc.gateway.cli", "serve", "-c", str(config), "--role", roles],
            stdout=out, stderr=subprocess.STDOUT if log is not None else subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield _wait(process, ready)
        finally:
            stop(process)


def _wait(process: subprocess.Popen[bytes], ready: Path) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DidNotStart(f"code {process.returncode}, voir run/journal.log")
        if ready.exists():
            told: dict[str, Any] = json.loads(ready.read_text(encoding="ascii"))
            return told
        time.sleep(0.02)
    raise DidNotStart("elle n'écoutait pas à temps")


def stop(process: subprocess.Popen[bytes]) -> int:
    """SIGTERM, then wait; SIGKILL only after the time that the contract gives."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
        return process.wait()
