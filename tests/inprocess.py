"""A gateway's rooms in this process, under a clock that the test moves: mails in, stages, mails out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dcc.gateway.announce import Announcer
from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import Draft, deposit
from dcc.gateway.intake import Intake, IntakeEnvelope
from dcc.gateway.pipeline import Pipeline
from dcc.gateway.relaying import Relay
from dcc.gateway.services import Services
from dcc.mailbox import audit, messages, outbox
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
        self.services = services
        self.cast = Cast.load(services.settings.directory)
        self.clock = Clock(datetime.now(UTC).replace(microsecond=0))
        self.intake = Intake(services, self.clock)
        self.pipeline = Pipeline(services, self.clock)

    def take(self, mail: bytes, sender: str, recipient: str) -> str:
        """As the door does with a mail that it has received whole."""
        envelope = IntakeEnvelope("192.0.2.1", "client.example", None, sender, (recipient,))
        writer = self.intake.begin(envelope)
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
