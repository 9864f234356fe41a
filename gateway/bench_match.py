"""What reading and matching one XDM deposit costs, in processor time, with few and with a million patients."""

from __future__ import annotations

import base64
import hashlib
import os
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dcc.mailbox import folders, people
from dcc.mailbox.database import Database
from dcc.mailbox.records import (
    Account,
    AccountState,
    ConsentState,
    Folder,
    Mandate,
    MandateOrigin,
    Network,
    Patient,
)
from dcc.mailbox.references import new_folder_address, new_reference
from dcc.router.cda_write import CdaDraft, Structure, new_document_id, write_n1
from dcc.router.decide import decide
from dcc.router.decision import Filed
from dcc.router.doctypes import LOINC
from dcc.router.networkrules import NetworkRules
from dcc.router.read import read_request
from dcc.router.request import Deposit, Professional, Sender
from dcc.router.xdm_write import XdmDocument, XdmSubmission, build_xdm
from dcc.smime.headers import Headers
from dcc.smime.limits import Limits
from dcc.smime.verdict import Content
from dcc.smime.workfile import WorkFile

COUNTS = (1_000, 1_000_000)
BODY = 36_000  # octets of the readable body: a report of 50 kB on the way
ROUNDS = 40
FAST = ("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF")  # while the synthetic table is filled


def rows(directory: Path, counts: tuple[int, ...] = COUNTS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Milliseconds of processor time for reading and for matching, for each number of patients."""
    return [{"patients": count, **_measured(directory / f"match-{count}.sqlite", count, rounds)} for count in counts]


def _measured(file: Path, count: int, rounds: int) -> dict[str, float]:
    now = datetime.now(UTC)
    made = Database(f"sqlite:///{file}")
    made.migrate()
    made.close()
    _fill(file, count, now)
    database = Database(f"sqlite:///{file}")
    try:
        sender, patient, address = _people(database, now)
        mail = _mail(patient, sender, now)

        def read() -> Deposit:
            return _read(mail)

        request, rules = read(), NetworkRules()

        def match() -> None:
            with database.read() as conn:
                found = decide(
                    request, sender, conn=conn, envelope_recipients=[address], now=now, environment="test", rules=rules
                )  # fmt: skip
            if not isinstance(found, Filed):
                raise TypeError("the deposit of the bench is not filed")

        reading, matching = _median(read, rounds), _median(match, rounds)
    finally:
        database.close()
        file.unlink(missing_ok=True)
    return {"read_ms": reading, "match_ms": matching, "total_ms": reading + matching}


def _median(work: Callable[[], object], rounds: int) -> float:
    """Processor time of one call, in milliseconds; the machine's other work does not count."""
    work()
    spent = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        spent.append((time.process_time() - begun) * 1000)
    return statistics.median(spent)


def _fill(file: Path, count: int, now: datetime) -> None:
    """So many patients, each with a folder, written as fast as the engine can."""
    with sqlite3.connect(file) as conn:
        for pragma in FAST:
            conn.execute(pragma)
        conn.executemany(
            "INSERT INTO patients (id, ins, oid, birth_name, given_names, sex, birth_date, birth_place, status) "
            "VALUES (?, ?, '1.2.250.1.213.1.4.10', 'PAT', '[\"A\"]', 'F', ?, '99999', 'QUAL')",
            _patients(count),
        )
        conn.executemany(
            "INSERT INTO folders (id, reference, address, network, patient, created_at, consent) "
            "VALUES (?, ?, ?, 'rca', ?, ?, 'given')",
            ((f"f{n}", f"B-{n}", f"bench+{n}@rca.test", f"p{n}", now.isoformat()) for n in range(count)),
        )
        conn.commit()
    conn.close()


def _patients(count: int) -> Iterator[tuple[str, str, str]]:
    first = date(1930, 1, 1)
    for number in range(count):
        yield f"p{number}", f"2{number:012d}00", (first + timedelta(days=number % 30_000)).isoformat()


def _people(database: Database, now: datetime) -> tuple[Sender, Patient, str]:
    patient = Patient(
        "bench", "279035121518989", "1.2.250.1.213.1.4.10", "PAT-TROIS", ("DOMINIQUE", "MARIE-LOUISE"), "F",
        date(1979, 3, 28), "51215", "QUAL",
    )  # fmt: skip
    account = Account(
        "a", "rca", "person", "899700000017", "DRA", "Test", "10", "10B0057881", "dra@rca.test", "oncologist",
        AccountState.VALIDATED,
    )  # fmt: skip
    address = new_folder_address(os.urandom, "rca.test")
    with database.begin() as conn:
        people.add_network(conn, Network("rca", "R", "rca.test", "depot@rca.test", "0", "s@rca.test"))
        people.add_account(conn, account)
        folders.add_patient(conn, patient)
        folders.add_folder(
            conn, Folder("bench", new_reference(os.urandom), address, "rca", "bench", now, ConsentState.GIVEN, now)
        )
        folders.add_mandate(
            conn, Mandate("m", "bench", "a", None, MandateOrigin.CREATOR, now - timedelta(days=1), None)
        )  # fmt: skip
    return Sender((account,), "00" * 32, account.structure), patient, address


def _mail(patient: Patient, sender: Sender, now: datetime) -> bytes:
    account = sender.account
    author = Professional(account.national_id, "G15_10/SM36", account.structure, None, "DRA", "Test")
    draft = CdaDraft(
        unique_id=new_document_id(os.urandom), type_code="34794-8", type_system=LOINC, title="Fiche RCP",
        patient=patient, author=author, custodian=Structure(account.structure or "", "CH"), effective_time=now,
    )  # fmt: skip
    archive = build_xdm(
        [XdmDocument.of(write_n1(draft, b"%PDF" + os.urandom(BODY)))],
        XdmSubmission(new_document_id(os.urandom), "2.25.1", now, patient),
    )
    coded = base64.encodebytes(archive).replace(b"\n", b"\r\n")
    return (
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nBonjour\r\n--b\r\n'
        b'Content-Type: application/zip\r\nContent-Disposition: attachment; filename="IHE_XDM.zip"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n" + coded + b"--b--\r\n"
    )


def _read(mail: bytes) -> Deposit:
    file = WorkFile()
    file.write(mail)
    content = Content(file, 0, len(mail), hashlib.sha256(mail).hexdigest())
    found = read_request(content, Headers(()), limits=Limits())
    if not isinstance(found, Deposit):
        raise TypeError("the mail of the bench is not a deposit")
    return found


def table(found: list[dict[str, Any]]) -> list[str]:
    """The rows as a table of docs/operations.md."""
    head = ["| patients | reading, CPU | matching, CPU | together |", "|---|---|---|---|"]
    return head + [
        f"| {row['patients']:_} | {row['read_ms']:.2f} ms | {row['match_ms']:.2f} ms | {row['total_ms']:.2f} ms |"
        for row in found
    ]
