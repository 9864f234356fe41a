"""A small network for the router's tests: people, folders, and mails as they stand inside the seal."""

from __future__ import annotations

import base64
import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from dcc.mailbox import documents as store
from dcc.mailbox import folders, people
from dcc.mailbox.database import Database
from dcc.mailbox.records import (
    Account,
    AccountState,
    BlobRef,
    ConsentState,
    Document,
    DocumentStatus,
    Folder,
    Mandate,
    MandateOrigin,
    Network,
    Patient,
)
from dcc.mailbox.references import new_reference
from dcc.router.cda_write import CdaDraft, Section, Structure, write_n1, write_n3
from dcc.router.decide import decide
from dcc.router.decision import Decision, Filed
from dcc.router.doctypes import LOINC
from dcc.router.filing import documents_of
from dcc.router.networkrules import NetworkRules
from dcc.router.read import read_request
from dcc.router.request import Attachment, Professional, Request, Sender
from dcc.router.xdm_write import XdmDocument, XdmSubmission, build_xdm
from dcc.smime.headers import Headers
from dcc.smime.limits import Limits
from dcc.smime.verdict import Content
from dcc.smime.workfile import WorkFile

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOSPITAL = "1490000049"
OTHER_STRUCTURE = "1330781196"
P0 = Patient(
    "p0",
    "279035121518989",
    "1.2.250.1.213.1.4.10",
    "PAT-TROIS",
    ("DOMINIQUE", "MARIE-LOUISE"),
    "F",
    date(1979, 3, 28),
    "51215",
    "QUAL",
)
P1 = Patient(
    "p1",
    "255081416802538",
    "1.2.250.1.213.1.4.10",
    "PAT-UN",
    ("ALICE",),
    "F",
    date(1955, 8, 14),
    "14168",
    "QUAL",
)


def account(key: str, profession: str | None = "10", **changes: Any) -> Account:
    """An account of the network `rca`, validated."""
    made = Account(
        id=f"a-{key}",
        network="rca",
        kind="person",
        national_id=f"8997000000{sum(map(ord, key)) % 100:02d}",
        family_name=key.upper(),
        given_name="Test",
        profession=profession,
        structure=HOSPITAL,
        mailbox=f"{key}@rca.test",
        role="oncologist",
        state=AccountState.VALIDATED,
    )
    return replace(made, **changes)


DR_A = account("dra", national_id="899700000017", encryption_certificate=b"A")
DR_B = account("drb", national_id="899700000025", structure=OTHER_STRUCTURE)
DR_C = account("drc", national_id="899700000033", structure=OTHER_STRUCTURE)
NURSE = account("nurse", "60", national_id="899700000041", role="nurse")
SECRETARY = account("secretary", None, national_id="3490000049/CPET0002", role="secretary")
AUTOMATON = account(
    "lab", None, kind="organisation", national_id=HOSPITAL, role="automaton", given_name=None, structure=HOSPITAL
)
ACCOUNTS = (DR_A, DR_B, DR_C, NURSE, SECRETARY, AUTOMATON)
COORDINATOR = Professional("899700000017", "G15_10/SM36", HOSPITAL, "CH TEST", "DRA", "Test")


@dataclass
class Kit:
    """Everything a test of the router needs; the database holds P0 with consent, P1 in another folder."""

    database: Database
    rules: NetworkRules = field(default_factory=NetworkRules)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    folder: str = "f0"
    folder_address: str = "dossier+aaaa@rca.test"
    gateway_address: str = "passerelle@gateway.test"
    network_address: str = "dcc@rca.test"

    def write(self, change: Callable[[Connection], object]) -> None:
        """One write transaction."""
        with self.database.begin() as conn:
            change(conn)

    def draft(self, **changes: Any) -> CdaDraft:
        """A document of P0 by DrA."""
        made = CdaDraft(
            unique_id=f"2.25.{1000 + next(self.numbers)}",
            type_code="34794-8",
            type_system=LOINC,
            title="Fiche RCP",
            patient=P0,
            author=COORDINATOR,
            custodian=Structure(HOSPITAL, "CH TEST"),
            effective_time=NOW,
        )
        return replace(made, **changes)

    def cda(self, body: bytes | None = None, **changes: Any) -> bytes:
        """A structured document, or an unstructured one around `body`."""
        draft = self.draft(**changes)
        return write_n3(draft, [Section("Avis", ("Texte",))]) if body is None else write_n1(draft, body)

    def xdm(self, *documents: bytes, patient: Patient = P0, masks: Sequence[str] = ()) -> bytes:
        """An archive of these documents."""
        return build_xdm(
            [XdmDocument.of(one, masks) for one in documents or (self.cda(),)],
            XdmSubmission(f"2.25.{next(self.numbers)}", "2.25.9", NOW, patient),
        )

    def mail(
        self,
        *files: tuple[str, str, bytes],
        headers: Sequence[tuple[str, str]] = (("Subject", "XDM/1.0/DDM"), ("From", "dra@rca.test")),
        text: str = "Bonjour",
    ) -> bytes:
        """The inner MIME entity: a text and files (name, media type, bytes)."""
        lines = [*(f"{name}: {value}" for name, value in headers)]
        lines += ["MIME-Version: 1.0", 'Content-Type: multipart/mixed; boundary="b"; hp="cipher"', ""]
        lines += ["--b", "Content-Type: text/plain; charset=utf-8", "", text]
        for name, media_type, data in files:
            coded = base64.encodebytes(data).decode().replace("\n", "\r\n").rstrip()
            lines += [
                "--b",
                f"Content-Type: {media_type}",
                f'Content-Disposition: attachment; filename="{name}"',
                "Content-Transfer-Encoding: base64",
                "",
                coded,
            ]
        lines += ["--b--", ""]
        return "\r\n".join(lines).encode()

    def read(self, mail: bytes, **options: Any) -> Request:
        """Read an inner mail."""
        file = WorkFile()
        file.write(mail)
        content = Content(file, 0, len(mail), hashlib.sha256(mail).hexdigest())
        return read_request(content, options.pop("outer", Headers(())), limits=Limits(), **options)

    def deposit(self, *documents: bytes, **options: Any) -> Request:
        """Read a mail that carries one archive."""
        archive = self.xdm(*documents, **options)
        return self.read(self.mail(("IHE_XDM.zip", "application/zip", archive)))

    def sender(self, of: Account = DR_A) -> Sender:
        """An authenticated sender."""
        return Sender((of,), "00" * 32, of.structure)

    def decide(
        self,
        request: Request,
        of: Account = DR_A,
        to: Sequence[str] | None = None,
        now: datetime = NOW,
        environment: str = "test",
    ) -> Decision:
        """Decide on a request sent to P0's folder."""
        recipients = [self.folder_address] if to is None else list(to)
        with self.database.read() as conn:
            return decide(
                request,
                self.sender(of),
                conn=conn,
                envelope_recipients=recipients,
                now=now,
                environment=environment,
                rules=self.rules,
            )

    def settle(self, filed: Decision, message: str | None = None) -> tuple[Document, ...]:
        """Write the new documents of a filed deposit, as the pipeline does."""
        assert isinstance(filed, Filed), filed
        made = documents_of(
            filed,
            message_id=message or f"m{next(self.numbers)}",
            now=NOW,
            new_id=lambda: f"d{next(self.numbers)}",
            put=lambda one: BlobRef("b", one.size, one.sha256, 1, b"k"),
        )
        with self.database.begin() as conn:
            for one in made:
                store.add_document(conn, one)
                if one.supersedes:
                    store.mark(conn, one.supersedes, DocumentStatus.SUPERSEDED)
        return made

    def attachment(self, data: bytes, name: str = "x.zip", media_type: str = "application/zip") -> Attachment:
        """Bytes as a decoded attachment."""
        file = WorkFile()
        file.write(data)
        return Attachment(name, media_type, len(data), hashlib.sha256(data).hexdigest(), "attachment", file)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated and empty SQLite file that tests copy."""
    path = tmp_path_factory.mktemp("router") / "empty.sqlite"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture
def kit(tmp_path: Path, migrated: Path) -> Iterator[Kit]:
    """The network, its people, P0 with consent (DrA, DrB, nurse, hospital mandated) and P1."""
    shutil.copy(migrated, tmp_path / "router.sqlite")
    database = Database(f"sqlite:///{tmp_path}/router.sqlite")
    made = Kit(database)
    with database.begin() as conn:
        for network in ("rca", "rcb"):
            people.add_network(
                conn, Network(network, network.upper(), f"{network}.test", f"dcc@{network}.test", "0", "s@x")
            )
        for one in ACCOUNTS:
            people.add_account(conn, one)
        for patient, name, token in ((P0, "f0", "aaaa"), (P1, "f1", "bbbb")):
            folders.add_patient(conn, patient)
            folders.add_folder(conn, _folder(name, patient.id, f"dossier+{token}@rca.test"))
            for holder, until in ((DR_A, None), (DR_B, datetime(2027, 1, 1, tzinfo=UTC)), (NURSE, None)):
                folders.add_mandate(conn, _mandate(name, holder.id, None, until))
            folders.add_mandate(conn, _mandate(name, None, HOSPITAL, None))
    yield made
    database.close()


def _folder(name: str, patient: str, address: str) -> Folder:
    reference = new_reference(lambda size: hashlib.sha256(name.encode()).digest()[:size])
    return Folder(name, reference, address, "rca", patient, NOW, ConsentState.GIVEN, NOW - timedelta(days=30))


def _mandate(folder: str, holder: str | None, structure: str | None, until: datetime | None) -> Mandate:
    return Mandate(
        f"m-{folder}-{holder or structure}",
        folder,
        holder,
        structure,
        MandateOrigin.CREATOR,
        NOW - timedelta(days=30),
        until,
    )


@pytest.fixture
def people_of() -> dict[str, Account]:
    """The accounts by their short name."""
    return {one.id.removeprefix("a-"): one for one in ACCOUNTS}


@pytest.fixture
def constants() -> dict[str, Any]:
    """Values that tests compare with."""
    return {"now": NOW, "p0": P0, "p1": P1, "hospital": HOSPITAL, "other": OTHER_STRUCTURE, "author": COORDINATOR}
