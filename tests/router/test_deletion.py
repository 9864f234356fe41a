"""Deletion by HL7 (acceptance 35): the author's is done, anybody else's is 901; nothing else is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dcc.mailbox import documents as store
from dcc.mailbox import folders
from dcc.mailbox.records import ConsentState, DocumentStatus
from dcc.router.answer import plan_answer
from dcc.router.decision import Done, Filed
from hl7make import Hl7

DELETE = Hl7([], kind="MDM^T04^MDM_T02", order=None, status="D", parent_id="2.25.5")


def read(kit: Any, made: Hl7) -> Any:
    return kit.read(kit.mail(("m.hl7", "application/hl7-v2", made.data())))


def code_of(decision: Any) -> tuple[str, str]:
    return type(decision).__name__, decision.reason.code


@pytest.fixture
def filed(kit: Any) -> Any:
    """A document 2.25.5 of DrA in P0's folder."""
    (document,) = kit.settle(kit.decide(kit.deposit(kit.cda(unique_id="2.25.5"))))
    return document


@pytest.mark.parametrize(
    "made",
    [
        DELETE,
        replace(DELETE, kind="MDM^T11^MDM_T02"),
        replace(DELETE, kind="MDM^T02^MDM_T02", order="CA"),
        replace(DELETE, documents=[("34794-8", "XML", b"texte")]),
        replace(DELETE, kind="MDM^T04^MDM_T02", parent_id="", own_id="2.25.5"),
    ],
)
def test_by_the_author(kit: Any, filed: Any, made: Hl7) -> None:
    """T04, T11 or ORC CA, the id in TXA-13 (or TXA-12): done, with the document to mark."""
    decision = kit.decide(read(kit, made))
    assert isinstance(decision, Done)
    assert (decision.reason.code, decision.deleted.id) == ("D2R-DEL00", filed.id)


def test_by_the_cda_inside(kit: Any) -> None:
    """An ORU has no TXA: the CDA inside names itself, or what it replaces."""
    cda = kit.cda(unique_id="2.25.5")
    kit.settle(kit.decide(kit.deposit(cda)))
    for inside in (cda, kit.cda(unique_id="2.25.6", version=2, replaces="2.25.5")):
        made = Hl7([("34794-8", "XML", inside)], kind="ORU^R01^ORU_R01", order="CA", status="D")
        assert code_of(kit.decide(read(kit, made))) == ("Done", "D2R-DEL00")


def test_by_somebody_else(kit: Any, filed: Any, people_of: Any) -> None:
    """Acceptance 35: 901 for another structure, although it is mandated; the author's structure may."""
    assert code_of(kit.decide(read(kit, DELETE), of=people_of["drb"])) == ("Refused", "901")
    assert code_of(kit.decide(read(kit, DELETE), of=people_of["lab"])) == ("Done", "D2R-DEL00")


def test_unknown_or_superseded(kit: Any, filed: Any) -> None:
    """900: an id that the folder does not hold, or a version that is not current."""
    assert code_of(kit.decide(read(kit, replace(DELETE, parent_id="2.25.404")))) == ("Refused", "900")
    kit.settle(kit.decide(kit.deposit(kit.cda(unique_id="2.25.6", version=2, replaces="2.25.5"))))
    assert code_of(kit.decide(read(kit, DELETE))) == ("Refused", "900")
    assert code_of(kit.decide(read(kit, replace(DELETE, parent_id="2.25.6")))) == ("Done", "D2R-DEL00")


def test_identity_must_agree(kit: Any, filed: Any) -> None:
    """Another trait holds it, another domain or a wrong key refuses it, no INS holds it 903, a stranger 902."""
    for change, expected in (
        ({"birth": "20050101", "sex": "M"}, ("Held", "904")),
        ({"ins": "279035121518989^^^X&1.2.250.1.213.1.4.8&ISO^INS"}, ("Refused", "904")),
        ({"ins": "279035121518988^^^X&1.2.250.1.213.1.4.10&ISO^INS"}, ("Refused", "904")),
        ({"ins": ""}, ("Held", "903")),
        ({"ins": "199012B99900163^^^X&1.2.250.1.213.1.4.10&ISO^INS"}, ("Held", "902")),
    ):
        assert code_of(kit.decide(read(kit, replace(DELETE, **change)))) == expected
    assert code_of(kit.decide(read(kit, DELETE), to=["dossier+bbbb@rca.test"])) == ("Held", "904")


def test_after_withdrawal(kit: Any, filed: Any, constants: Any) -> None:
    """Taking back what one has written needs neither consent nor mandate."""
    kit.write(lambda conn: folders.record_consent(conn, "f0", state=ConsentState.WITHDRAWN, at=constants["now"]))
    assert code_of(kit.decide(read(kit, DELETE))) == ("Done", "D2R-DEL00")


def test_deleted_document_comes_again(kit: Any, filed: Any) -> None:
    """The same deletion again is done again; the same document again is refused, not resurrected."""
    kit.write(lambda conn: store.mark(conn, filed.id, DocumentStatus.DELETED))
    assert code_of(kit.decide(read(kit, DELETE))) == ("Done", "D2R-DEL00")
    cda = kit.cda(unique_id="2.25.5")
    decision = kit.decide(kit.deposit(cda))
    assert not isinstance(decision, Filed)
    assert decision.reason.code in {"D2R-DEL02", "D2R-DUP01"}


def test_answer_to_the_author(kit: Any, filed: Any, constants: Any) -> None:
    """The author is told, with the acknowledgement of the application."""
    request = read(kit, DELETE)
    decision = kit.decide(request)
    (mail,) = plan_answer(
        decision.reason, account=decision.account, authenticated=True, message_id="m", now=constants["now"],
        new_id=lambda: "x", folder="f0", envelope=request.envelope, documents=(filed.id,),
    )  # fmt: skip
    assert (mail.kind, mail.reason, mail.documents) == ("acknowledgement", "D2R-DEL00", (filed.id,))
    assert dict(mail.parameters)["hl7"].startswith("MSG015|T04|2.6|")
