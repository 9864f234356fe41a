"""A real Chromium, driven through its debugging pipe: pages are shown as a reader sees them, looked at and drawn."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS = 60.0
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--remote-debugging-pipe",
)  # fmt: skip


class BrowserFault(AssertionError):
    """Chromium refused what it was asked, or does not answer."""


class Browser:
    """One tab. Commands of the Chrome DevTools protocol, each ended by NUL, on a pair of pipes."""

    def __init__(self, asks: int, answers: int) -> None:
        self._asks, self._answers = asks, answers
        self._number = 0
        self._buffer = b""
        self._session: str | None = None
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._frame = self.ask("Page.getFrameTree")["frameTree"]["frame"]["id"]

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command and its result."""
        self._number += 1
        command: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._asks, json.dumps(command).encode() + b"\0")
        deadline = time.monotonic() + SECONDS
        while True:
            told = self._next(deadline)
            if told.get("id") != self._number:
                continue  # an event
            if "error" in told:
                raise BrowserFault(f"{method}: {told['error']}")
            result: dict[str, Any] = told["result"]
            return result

    def show(self, page: str, *, width: int, scheme: str = "light") -> None:
        """Show this page, so wide, in this colour scheme."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=640, deviceScaleFactor=1, mobile=width < 600)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.setDocumentContent", frameId=self._frame, html=page)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in told:
            raise BrowserFault(str(told["exceptionDetails"]))
        return told["result"].get("value")

    def draw(self, path: Path) -> None:
        """The whole page as a PNG."""
        data = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BrowserFault("no answer")
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                raise BrowserFault("Chromium has ended")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        return told


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A Chromium of its own, with an empty profile; ended with the block."""
    program = shutil.which("chromium")
    if program is None:
        raise BrowserFault("chromium is absent")
    its_input, asks = os.pipe()
    answers, its_output = os.pipe()
    # It reads commands from descriptor 3 and writes answers to 4: the shell puts them there, whatever ours are
    launch = f'exec "$0" "$@" 3<&{its_input} 4>&{its_output}'
    process = subprocess.Popen(
        ["bash", "-c", launch, program, *SWITCHES, f"--user-data-dir={profile}"], pass_fds=(its_input, its_output),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(its_input)
    os.close(its_output)
    try:
        yield Browser(asks, answers)
    finally:
        process.terminate()
        process.wait(SECONDS)
        os.close(asks)
        os.close(answers)
