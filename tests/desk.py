"""A gateway without doors: real mails of the demo's people go in, the real pipeline decides, real sealed mails come out.

P0 of the acceptance cases is the demo's folder `main`; DrA is its oncologist (mandated by creation), DrB its general
practitioner (mandated by carte Vitale), DrC the professional whom nobody mandated. The clock stands still.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.message import Message as Mail
from io import BytesIO
from typing import Any

from dcc.gateway.announce import Announcer
from dcc.gateway.cast_reader import Cast
from dcc.gateway.clients import Envelope, mail, report_entity
from dcc.gateway.demo_deposits import Draft, document
from dcc.gateway.intake import Intake, IntakeEnvelope
from dcc.gateway.pipeline import Pipeline
from dcc.gateway.services import Services
from dcc.gateway.sink import Sink
from dcc.mailbox import audit, documents, folders, messages, outbox
from dcc.mailbox.records import Delivery, Document, Folder, Message
from dcc.router.cda_write import new_document_id
from dcc.router.xdm_write import XdmDocument, XdmSubmission, build_xdm
from dcc.smime.open import open_message

DR_A, DR_B, DR_C = "oncologist", "gp", "no_mandate"
ZIP, PDF = "application/zip", "application/pdf"
File = tuple[str, str, bytes]
AFTERWARDS = frozenset({"undelivered", "uncertain"})  # mails that tell what became of others


@dataclass
class Desk:
    """One instance of a test's own."""

    services: Services
    cast: Cast
    now: datetime

    def __post_init__(self) -> None:
        clock = lambda: self.now  # noqa: E731  the test moves it
        self.intake = Intake(self.services, clock)
        self.pipeline = Pipeline(self.services, clock)
        self.sink = self.cast.directory / "sink"
        self.announcer = Announcer(self.services, Sink(self.sink), clock)

    def receive(self, raw: bytes, *, mail_from: str, to: str | None = None) -> Message:
        """One mail through intake and pipeline; every end leaves an audit record and an intact chain (case 45)."""
        envelope = IntakeEnvelope("127.0.0.1", "client.example", None, mail_from, (to or self.address(),))
        writer = self.intake.begin(envelope)
        writer.write(raw)
        received = self.intake.commit(envelope, writer)
        self.pipeline.run_once()
        message = self.message(received)
        told = [one for one in self.records() if one["message"] == received and "message" in one["tag"]]
        assert told, "no audit record"
        assert (told[-1]["decision"], told[-1]["code"]) == (message.state.value, message.reason_code)
        assert self.verified()
        return message

    def work(self, message: Message) -> None:
        """Bring a message that was put back to its end; commands read the machine's clock, the desk's stands still."""
        self.pipeline.process(self.message(message.id))

    def entity(self, *files: File, text: str = "Veuillez trouver le document joint.\n", **fields: str) -> bytes:
        """The MIME entity of a mail client, with header fields inside the seal when they are given."""
        inner = report_entity(text, files)
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        return head.encode() + inner

    def seal(self, entity: bytes, sender: str = DR_A, *, to: str | None = None, **changes: Any) -> bytes:
        """Signed with the sender's card and encrypted to the gateway; `changes`: identity, from_, encrypted, signed."""
        address = changes.get("from_") or self.cast.person(sender)["mailbox"]
        subject = changes.get("subject", "Compte rendu")
        envelope = Envelope(address, to or self.address(), subject, self.now, f"<{os.urandom(9).hex()}@client.example>")
        identity = self.cast.identity(sender, changes.get("identity", "card"))
        signer = changes.get("signer") or (identity if changes.get("signed", True) else None)
        keys = [self.cast.gateway_certificate()] if changes.get("encrypted", True) else []
        return mail(entity, signer, keys, envelope, os.urandom, shape=changes.get("shape", "thunderbird"))

    def send(self, entity: bytes, sender: str = DR_A, *, to: str | None = None, **changes: Any) -> Message:
        """Seal and receive."""
        address = changes.get("from_") or self.cast.person(sender)["mailbox"]
        receipt = f"Disposition-Notification-To: {address}\r\n".encode() if changes.get("receipt") else b""
        return self.receive(receipt + self.seal(entity, sender, to=to, **changes), mail_from=address, to=to)

    def plain(self, subject: str, *files: File, sender: str = DR_A, to: str | None = None, text: str = "") -> Message:
        """A clinician's mail: the subject outside, as ordinary clients leave it."""
        return self.send(self.entity(*files, text=text or "Bonjour\n"), sender, to=to, subject=subject)

    def deposit(
        self, *documents: bytes, sender: str = DR_A, to: str | None = None, masks: Sequence[str] = (),
        patient: str = "main", **changes: Any,
    ) -> Message:  # fmt: skip
        """An MSSanté mail: IHE_XDM.zip with these documents (one of the sender's own when none is given), and a PDF."""
        made = documents or (self.cda(sender),)
        archive = self.xdm(*made, masks=masks, patient=patient)
        files: tuple[File, ...] = (("IHE_XDM.zip", ZIP, archive), ("copie.pdf", PDF, b"%PDF-1.4 copie"))
        return self.send(self.entity(*files), sender, to=to, **changes)

    def cda(self, sender: str = DR_A, type_code: str = "34794-8", **changes: Any) -> bytes:
        """A document of P0 by a person of the cast."""
        draft = Draft(sender, changes.pop("folder", "main"), type_code, **changes)
        return document(self.cast, draft, self.now, os.urandom)

    def xdm(self, *documents: bytes, masks: Sequence[str] = (), patient: str = "main", **changes: Any) -> bytes:
        """An archive of these documents; `changes` of the patient that METADATA names."""
        who = replace(self.cast.patient(patient), **changes)
        made = [XdmDocument.of(one, masks) for one in documents]
        return build_xdm(made, XdmSubmission(new_document_id(os.urandom), "1.2.250.1.213.9.9.9", self.now, who))

    def address(self, key: str = "main") -> str:
        """A folder's address."""
        return str(self.cast.folder(key)["address"])

    def folder(self, key: str = "main") -> Folder:
        """A folder as it is now."""
        with self.services.database.read() as conn:
            found = folders.folder(conn, self.cast.folder(key)["id"])
        assert found is not None
        return found

    def documents(self, key: str = "main") -> list[Document]:
        """The documents of a folder."""
        with self.services.database.read() as conn:
            return documents.documents(conn, self.folder(key).id)

    def message(self, message_id: str) -> Message:
        """One message as it is now."""
        with self.services.database.read() as conn:
            found = messages.get(conn, message_id)
        assert found is not None
        return found

    def deliveries(self, message: Message) -> dict[str, Delivery]:
        """What is owed for a message, by the key of the person."""
        keys = {one["mailbox"]: one["key"] for one in self.cast.told["people"]}
        with self.services.database.read() as conn:
            found = [one for one in outbox.deliveries(conn) if one.message == message.id and one.kind not in AFTERWARDS]
        ends = [one.mailbox for one in found if one.kind != "held"]  # who was told to wait is told the end too
        assert len(set(ends)) == len(ends), "one mail for each reader and deposit"
        found.sort(key=lambda one: one.kind != "held")
        return {keys[one.mailbox]: one for one in found}

    def told(self, message: Message, key: str = DR_A) -> tuple[str, str | None]:
        """What a person is told of a message: the kind of mail and its reason."""
        one = self.deliveries(message)[key]
        return one.kind, one.reason

    def announce(self) -> None:
        """Send everything that is due."""
        while self.announcer.run_once():
            pass

    def mail_to(self, key: str, message: Message) -> tuple[Mail, Mail]:
        """The mail that a person got for a message: as it came, and as it reads once opened with the person's key."""
        self.announce()
        one = self.deliveries(message)[key]
        raw = (self.sink / one.mailbox / "new" / f"{one.id}.dcc").read_bytes()
        opened = open_message(BytesIO(raw), keys=[self.cast.pair(key, "encryption")])
        assert opened.content is not None
        inner = opened.content.open().read()
        opened.close()
        return message_from_bytes(raw), message_from_bytes(inner)

    def records(self) -> list[dict[str, Any]]:
        """The audit trail."""
        with self.services.database.read() as conn:
            return list(audit.export(conn))

    def verified(self) -> bool:
        """Whether the chain is whole."""
        with self.services.database.read() as conn:
            return audit.verify(conn, self.services.keys.signing.certificate).ok

    def write(self, change: Any) -> None:
        """Change the store."""
        with self.services.database.begin() as conn:
            change(conn)

    def later(self, **delta: float) -> None:
        """Move the clock."""
        self.now += timedelta(**delta)


def end(message: Message) -> tuple[str, str | None]:
    """The end of a message: state and code."""
    return message.state.value, message.reason_code
