"""When a right is in force."""

from __future__ import annotations

from datetime import datetime


def in_force(start: datetime, until: datetime | None, revoked_at: datetime | None, at: datetime) -> bool:
    """Whether a right with a start, an end and a revocation is in force at this time (ends excluded)."""
    if at < start or (until is not None and at >= until):
        return False
    return revoked_at is None or at < revoked_at
