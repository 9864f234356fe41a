"""People who write to a gateway in this process, and who read what they are sent."""

from __future__ import annotations

import os
import re
from email.header import decode_header, make_header
from typing import Any

from dcc.gateway.clients import Envelope, mail, report_entity
from dcc.gateway.services import Services
from dcc.mailbox import folders, people
from dcc.mailbox.records import MessageState
from goldenmail import unseal
from inprocess import Recorder, Rooms

DEPOT, INSCRIPTION = "depot@rca.dcc.example", "inscription@rca.dcc.example"


class Correspondence(Rooms):
    """Rooms with people who write, and who read what they are sent."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.post = Recorder(idempotent=True)
        self.sender = self.announcer(self.post)

    def write(
        self,
        person: str,
        text: str,
        subject: str = "Demande",
        *,
        to: str = DEPOT,
        from_: str | None = None,
        attachments: Any = (),
        raw: bytes | None = None,
    ) -> MessageState:
        """One signed and encrypted mail, worked on and answered; its end."""
        address = from_ or self.cast.person(person)["mailbox"]
        octets = raw or self.made(person, text, subject, to=to, from_=address, attachments=attachments)
        self.last = self.take(octets, address, to)
        self.work()
        while self.sender.run_once():
            pass
        return self.message(self.last).state

    def made(self, person: str, text: str, subject: str, *, to: str, from_: str, attachments: Any = ()) -> bytes:
        """As a client makes it whose headers are not protected; the subject is outside, hence never trusted alone."""
        envelope = Envelope(from_, to, subject, self.clock.at, f"<{os.urandom(8).hex()}@client.example>")
        entity = report_entity(text, attachments)
        return mail(entity, self.cast.identity(person), [self.cast.gateway_certificate()], envelope, os.urandom)

    def code(self) -> str | None:
        """The reason of the last message."""
        return self.message(self.last).reason_code

    def read(self, person: str, mailbox: str | None = None) -> tuple[str, str]:
        """(subject, text) of the newest mail of this person."""
        raw = self.post.to(mailbox or self.cast.person(person)["mailbox"])[-1]
        encrypted = b"enveloped-data" in raw.partition(b"\r\n\r\n")[0]
        key = self.cast.pair(person, "encryption") if encrypted else None
        opened = unseal(raw, key, self.services.keys.signing.certificate)
        text = next(one for one in opened.inner.walk() if one.get_content_type() == "text/plain")
        subject = opened.inner["Subject"] or opened.outer["Subject"]
        octets = text.get_payload(decode=True)
        assert isinstance(octets, bytes)
        return str(make_header(decode_header(subject))), octets.decode()

    def secret(self, person: str) -> str:
        """The one-time secret in the newest mail of this person."""
        found = re.search(r"\[([0-9A-Z-]{20,})\]", self.read(person)[0])
        assert found is not None
        return found[1]

    def account(self, person: str, network: str = "rca") -> Any:
        """The account of a card, as it is now."""
        with self.services.database.read() as conn:
            found = people.by_national_id(conn, self.cast.person(person)["idnps"])
        return next((one for one in found if one.network == network), None)

    def folder(self, key: str) -> Any:
        with self.services.database.read() as conn:
            return folders.folder(conn, self.cast.folder(key)["id"])

    def kinds(self, person: str) -> list[str]:
        return [one.kind for one in self.deliveries(person)]
