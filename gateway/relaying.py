"""What can come of handing one mail to the next host."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sent:
    """The next host has taken it."""


@dataclass(frozen=True, slots=True)
class TryLater:
    """Not taken, and may be taken later; nothing was delivered. `code`: the reply's code only."""

    code: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """Not taken, and never will be."""

    code: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The line broke after DATA: it may have arrived."""


Outcome = Sent | TryLater | Rejected | Uncertain


class Relay(Protocol):
    """Hands one mail to the next host. `idempotent`: repeating a delivery is harmless."""

    idempotent: bool

    def send(self, mail: Path, *, sender: str, recipient: str, delivery_id: str) -> Outcome:
        """Send the finished mail in this file to one recipient; never raises for the network's sake."""

    def rest(self) -> None:
        """Nothing to send just now: close what was idle for long."""

    def close(self) -> None:
        """This thread sends no more."""
