"""One moment of the store, each row asked of the engine once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import event

from dcc.mailbox import capabilities
from dcc.mailbox.database import Database
from dcc.mailbox.snapshot import Snapshot


def test_expected_accounts_are_read_together(database: Database, world: Any, now: datetime) -> None:
    """Accounts that are expected cost one statement, what their clients can read another; the answers are the same."""
    with database.begin() as conn:
        capabilities.remember(conn, world.doctor.id, ("1.2.3",), now)
    asked = []
    with database.read() as conn:
        event.listen(conn, "before_cursor_execute", lambda *_: asked.append(1))
        alone, together = Snapshot(conn), Snapshot(conn)
        expected = (alone.account(world.doctor.id), alone.capabilities(world.doctor.id))
        asked.clear()
        together.expect([world.doctor.id, "nobody", world.doctor.id])
        assert len(asked) == 2
        assert (together.account(world.doctor.id), together.capabilities(world.doctor.id)) == expected
        assert (together.account("nobody"), together.capabilities("nobody")) == (None, ())
        assert len(asked) == 2
    assert expected[1] == ("1.2.3",)
