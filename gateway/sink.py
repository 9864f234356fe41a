"""Outgoing mail of a demo instance: one Maildir per mailbox, and each delivery at most once in it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from dcc.gateway.relaying import Outcome, Rejected, Sent
from dcc.mailbox.spool import fsync_directory


class Sink:
    """Puts mails into `sink/<address>/new`. The file's name comes from the delivery: repeating is harmless."""

    idempotent = True

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def send(self, mail: Path, *, sender: str, recipient: str, delivery_id: str) -> Outcome:
        """Deliver one finished mail; durable when this returns."""
        if "/" in recipient or recipient.startswith(".") or recipient.count("@") != 1:
            return Rejected("553 5.1.3")
        box = self._box(recipient)
        new, name = box / "new", f"{delivery_id}.dcc"
        if any(one.startswith(name) for one in os.listdir(box / "cur")):
            return Sent()
        try:
            os.link(mail, new / name)  # the finished mail is durable already, and never written again
        except FileExistsError:
            return Sent()
        except OSError:
            _copy(mail, box / "tmp" / name)  # another file system, or one without links
            (box / "tmp" / name).rename(new / name)
        fsync_directory(new)
        return Sent()

    def _box(self, recipient: str) -> Path:
        box = self._directory / recipient
        if not (box / "cur").is_dir():  # made last
            for name in ("tmp", "new", "cur"):
                (box / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        return box

    def rest(self) -> None:
        """Nothing is kept open."""

    def close(self) -> None:
        """Nothing is kept open."""


def _copy(mail: Path, aside: Path) -> None:
    with mail.open("rb") as source, aside.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 18)
        target.flush()
        os.fsync(target.fileno())
