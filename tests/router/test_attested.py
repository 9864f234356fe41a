"""An attestation of consent opens the folder of a patient who has none; whatever is doubtful waits for a person, as before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from dcc.mailbox import consentforms, documentrules, folders, people
from dcc.mailbox.changewriting import apply
from dcc.mailbox.records import ConsentForm, ConsentState, DocumentRules, Patient
from dcc.router.attested import ATTESTATION, Opener
from dcc.router.decide import decide
from dcc.router.decision import Filed, Held, Refused
from dcc.router.distribute import plan_deliveries
from dcc.router.folderopening import Opening, plan_opening
from dcc.router.request import PatientIdentity

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NETWORK = "dcc@rca.test"
NEW = Patient(
    "p9", "297022A02077878", "1.2.250.1.213.1.4.10", "PAT-NEUF", ("JEANNE", "ROSE"), "F", date(1997, 2, 14), "2A020", "QUAL"
)  # fmt: skip
BARRED = "group,label,feed,read\n10,médecins,* -59284-0,*\nother,autres,*,*\n"


def random_bytes(size: int) -> bytes:
    return bytes(range(1, size + 1))


def asked(kit: Any, request: Any, sender: Any, to: str = NETWORK, opener: bool = True) -> Any:
    with kit.database.read() as conn:
        return decide(
            request, sender, conn=conn, envelope_recipients=[to], now=NOW, environment="test", rules=kit.rules,
            opener=Opener("m-opening", random_bytes) if opener else None,
        )  # fmt: skip


def attestation(kit: Any, patient: Patient = NEW, **changes: Any) -> Any:
    return kit.deposit(kit.cda(type_code=ATTESTATION, patient=patient, **changes), patient=patient)


def test_it_opens_the_folder_and_is_filed_in_it(kit: Any, people_of: Any) -> None:
    """Consent with its proof, a mandate of the creator, a qualified identity, and the document itself, in one decision."""
    filed = asked(kit, attestation(kit), kit.sender(people_of["dra"]))
    assert isinstance(filed, Filed)
    opening = filed.opening
    assert opening is not None
    assert opening.patient is not None
    assert (opening.form_version, opening.collected_by, opening.proof) == (ATTESTATION, "a-dra", "m-opening")
    assert (opening.mandate.account, opening.mandate.origin.value) == ("a-dra", "creator")
    assert replace(opening.patient, id="p9") == NEW
    assert filed.folder.consent is ConsentState.GIVEN
    said = dict(filed.evidence)
    assert (said["folder"], said["identity"], said["rules"]) == ("attestation", "attested, QUAL", "gateway")
    assert {"consent", "mandate", "author"} <= set(said)
    with kit.database.read() as conn:
        owed = plan_deliveries(
            filed, (), conn=conn, message_id="m", now=NOW, new_id=lambda: "o", judge=lambda *_: "VALID"
        )  # fmt: skip
    assert [(one.kind, dict(one.parameters)["opened"]) for one in owed] == [("acknowledgement", "1")]
    kit.write(lambda conn: apply(conn, opening, NOW))
    kit.settle(filed)
    again = asked(kit, kit.deposit(kit.cda(patient=NEW), patient=NEW), kit.sender(people_of["dra"]))
    assert isinstance(again, Filed)
    assert (again.opening, again.folder.id) == (None, opening.folder.id)
    other = asked(kit, attestation(kit), kit.sender(people_of["drc"]))
    assert isinstance(other, Refused)
    assert other.reason.code == "D2R-MAN01", "no second folder, and no mandate by the back door"


def test_everything_else_waits_as_before(kit: Any, people_of: Any) -> None:
    """Another type, two documents, a folder named, a reference of nobody, differing traits, no opener: held 902 or as before."""
    sender, one = kit.sender(people_of["dra"]), attestation(kit)
    report = kit.deposit(kit.cda(patient=NEW), patient=NEW)
    two = kit.deposit(kit.cda(type_code=ATTESTATION, patient=NEW), kit.cda(patient=NEW), patient=NEW)
    subject = replace(one.envelope, subject="[D-2222-2222]")
    for request, to, opener, code in (
        (report, NETWORK, True, "902"), (two, NETWORK, True, "902"), (one, NETWORK, False, "902"),
        (one, kit.folder_address, True, "902"), (replace(one, differs=("sex",)), NETWORK, True, "902"),
        (replace(one, envelope=subject), NETWORK, True, "902"),
    ):  # fmt: skip
        found = asked(kit, request, sender, to, opener)
        assert isinstance(found, Held)
        assert found.reason.code == code


def test_the_network_must_be_clear(kit: Any, people_of: Any) -> None:
    """Somebody of two networks who names none opens nothing; the network's address says which."""
    dra = people_of["dra"]
    twin = replace(dra, id="b-dra", network="rcb", mailbox="dra@rcb.test")
    kit.write(lambda conn: people.add_account(conn, twin))
    both = replace(kit.sender(dra), accounts=(dra, twin))
    assert isinstance(asked(kit, attestation(kit), both, kit.gateway_address), Held)
    filed = asked(kit, attestation(kit), both, "dcc@rcb.test")
    assert isinstance(filed, Filed)
    assert (filed.folder.network, filed.depositor.id) == ("rcb", "b-dra")


def test_who_may_open(kit: Any, people_of: Any) -> None:
    """The type must be allowed to the profession, by the network's rules; staff needs an author; an automaton opens nothing."""
    nurse = asked(kit, attestation(kit), kit.sender(people_of["nurse"]))
    assert isinstance(nurse, Refused)
    assert nurse.reason.code == "D2R-TYP02"
    assert isinstance(asked(kit, attestation(kit), kit.sender(people_of["secretary"])), Filed)  # of DrA, her colleague
    assert isinstance(asked(kit, attestation(kit), kit.sender(people_of["lab"])), Held)
    rules = DocumentRules("rca", documentrules.digest(BARRED), BARRED, NOW, "A. Martin")
    kit.write(lambda conn: documentrules.choose(conn, rules, before=None))
    barred = asked(kit, attestation(kit), kit.sender(people_of["dra"]))
    assert isinstance(barred, Refused)
    assert (barred.reason.code, barred.reason.parameter("network")) == ("D2R-TYP02", "RCA")


def test_a_patient_who_is_known(kit: Any, people_of: Any) -> None:
    """Known elsewhere with the same traits: the same identity; with others: for a person, and nothing is told of it."""
    kit.write(lambda conn: folders.add_patient(conn, NEW))
    filed = asked(kit, attestation(kit), kit.sender(people_of["dra"]))
    assert isinstance(filed, Filed)
    assert filed.opening is not None
    assert (filed.opening.patient, filed.patient.id) == (None, "p9")
    other = asked(kit, attestation(kit, replace(NEW, birth_name="PAT-DIX")), kit.sender(people_of["dra"]))
    assert isinstance(other, Held)
    assert other.reason.code == "D2R-FLD02"


def test_the_code_of_an_attestation_is_no_form(kit: Any, people_of: Any) -> None:
    """Who writes 59284-0 where the form's version belongs has named no published form."""
    kit.write(lambda conn: consentforms.add(conn, ConsentForm("rca", "2026-1", "fr", "t", "t", NOW)))
    identity = PatientIdentity(
        ins=NEW.ins, oid=NEW.oid, birth_name=NEW.birth_name, first_given="JEANNE", given_names=NEW.given_names, sex="F",
        birth_date="19970214", birth_place="2A020",
    )  # fmt: skip
    with kit.database.read() as conn:
        network = people.get_network(conn, "rca")
        assert network is not None

        def planned(form: str) -> Any:
            return plan_opening(
                Opening(identity, True, form), people_of["dra"], network, conn=conn, environment="test", now=NOW,
                random_bytes=random_bytes,
            )  # fmt: skip

        assert planned(ATTESTATION).code == "D2R-CNS03"
        assert planned("").code == "D2R-CNS03"
        assert planned("2026-1").form_version == "2026-1"
