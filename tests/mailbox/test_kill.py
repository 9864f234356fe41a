"""kill -9 at any moment: what was acknowledged is there, and is done once (I1)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcc.mailbox import messages, outbox
from dcc.mailbox.database import Database
from dcc.mailbox.records import MessageState
from dcc.mailbox.spool import Spool

SECONDS = 90.0  # a busy machine is slow; nothing waits that long

RECEIVER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from dcc.mailbox import messages
from dcc.mailbox.database import Database
from dcc.mailbox.records import Message, MessageState
from dcc.mailbox.rows import new_id
from dcc.mailbox.spool import Spool

database, spool = Database(sys.argv[1]), Spool(Path(sys.argv[2]))
while True:
    message_id, now = new_id(), datetime.now(UTC)
    with spool.create(message_id) as writer:
        writer.write(message_id.encode() * 400)
        writer.commit()
    with database.begin() as conn:
        messages.insert_received(conn, Message(
            id=message_id, received_at=now, size=writer.size, sha256=writer.sha256, mail_from="a@x", recipients=("b@x",),
            peer="p", state=MessageState.RECEIVED, due=now))
    print(message_id, flush=True)
"""
WORKER = """
import sys
from datetime import UTC, datetime, timedelta
from dcc.mailbox import messages, outbox
from dcc.mailbox.database import Database
from dcc.mailbox.records import Delivery, DeliveryState, MessageState

database = Database(sys.argv[1])
print("ready", flush=True)
while True:
    now = datetime.now(UTC)
    with database.begin() as conn:
        claimed = messages.claim(conn, now=now, lease=timedelta(milliseconds=300), limit=2)
    for message in claimed:
        state = message.state
        if state is MessageState.RECEIVED:
            with database.begin() as conn:
                assert messages.advance(conn, message.id, expected=state, to=MessageState.DECIDED, stages=())
            state = MessageState.DECIDED
        with database.begin() as conn:
            if messages.settle(conn, message.id, expected=state, end=MessageState.DONE, now=now, stages=()):
                outbox.enqueue_all(conn, [Delivery(
                    id=message.id, dedupe_key=message.id, kind="notice", mailbox="b@x", account=None, folder=None,
                    message=message.id, documents=(), reason=None, state=DeliveryState.QUEUED, created_at=now, due=now)])
"""


def _run(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True)


def _kill(process: subprocess.Popen[str]) -> list[str]:
    os.kill(process.pid, signal.SIGKILL)
    told, _ = process.communicate(timeout=SECONDS)
    return told.split("\n")[:-1]  # a line without its end was not told


@pytest.mark.parametrize("rounds", [3])
def test_nothing_acknowledged_is_lost(database_url: str, tmp_path: Path, rounds: int) -> None:
    """Receivers and workers killed in the middle: each acknowledged message is whole, ends, and is announced once."""
    (tmp_path / "spool").mkdir()
    acknowledged: list[str] = []
    for turn in range(rounds):
        worker = _run(WORKER, database_url)
        assert worker.stdout is not None
        worker.stdout.readline()
        receiver = _run(RECEIVER, database_url, str(tmp_path / "spool"))
        assert receiver.stdout is not None
        acknowledged.append(receiver.stdout.readline().strip())
        time.sleep(0.15 + 0.07 * turn)
        acknowledged += _kill(receiver)
        _kill(worker)

    database, spool = Database(database_url), Spool(tmp_path / "spool")
    for one in acknowledged:
        with spool.open(one) as file:
            assert file.read() == one.encode() * 400
    last = _run(WORKER, database_url)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with database.read() as conn:
            if messages.queue_depth(conn) == 0:
                break
        time.sleep(0.1)
    _kill(last)
    with database.read() as conn:
        ended = {one.id: one.state for one in messages.list_messages(conn, limit=100_000)}
        owed = [one.id for one in outbox.deliveries(conn)]
    database.close()
    assert set(acknowledged) <= set(ended)
    assert set(ended.values()) == {MessageState.DONE}
    assert sorted(owed) == sorted(ended), "one notice for each, never two"


def test_killed_after_the_rename(database: Database, tmp_path: Path) -> None:
    """A crash between the file and its row leaves an orphan that is found, and nothing that was promised."""
    (tmp_path / "spool").mkdir()
    spool = Spool(tmp_path / "spool")
    writer = spool.create("lost")
    writer.write(b"x")
    writer.commit()
    names = list(spool.orphans(datetime.now(UTC) + timedelta(days=2)))
    with database.read() as conn:
        known = messages.known_ids(conn, [Path(name).stem for name in names])
    assert [name for name in names if Path(name).stem not in known] == ["lost.eml"]
