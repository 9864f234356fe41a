"""Seals the mails of one batch side by side: RSA, AES, SHA-256 and fsync run without the interpreter's lock.

One mail is written from front to back by one thread; only mails are spread, so that nothing of a mail is held twice.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dcc.gateway.services import Services
from dcc.mailbox.records import Delivery
from dcc.router.compose import Composed
from dcc.smime.seal import Profile, seal
from dcc.smime.signer import key_signer

MOST = 4  # mails sealed at a time by one process, whatever the number of cores

Finish = Callable[[], Path]  # waits for the file; raises what sealing it raised


@dataclass(frozen=True, slots=True)
class Job:
    """One mail to seal, and how."""

    delivery: Delivery
    composed: Composed
    profile: Profile


class Sealers:
    """Writes sealed mails into the outbox folder; shared by the threads that send."""

    def __init__(self, services: Services, *, at_once: int | None = None) -> None:
        """`at_once`: mails sealed at a time; 1: without another thread; None: one for each core."""
        self._services = services
        self._signer = key_signer(services.keys.signing)
        count = min(MOST, os.cpu_count() or 1) if at_once is None else at_once
        self._count = max(1, count)
        self._pool = None if count < 2 else ThreadPoolExecutor(count, "seal")

    def in_turn(self, mails: Iterable[Job | None]) -> Iterator[Finish | None]:
        """For each mail, in order, the call that waits for its file; None where there is nothing to seal.

        No more are begun than are sealed at a time: what is sealed lies on the disk until it is sent.
        """
        begun: deque[Finish | None] = deque()
        for job in mails:
            begun.append(None if job is None else self._begin(job))
            if len(begun) == self._count:
                yield begun.popleft()
        yield from begun

    def _begin(self, job: Job) -> Finish:
        write = partial(self._write, job.delivery, job.composed, job.profile)
        return write if self._pool is None else self._pool.submit(write).result

    def _write(self, delivery: Delivery, composed: Composed, profile: Profile) -> Path:
        """Seal into the outbox folder, durably; the file holds ciphertext or a neutral text only."""
        directory = self._services.outbox_directory
        # A worker that was slower than its lease may still be writing: each attempt has a file of its own
        aside, path = directory / f"{delivery.id}.{delivery.attempts}.part", directory / f"{delivery.id}.eml"
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(handle, "wb", 1 << 18) as out:
                seal(
                    composed.headers, composed.content, composed.content_headers, signer=self._signer,
                    recipient=composed.encrypt_to, profile=profile, out=out,
                    random_bytes=self._services.random_bytes,
                )  # fmt: skip
                out.flush()
                os.fsync(out.fileno())
            aside.rename(path)
        except BaseException:
            aside.unlink(missing_ok=True)  # on a full disk every octet counts
            raise
        return path  # a name lost with the power is harmless: the mail is sealed again, with the same Message-ID
