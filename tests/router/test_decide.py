"""Decisions on deposits (acceptance B, C, E): filed, held or refused, each with its reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dcc.mailbox import documents as store
from dcc.mailbox import folders, people
from dcc.mailbox.records import AccountState, ConsentState, DocumentStatus, Folder
from dcc.mailbox.references import new_reference
from dcc.router.decision import Decision, Done, Filed, Held, Refused
from dcc.router.request import Professional, Report


def outcome(decision: Decision) -> tuple[str, str | None]:
    reason = decision.reason
    return type(decision).__name__, None if reason is None else reason.code


def test_filed(kit: Any) -> None:
    """Acceptance 1: everything in order, the deposit is filed, and says what each check rested on."""
    decision = kit.decide(kit.deposit())
    assert isinstance(decision, Filed)
    assert decision.folder.id == "f0"
    assert decision.new[0].deposited.format_code == "urn:asip:ci-sis:frcp:2011"
    assert dict(decision.evidence)["mandate"].startswith("m-f0-a-dra creator")
    (document,) = kit.settle(decision)
    assert (document.class_code, document.author_id) == ("10", "899700000017")
    assert [part.role for part in document.parts] == ["document", "archive"]


@pytest.mark.parametrize("to", [["passerelle@gateway.test"], ["dcc@rca.test"], ["dossier+aaaa@rca.test"]])
def test_identity_finds_the_folder(kit: Any, to: list[str]) -> None:
    """The gateway's or the network's own address is matched by the identity alone."""
    assert isinstance(kit.decide(kit.deposit(), to=to), Filed)


def test_reference_in_the_subject(kit: Any) -> None:
    """The folder's reference in the subject must agree with the identity."""
    with kit.database.read() as conn:
        right, wrong = sorted(folders.list_folders(conn), key=lambda one: one.id)
    for named, expected in ((right, "Filed"), (wrong, "Held")):
        mail = kit.mail(
            ("IHE_XDM.zip", "application/zip", kit.xdm()), headers=(("Subject", f"Re: [{named.reference}]"),)
        )
        decision = kit.decide(kit.read(mail), to=["passerelle@gateway.test"])
        assert type(decision).__name__ == expected


def test_two_references_in_the_subject_are_held(kit: Any) -> None:
    """Two folders in one subject are for a person, whichever comes first; one reference twice names one folder."""
    with kit.database.read() as conn:
        right, wrong = (folders.folder(conn, name).reference for name in ("f0", "f1"))
    for subject, expected in (
        (f"{right} {wrong}", ("Held", "D2R-REF01")),
        (f"{wrong} {right}", ("Held", "D2R-REF01")),
        (f"Re: [{right}] [{right}]", ("Filed", None)),
    ):
        mail = kit.mail(("IHE_XDM.zip", "application/zip", kit.xdm()), headers=(("Subject", subject),))
        assert outcome(kit.decide(kit.read(mail), to=["passerelle@gateway.test"])) == expected


def test_reference_that_names_no_folder(kit: Any) -> None:
    """Decision 0014: an unknown reference is held beside the folder of the identity; a mistyped one is told of."""
    with kit.database.read() as conn:
        right = folders.folder(conn, "f0").reference
    unknown = new_reference(lambda size: bytes(range(size)))
    mistyped = right[:-1] + ("2" if right[-1] != "2" else "3")
    gateway, address = "passerelle@gateway.test", kit.folder_address
    for subject, to, expected, told in (
        (f"Re: [{unknown}]", gateway, ("Held", "D2R-REF02"), None),
        (unknown.lower(), gateway, ("Held", "D2R-REF02"), None),
        (f"Re: [{mistyped}]", gateway, ("Filed", None), "mistyped"),
        (f"{mistyped} {unknown}", gateway, ("Held", "D2R-REF02"), None),
        ("Re: [D-0000-000I]", gateway, ("Filed", None), "mistyped"),
        ("Dossier D-2024-0012", gateway, ("Filed", None), None),
        (f"[{right}] et [{mistyped}]", gateway, ("Filed", None), "mistyped"),
        (f"Re: [{unknown}]", address, ("Filed", None), "unknown"),
        (f"Re: [{right}]", gateway, ("Filed", None), None),
    ):
        mail = kit.mail(("IHE_XDM.zip", "application/zip", kit.xdm()), headers=(("Subject", subject),))
        decision = kit.decide(kit.read(mail), to=[to])
        assert outcome(decision) == expected, subject
        if isinstance(decision, Held):
            assert decision.candidate == "f0"
        else:
            assert decision.misnamed == told, subject


def test_folder_of_another_patient_is_held(kit: Any) -> None:
    """The folder named and the identity disagree: held 904, neither folder touched."""
    decision = kit.decide(kit.deposit(), to=["dossier+bbbb@rca.test"])
    assert isinstance(decision, Held)
    assert (decision.reason.code, decision.reason.parameter("detail")) == ("904", "folder")


def test_two_folders_named_are_held(kit: Any) -> None:
    """A mail to two folders is for a person."""
    decision = kit.decide(kit.deposit(), to=["dossier+aaaa@rca.test", "dossier+bbbb@rca.test"])
    assert outcome(decision) == ("Held", "D2R-REF01")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"with_ins": False}, "903"),
        ({"birth_place": ""}, "905"),
        ({"ins": "199012B99900163"}, "902"),
        ({"birth_name": "AUTRE"}, "904"),
    ],
)
def test_identity_that_does_not_match_is_held(kit: Any, constants: Any, change: dict[str, Any], code: str) -> None:
    """Acceptance 13, 14, 15: held with the ANS code, no folder created."""
    patient = replace(constants["p0"], **{k: v for k, v in change.items() if k != "with_ins"})
    cda = kit.cda(patient=patient, with_ins=change.get("with_ins", True))
    for to in (["passerelle@gateway.test"], [kit.folder_address]):
        assert outcome(kit.decide(kit.deposit(cda, patient=patient), to=to)) == ("Held", code)
    with kit.database.read() as conn:
        assert len(folders.list_folders(conn)) == 2


def test_domains_are_never_mixed(kit: Any) -> None:
    """Acceptance 16: a test matricule on a production platform is refused 904."""
    assert outcome(kit.decide(kit.deposit(), environment="production")) == ("Refused", "904")


def test_patient_of_another_network_is_unknown(kit: Any, people_of: Any) -> None:
    """A folder in a network where the sender has no account is not found, and its address is refused."""
    stranger = replace(people_of["dra"], id="a-x", network="rcb", mailbox="x@rcb.test")
    kit.write(lambda conn: people.add_account(conn, stranger))
    assert outcome(kit.decide(kit.deposit(), of=stranger, to=["passerelle@gateway.test"])) == ("Held", "902")
    assert outcome(kit.decide(kit.deposit(), of=stranger)) == ("Refused", "D2R-ACC01")


@pytest.mark.parametrize(("state", "code"), [(ConsentState.NONE, "D2R-CNS01"), (ConsentState.WITHDRAWN, "D2R-CNS02")])
def test_consent(kit: Any, constants: Any, state: ConsentState, code: str) -> None:
    """Acceptance 17, 18: without consent nothing is filed."""
    kit.write(lambda conn: folders.record_consent(conn, "f0", state=state, at=constants["now"]))
    assert outcome(kit.decide(kit.deposit())) == ("Refused", code)


def test_mandate(kit: Any, people_of: Any, constants: Any) -> None:
    """Acceptance 19, 20: no mandate, ended, not yet begun, revoked."""
    request = kit.deposit()
    assert outcome(kit.decide(request, of=people_of["drc"])) == ("Refused", "D2R-MAN01")
    assert isinstance(kit.decide(request, of=people_of["drb"]), Filed)
    late = datetime(2027, 1, 2, tzinfo=UTC)
    assert outcome(kit.decide(request, of=people_of["drb"], now=late)) == ("Refused", "D2R-MAN02")
    early = constants["now"] - timedelta(days=60)
    assert outcome(kit.decide(request, of=people_of["drb"], now=early)) == ("Refused", "D2R-MAN03")
    kit.write(lambda conn: folders.revoke_mandate(conn, "m-f0-a-drb", at=constants["now"]))
    assert outcome(kit.decide(request, of=people_of["drb"])) == ("Refused", "D2R-MAN02")


def test_opposition_beats_a_mandate(kit: Any, people_of: Any, constants: Any) -> None:
    """An opposition to a person, or to a type, refuses although the mandate is in force."""
    request = kit.deposit()

    def oppose(account: str | None, type_code: str | None) -> Any:
        return lambda conn: folders.add_opposition(
            conn, folder="f0", account=account, type_code=type_code, at=constants["now"]
        )

    kit.write(oppose("a-drb", None))
    assert outcome(kit.decide(request, of=people_of["drb"])) == ("Refused", "D2R-OPP01")
    assert isinstance(kit.decide(request), Filed)
    kit.write(oppose(None, "34794-8"))
    assert outcome(kit.decide(request)) == ("Refused", "D2R-OPP02")
    assert isinstance(kit.decide(kit.deposit(kit.cda(type_code="11488-4"))), Filed)


def test_secretary_files_for_the_coordinator(kit: Any, people_of: Any, constants: Any) -> None:
    """Acceptance 21: a CPE secretary files an FRCP of a coordinator of the same structure."""
    decision = kit.decide(kit.deposit(), of=people_of["secretary"])
    assert isinstance(decision, Filed)
    assert dict(decision.evidence)["author"] == "structure"
    elsewhere = Professional("899700000099", "G15_10", constants["other"], "X", "Y", "Z")
    other = kit.draft().custodian.__class__(constants["other"], "X")
    cda = kit.cda(author=elsewhere, custodian=other)
    assert outcome(kit.decide(kit.deposit(cda), of=people_of["secretary"])) == ("Refused", "D2R-ACC03")


def test_secretary_as_author(kit: Any, people_of: Any, constants: Any) -> None:
    """Acceptance 22: a CPE secretary is nobody's author, least of all of a prescription."""
    self_made = Professional("3490000049/CPET0002", None, constants["hospital"], "CH", "S", "T")
    for code in ("57833-6", "34794-8"):
        cda = kit.cda(author=self_made, type_code=code)
        assert outcome(kit.decide(kit.deposit(cda), of=people_of["secretary"])) == ("Refused", "D2R-TYP02")


def test_secretary_linked_by_a_colleague_account(kit: Any, people_of: Any, constants: Any) -> None:
    """The link may rest on the coordinator's validated account in the same structure."""
    author = Professional("899700000017", "G15_10", None, None, "DRA", "T")
    other = kit.draft().custodian.__class__(constants["other"], "X")
    decision = kit.decide(kit.deposit(kit.cda(author=author, custodian=other)), of=people_of["secretary"])
    assert isinstance(decision, Filed)


def test_automaton(kit: Any, people_of: Any, constants: Any) -> None:
    """Acceptance 23: an automaton files for its own structure, as author's or custodian; else D2R-ACC03."""
    lab = people_of["lab"]
    assert isinstance(kit.decide(kit.deposit(), of=lab), Filed)
    structure = kit.draft().custodian.__class__
    doctor = Professional("899700000099", "G15_10", constants["other"], "X", "Y", "Z")
    kept_here = kit.cda(author=doctor)
    assert isinstance(kit.decide(kit.deposit(kept_here), of=lab), Filed)
    elsewhere = kit.cda(author=doctor, custodian=structure(constants["other"], "X"))
    assert outcome(kit.decide(kit.deposit(elsewhere), of=lab)) == ("Refused", "D2R-ACC03")


def test_nurse_may_not_prescribe(kit: Any, people_of: Any) -> None:
    """The matrix of professions refuses D2R-TYP02, naming the type."""
    decision = kit.decide(kit.deposit(kit.cda(type_code="57833-6")), of=people_of["nurse"])
    assert isinstance(decision, Refused)
    assert (decision.reason.code, decision.reason.parameter("type")) == ("D2R-TYP02", "57833-6")


def test_account_not_validated(kit: Any, people_of: Any) -> None:
    """A suspended account files nothing."""
    suspended = replace(people_of["dra"], state=AccountState.SUSPENDED)
    assert outcome(kit.decide(kit.deposit(), of=suspended)) == ("Refused", "D2R-ACC01")


def test_same_document_again(kit: Any) -> None:
    """Acceptance 31: the same document wrapped anew is filed with the first deposit's documents."""
    cda = kit.cda()
    (first,) = kit.settle(kit.decide(kit.deposit(cda)))
    again = kit.decide(kit.deposit(cda))
    assert isinstance(again, Filed)
    assert again.new == ()
    assert [one.id for one in again.known] == [first.id]
    assert again.reason is not None
    assert again.reason.code == "D2R-DUP00"
    assert kit.settle(again) == ()


def test_new_and_known_together(kit: Any) -> None:
    """A known document beside a new one: only the new one is written."""
    cda = kit.cda()
    kit.settle(kit.decide(kit.deposit(cda)))
    both = kit.decide(kit.deposit(cda, kit.cda()))
    assert isinstance(both, Filed)
    assert (len(both.new), len(both.known), both.reason) == (1, 1, None)


def test_same_id_other_bytes(kit: Any) -> None:
    """Acceptance 32: the same id with other bytes is refused D2R-DUP01, and nothing of the mail is filed."""
    kit.settle(kit.decide(kit.deposit(kit.cda(unique_id="2.25.5"))))
    changed = kit.cda(unique_id="2.25.5", title="Autre")
    assert outcome(kit.decide(kit.deposit(changed, kit.cda()))) == ("Refused", "D2R-DUP01")


def test_replacement(kit: Any) -> None:
    """Acceptance 33: a replacement supersedes; the older version stays readable."""
    (first,) = kit.settle(kit.decide(kit.deposit(kit.cda(unique_id="2.25.5"))))
    second = kit.cda(unique_id="2.25.6", version=2, replaces="2.25.5")
    decision = kit.decide(kit.deposit(second))
    assert isinstance(decision, Filed)
    (new,) = kit.settle(decision)
    assert new.supersedes == first.id
    with kit.database.read() as conn:
        found = {one.id: one.status for one in store.documents(conn, "f0")}
    assert found == {first.id: DocumentStatus.SUPERSEDED, new.id: DocumentStatus.CURRENT}
    assert isinstance(kit.decide(kit.deposit(second)), Filed)


@pytest.mark.parametrize(("version", "replaces"), [(2, "2.25.404"), (1, "2.25.5"), (2, "2.25.5^x")])
def test_wrong_version(kit: Any, version: int, replaces: str) -> None:
    """An unknown replaced id, or a version that does not grow, is refused 900."""
    kit.settle(kit.decide(kit.deposit(kit.cda(unique_id="2.25.5"))))
    cda = kit.cda(unique_id="2.25.6", version=version, replaces=replaces)
    assert outcome(kit.decide(kit.deposit(cda))) == ("Refused", "900")


def test_superseded_version_is_not_replaced_again(kit: Any) -> None:
    """Only the current version can be replaced: 900."""
    kit.settle(kit.decide(kit.deposit(kit.cda(unique_id="2.25.5"))))
    kit.settle(kit.decide(kit.deposit(kit.cda(unique_id="2.25.6", version=2, replaces="2.25.5"))))
    late = kit.cda(unique_id="2.25.7", version=3, replaces="2.25.5")
    assert outcome(kit.decide(kit.deposit(late))) == ("Refused", "900")


def test_replacement_by_somebody_else(kit: Any, people_of: Any, constants: Any) -> None:
    """Acceptance 34: another structure, or a signer who only claims to be the author, is refused 901."""
    kit.settle(kit.decide(kit.deposit(kit.cda(unique_id="2.25.5"))))
    theirs = Professional("899700000025", "G15_10", constants["other"], "X", "DRB", "T")
    for author in (theirs, constants["author"]):
        cda = kit.cda(unique_id="2.25.6", version=2, replaces="2.25.5", author=author)
        assert outcome(kit.decide(kit.deposit(cda), of=people_of["drb"])) == ("Refused", "901")


def test_requests_that_are_not_deposits(kit: Any) -> None:
    """A mail without document is held, an Apicrypt one refused, a sealed receipt done."""
    assert outcome(kit.decide(kit.read(kit.mail()))) == ("Held", "D2R-REQ01")
    apz = kit.read(kit.mail(("a.apz", "application/octet-stream", b"x")))
    assert outcome(kit.decide(apz)) == ("Refused", "D2R-APZ01")
    done = kit.decide(Report("mdn", ("<x@y>",), None, "displayed"))
    assert isinstance(done, Done)
    assert done.authenticated


def test_patient_with_two_folders_in_two_networks(kit: Any, people_of: Any, constants: Any) -> None:
    """A sender in both networks must name the folder: by identity alone it is held."""
    other = Folder("f9", "D-2222-2222", "dossier+cccc@rcb.test", "rcb", "p0", constants["now"], ConsentState.GIVEN)
    twin = replace(people_of["dra"], id="a-twin", network="rcb")
    kit.write(lambda conn: folders.add_folder(conn, other))
    sender = replace(kit.sender(), accounts=(people_of["dra"], twin))
    kit.sender = lambda _=None: sender
    assert outcome(kit.decide(kit.deposit(), to=["passerelle@gateway.test"])) == ("Held", "D2R-REF01")
    assert isinstance(kit.decide(kit.deposit(), to=["dcc@rca.test"]), Filed)
