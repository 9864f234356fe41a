"""A gateway's rooms in this process, under a clock that the test moves: mails in, stages, mails out."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import Connection

from dcc.gateway import logs
from dcc.gateway.announce import Announcer
from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import Draft, deposit
from dcc.gateway.intake import Intake, IntakeEnvelope
from dcc.gateway.pipeline import Pipeline
from dcc.gateway.relaying import Outcome, Relay, Sent, Uncertain
from dcc.gateway.services import Services
from dcc.mailbox import audit, messages, outbox
from dcc.mailbox.database import Database, DatabaseGone
from dcc.mailbox.records import Delivery, Message


@dataclass
class Clock:
    """Says what it is told."""

    at: datetime

    def __call__(self) -> datetime:
        return self.at

    def later(self, **passed: float) -> None:
        """Time passes."""
        self.at += timedelta(**passed)


class Rooms:
    """Intake, pipeline and announcer of one instance."""

    def __init__(self, services: Services) -> None:
        logs.configure(io.StringIO())
        self.services = services
        self.cast = Cast.load(services.settings.directory)
        self.clock = Clock(datetime.now(UTC).replace(microsecond=0))
        self.intake = Intake(services, self.clock)
        self.pipeline = Pipeline(services, self.clock)

    def take(self, mail: bytes, sender: str, recipient: str) -> str:
        """As the door does with a mail that it has received whole."""
        envelope = IntakeEnvelope("192.0.2.1", "client.example", None, sender, (recipient,))
        with self.intake.begin(envelope) as writer:
            writer.write(mail)
            return self.intake.commit(envelope, writer)

    def deposit(self, draft: Draft | None = None) -> str:
        """An ordinary deposit, taken and not worked on yet."""
        told = draft or Draft("coordinator", "main")
        mail = deposit(self.cast, told, self.clock.at, os.urandom)
        return self.take(mail, self.cast.person(told.sender)["mailbox"], self.cast.folder(told.folder)["address"])

    def work(self) -> None:
        """Bring everything that is due to its end."""
        while self.pipeline.run_once():
            pass

    def announcer(self, relay: Relay) -> Announcer:
        """Sends through this relay."""
        return Announcer(self.services, relay, self.clock)

    def message(self, message_id: str) -> Message:
        """As it is now."""
        with self.services.database.read() as conn:
            found = messages.get(conn, message_id)
        assert found is not None
        return found

    def deliveries(self, person: str | None = None) -> Sequence[Delivery]:
        """All mails owed, or those to one person."""
        with self.services.database.read() as conn:
            found = outbox.deliveries(conn)
        box = None if person is None else self.cast.person(person)["mailbox"]
        return [one for one in found if box is None or one.mailbox == box]

    def delivery(self, person: str) -> Delivery:
        """The one mail to this person."""
        (found,) = self.deliveries(person)
        return found

    def audited(self, tag: str) -> list[str | None]:
        """The codes of the audit records with this tag; the trail as a whole is verified."""
        certificate = self.services.keys.signing.certificate
        with self.services.database.read() as conn:
            assert audit.verify(conn, certificate).ok
            return [one["code"] for one in audit.export(conn) if one["tag"] == tag]


class Recorder:
    """A next host in this process: answers what it is told, in turn, then takes everything."""

    def __init__(self, *outcomes: Outcome, idempotent: bool = False) -> None:
        self.idempotent = idempotent
        self.outcomes = deque(outcomes)
        self.mails: list[tuple[str, bytes]] = []
        self.asked: Callable[[], None] = lambda: None

    def send(self, mail: Path, *, sender: str, recipient: str, delivery_id: str) -> Outcome:
        """Keeps what it takes, and what nobody can be sure of."""
        del sender, delivery_id
        octets = mail.read_bytes()
        self.asked()
        outcome = self.outcomes.popleft() if self.outcomes else Sent()
        if isinstance(outcome, Sent | Uncertain):
            self.mails.append((recipient, octets))
        return outcome

    def rest(self) -> None:
        """Nothing is kept open."""

    def close(self) -> None:
        """Nothing is kept open."""

    def to(self, mailbox: str) -> list[bytes]:
        """What this mailbox received."""
        return [octets for box, octets in self.mails if box == mailbox]


@contextmanager
def failing(database: Database, number: int, *, committed: bool) -> Iterator[None]:
    """The store fails at the `number`th transaction that writes, before it or (`committed`) right after its commit."""
    passed = count(1)

    @contextmanager
    def broken(begin: Callable[[], AbstractContextManager[Connection]]) -> Iterator[Connection]:
        mine = next(passed)
        if mine == number and not committed:
            raise DatabaseGone("gone")
        with begin() as conn:
            yield conn
        if mine == number:
            raise DatabaseGone("gone during the commit")

    with (
        patch.object(database, "begin", partial(broken, database.begin)),
        patch.object(database, "passing", partial(broken, database.passing)),
    ):
        yield
