"""Acceptance B and C, cases 11 to 23: identity, consent, mandate, role; through the whole pipeline."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from dcc.gateway.demo_deposits import BIOLOGY, Draft, document
from dcc.mailbox import folders
from dcc.mailbox.records import ConsentState
from dcc.mailbox.schema import mandates
from dcc.router.cda_write import CdaDraft, Section, Structure, new_document_id, write_n3
from dcc.router.doctypes import LOINC
from dcc.router.xdm_write import XdmDocument, XdmSubmission, build_xdm
from desk import DR_A, DR_B, DR_C, PDF, ZIP, Desk, end


def written(desk: Desk, **changes: Any) -> bytes:
    """A document of P0 by DrA, of which some things are changed."""
    draft = CdaDraft(
        unique_id=new_document_id(os.urandom), type_code="34794-8", type_system=LOINC, title="Fiche RCP",
        patient=desk.cast.patient("main"), author=desk.cast.professional(DR_A),
        custodian=Structure("10B0057881", "CH"), effective_time=desk.now,
    )  # fmt: skip
    return write_n3(replace(draft, **changes), [Section("Avis", ("Texte.",))])


def archive(desk: Desk, cda: bytes, patient: Any, *, with_ins: bool = True) -> tuple[str, str, bytes]:
    """An archive whose METADATA names this patient."""
    made = XdmSubmission(new_document_id(os.urandom), "2.25.1", desk.now, patient, with_ins=with_ins)
    return ("IHE_XDM.zip", ZIP, build_xdm([XdmDocument.of(cda)], made))


def untouched(desk: Desk) -> bool:
    """No folder got a document, and none was opened."""
    with desk.services.database.read() as conn:
        count = len(folders.list_folders(conn))
    return count == 6 and not desk.documents() and not desk.documents("second")


def test_case_11_metadata_names_another_patient(desk: Desk) -> None:
    """Case 11: METADATA and CDA name two patients: refused 904 with D2R-XDM05; neither folder is touched."""
    message = desk.send(desk.entity(archive(desk, desk.cda(), desk.cast.patient("second"))))
    assert end(message) == ("refused", "904")
    assert dict(message.reason_parameters)["detail"] == "D2R-XDM05"
    assert untouched(desk)


def test_case_12_two_patients_in_one_mail(desk: Desk) -> None:
    """Case 12: two documents of two patients, in one archive or in two: refused D2R-XDM06."""
    mine, other = desk.cda(), desk.cda(folder="second", patient="second")
    two = (archive(desk, mine, desk.cast.patient("main")), archive(desk, other, desk.cast.patient("second")))
    assert end(desk.send(desk.entity(*two))) == ("refused", "D2R-XDM06")
    assert end(desk.deposit(mine, other)) == ("refused", "D2R-XDM06")
    assert untouched(desk)


def test_case_13_no_ins(desk: Desk) -> None:
    """Case 13: no INS, only an IPP: held 903, not filed."""
    cda = written(desk, with_ins=False)
    with_local = cda.replace(b'<id nullFlavor="UNK"/><patient>', b'<id root="1.2.3.4" extension="IPP1"/><patient>', 1)
    assert with_local != cda
    message = desk.send(desk.entity(archive(desk, with_local, desk.cast.patient("main"), with_ins=False)))
    assert end(message) == ("held", "903")
    assert untouched(desk)


@pytest.mark.parametrize("cut", [b"<birthplace>", b'<given qualifier="BR">'])
def test_case_14_incomplete_identity(desk: Desk, cut: bytes) -> None:
    """Case 14: an INS without birth place, or without a first given name (BR): held 905, not filed."""
    cda = written(desk)
    tag = cut.split(b" ")[0].strip(b"<>")
    start = cda.index(cut)
    stop = cda.index(b"</" + tag + b">", start) + len(tag) + 3
    message = desk.deposit(cda[:start] + cda[stop:])
    assert end(message) == ("held", "905")
    assert untouched(desk)


def test_case_15_unknown_patient(desk: Desk) -> None:
    """Case 15: a well-formed INS that no folder holds: held 902; no folder is created."""
    stranger = replace(desk.cast.patient("main"), ins="255081416802538", birth_name="PAT-NEUF", given_names=("SIMONE",))
    cda = written(desk, patient=stranger)
    for to in (None, str(desk.cast.told["gateway"]["address"])):
        message = desk.send(desk.entity(archive(desk, cda, stranger)), to=to)
        assert end(message) == ("held", "902")
    assert untouched(desk)


def test_case_16_domains_are_never_mixed(desk: Desk) -> None:
    """Case 16: OID .8 on a platform in test mode, .10 on one in production: refused 904."""
    real = replace(desk.cast.patient("main"), oid="1.2.250.1.213.1.4.8")
    message = desk.send(desk.entity(archive(desk, written(desk, patient=real), real)))
    assert end(message) == ("refused", "904")
    production = desk.services.settings.gateway.model_copy(update={"environment": "production"})
    desk.services.settings = desk.services.settings.model_copy(update={"gateway": production})
    assert end(desk.deposit()) == ("refused", "904")
    assert untouched(desk)


def test_case_17_no_consent(desk: Desk) -> None:
    """Case 17: no consent: refused D2R-CNS01; no document is kept, none of its files either."""
    cda = desk.cda(folder="no_consent")
    message = desk.deposit(cda, to=desk.address("no_consent"), patient="no_consent")
    assert end(message) == ("refused", "D2R-CNS01")
    assert desk.documents("no_consent") == []
    assert [one for one in (desk.cast.directory / "var/documents").rglob("*") if one.is_file()] == []


def test_case_18_consent_withdrawn(desk: Desk) -> None:
    """Case 18: withdrawn yesterday: refused D2R-CNS02, earlier documents stay, nobody is told any more."""
    first = desk.deposit()
    folder = desk.folder().id
    yesterday = desk.now - timedelta(days=1)
    desk.write(lambda conn: folders.record_consent(conn, folder, state=ConsentState.WITHDRAWN, at=yesterday))
    desk.announce()
    reports = [one for one in desk.deliveries(first).values() if one.kind in {"report", "notice"}]
    assert {(one.state.value, one.reason) for one in reports} == {("withheld", "D2R-CNS02")}
    message = desk.deposit()
    assert end(message) == ("refused", "D2R-CNS02")
    assert set(desk.deliveries(message)) == {DR_A}
    assert [one.status.value for one in desk.documents()] == ["current"]


def test_case_19_never_mandated(desk: Desk) -> None:
    """Case 19: DrC deposits: refused D2R-MAN01, and is told so."""
    message = desk.deposit(sender=DR_C)
    assert end(message) == ("refused", "D2R-MAN01")
    assert desk.told(message, DR_C) == ("refusal", "D2R-MAN01")


def test_case_20_mandate_ended(desk: Desk) -> None:
    """Case 20: DrB's mandate has ended: refused D2R-MAN02, and no notice of others' documents from that day on."""
    ended = desk.now - timedelta(days=1)
    desk.write(lambda conn: conn.execute(update(mandates).where(mandates.c.origin == "vitale").values(until=ended)))
    assert end(desk.deposit(sender=DR_B)) == ("refused", "D2R-MAN02")
    message = desk.deposit()
    assert end(message) == ("filed", None)
    assert DR_B not in desk.deliveries(message)


def test_case_21_secretary_files_for_the_coordinator(desk: Desk) -> None:
    """Case 21: a CPE secretary files an FRCP of her 3C's coordinator: filed; the trace tells both."""
    cda = desk.cda("secretary", author="coordinator")
    message = desk.deposit(cda, sender="secretary")
    assert end(message) == ("filed", None)
    (document,) = desk.documents()
    assert document.author_id == desk.cast.person("coordinator")["idnps"]
    with desk.services.database.read() as conn:
        from dcc.mailbox import people

        account = people.get_account(conn, document.depositor)
    assert account is not None
    assert account.role == "secretary"
    assert message.signer == account.id
    assert next(one["actor"] for one in desk.records() if one["message"] == message.id) == account.id


def test_case_22_secretary_prescribes(desk: Desk) -> None:
    """Case 22: a CPE secretary deposits a prescription as its author: refused D2R-TYP02."""
    cda = desk.cda("secretary", "57833-6")
    assert end(desk.deposit(cda, sender="secretary")) == ("refused", "D2R-TYP02")


def test_case_23_automaton_of_another_structure(desk: Desk) -> None:
    """Case 23: an automaton's structure is neither author's nor custodian: refused D2R-ACC03; its own is filed."""
    assert end(desk.deposit(desk.cda(DR_A, BIOLOGY), sender="automaton")) == ("refused", "D2R-ACC03")
    own = document(desk.cast, Draft("automaton", "main", BIOLOGY), desk.now, os.urandom)
    message = desk.deposit(own, sender="automaton")
    assert end(message) == ("filed", None)
    assert {part.media_type for part in desk.documents()[0].parts} >= {ZIP, PDF}
