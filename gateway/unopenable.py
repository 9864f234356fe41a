"""How many mails of one correspondent could not be opened lately: an oracle needs thousands of questions (R-ORACLE).

Whoever sends more than a setting allows within an hour is not looked at until the hour has passed: mails are held
unopened, and worked on by themselves afterwards, so that a client that was broken and is repaired loses nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta

WINDOW = timedelta(hours=1)
MOST_CORRESPONDENTS = 10_000  # the memory of one process is bounded, whoever writes


class Unopenable:
    """Counts in this process; a correspondent is an envelope sender at one address of the network."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, mail_from: str, peer: str, now: datetime) -> None:
        """One more mail that could not be opened, or whose signature was not good."""
        with self._lock:
            times = self._seen.setdefault(_key(mail_from, peer), deque(maxlen=self._most))
            self._seen.move_to_end(_key(mail_from, peer))
            times.append(now)
            if len(self._seen) > MOST_CORRESPONDENTS:
                self._seen.popitem(last=False)

    def closed_until(self, mail_from: str, peer: str, now: datetime) -> datetime | None:
        """When mails of this correspondent are looked at again; None: now."""
        with self._lock:
            times = self._seen.get(_key(mail_from, peer))
            if times is None or len(times) < self._most or abs(now - times[0]) >= WINDOW:  # the clock may be set back
                return None
            return times[0] + WINDOW


def _key(mail_from: str, peer: str) -> tuple[str, str]:
    return mail_from.lower(), peer
