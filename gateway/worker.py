"""Threads that bring messages to their end and mails to their readers; work wakes work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

import structlog

log = structlog.get_logger("dcc.worker")
IDLE_SECONDS = 1.0  # safety net only: timers that fall due, and work put there by another process
FAULT_SECONDS = 1.0  # after a failure of the store itself: do not spin


class Wake:
    """Tells every waiting thread of a group that there is work."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._generation = 0

    def set(self) -> None:
        """There is work."""
        with self._condition:
            self._generation += 1
            self._condition.notify_all()

    @property
    def generation(self) -> int:
        """Grows with each call of `set`; read it before looking for work."""
        return self._generation

    def wait(self, seen: int, timeout: float) -> None:
        """Until `set` has been called since `seen` was read, or the timeout in seconds."""
        with self._condition:
            self._condition.wait_for(lambda: self._generation != seen, timeout)


class WorkerGroup:
    """`count` threads that call `work` until it finds nothing, then wait for the wake.

    `work` returns how many items it did. A failure of the store (database gone) is logged and tried again.
    """

    def __init__(
        self, name: str, work: Callable[[], int], wake: Wake, count: int, at_end: Callable[[], None] | None = None
    ) -> None:
        self._name = name
        self._work = work
        self._wake = wake
        self._at_end = at_end  # called by each thread when it ends
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def start(self) -> Self:
        """Start the threads."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self, timeout: float) -> bool:
        """Finish what is in flight; True when every thread ended within the timeout in seconds."""
        self._stopping.set()
        self._wake.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        try:
            self._until_stopped()
        finally:
            if self._at_end is not None:
                self._at_end()

    def _until_stopped(self) -> None:
        while not self._stopping.is_set():
            seen = self._wake.generation
            try:
                done = self._work()
            except Exception as error:  # noqa: BLE001
                # The thread must outlive any failure of the store: nothing is lost, it is tried again (I1).
                log.error("worker_failed", worker=self._name, error=type(error).__name__)  # noqa: TRY400
                self._stopping.wait(FAULT_SECONDS)
                continue
            if not done:
                self._wake.wait(seen, IDLE_SECONDS)
