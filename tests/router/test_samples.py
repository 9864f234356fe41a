"""The public CDA samples as deposits into P0's folder (acceptance 30, 33)."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dcc.mailbox import documents as store
from dcc.mailbox.records import DocumentStatus
from dcc.mailbox.references import find_reference, is_valid
from dcc.router.decision import Filed, Refused
from dcc.router.request import Deposit

EDISP = {"ins": "277076322082910", "oid": "1.2.250.1.213.1.4.8"}


def deposit(kit: Any, file: Path, cda: bytes | None = None) -> Deposit:
    patient = kit.draft().patient
    if file.name.startswith("eDISP"):
        patient = replace(patient, **EDISP)
    found = kit.deposit(cda or file.read_bytes(), patient=patient)
    assert isinstance(found, Deposit)
    return found


def test_samples_are_filed_or_explained(kit: Any, shared: Path) -> None:
    """Each sample is filed; a replacement of an unknown document is 900; eDISP (OID .8) is refused 904 in test."""
    rows = csv.DictReader((shared / "samples/cda/INDEX.csv").read_text(encoding="utf-8").splitlines())
    for row in rows:
        decision = kit.decide(deposit(kit, shared / "samples/cda" / row["file"]))
        if row["file"].startswith("eDISP"):
            expected: str | None = "904"
        else:
            expected = "900" if row["replaces"] else None
        assert isinstance(decision, Filed if expected is None else Refused), row["file"]
        assert (decision.reason.code if decision.reason else None) == expected
        if isinstance(decision, Filed):
            (document,) = kit.settle(decision)
            assert document.unique_id == row["document_id"]
            assert document.author_id == row["author_ids"].split(";")[0]


def test_second_version_of_a_result(kit: Any, shared: Path) -> None:
    """Acceptance 33: Microbiologie V1, then V2 with its RPLC patched: V1 superseded, V2 current."""
    folder = shared / "samples/cda"
    first = folder / "BIO-CR-BIO_2024.01_Microbiologie_V1.xml"
    second = folder / "BIO-CR-BIO_2024.01_Microbiologie_V2.xml"
    (one,) = kit.settle(kit.decide(deposit(kit, first)))
    patched = second.read_bytes().replace(b"1.2.250.1.213.1.1.1.55.12345.13", b"1.2.250.1.213.1.1.1.55.2024.8.1")
    (two,) = kit.settle(kit.decide(deposit(kit, second, patched)))
    assert two.supersedes == one.id
    with kit.database.read() as conn:
        found = store.documents(conn, "f0")
    assert {each.id: each.status for each in found} == {
        one.id: DocumentStatus.SUPERSEDED,
        two.id: DocumentStatus.CURRENT,
    }


@given(st.text(max_size=60))
def test_subjects_never_crash_the_reference_reader(subject: str) -> None:
    """Whatever stands in a subject, a reference found there has its right check character."""
    found = find_reference(subject)
    assert found is None or is_valid(found)
