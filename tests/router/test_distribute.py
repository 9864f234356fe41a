"""Who is told of a deposit (acceptance F, I4): one mail for each reader, or a reason why not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dcc.mailbox import documents as store
from dcc.mailbox import folders, people
from dcc.mailbox.records import AccountState, ConsentState, Delivery, DeliveryState, DocumentStatus
from dcc.mailbox.snapshot import Snapshot
from dcc.router.answer import plan_answer
from dcc.router.decision import Filed
from dcc.router.distribute import plan_deliveries, still_allowed
from dcc.router.reasons import reason
from dcc.router.request import Professional


@dataclass
class Judge:
    """A judge of stored certificates that a test can change."""

    verdicts: dict[bytes, str] = field(default_factory=dict)

    def __call__(self, certificate: bytes, purpose: str, mailbox: str | None = None) -> str:
        return self.verdicts.get(certificate, "VALID")


@pytest.fixture(scope="module")
def certificates() -> dict[str, bytes]:
    """Two certificates: one in time, one over."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])

    def made(start: datetime, end: datetime) -> bytes:
        from cryptography.hazmat.primitives.serialization import Encoding

        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
        builder = builder.public_key(key.public_key()).not_valid_before(start).not_valid_after(end)
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)

    begin = datetime(2024, 1, 1, tzinfo=UTC)
    return {
        "good": made(begin, datetime(2030, 1, 1, tzinfo=UTC)),
        "over": made(begin, datetime(2025, 1, 1, tzinfo=UTC)),
    }


def plan(kit: Any, decision: Any, judge: Judge, message: str = "m1") -> tuple[list[Delivery], Any]:
    assert isinstance(decision, Filed)
    documents = kit.settle(decision, message)
    with kit.database.read() as conn:
        owed = plan_deliveries(
            decision,
            documents,
            conn=conn,
            message_id=message,
            now=decision.folder.created_at,
            new_id=lambda: f"o{next(kit.numbers)}",
            judge=judge,
        )
    return owed, documents


def by_mailbox(owed: list[Delivery]) -> dict[str, tuple[str, str, str | None]]:
    assert len({one.dedupe_key for one in owed}) == len(owed)
    found = {one.mailbox: (one.kind, one.state.value, one.reason) for one in owed}
    assert len(found) == len(owed), "one mail for each reader and deposit"
    return found


def allowed(kit: Any, delivery: Delivery, judge: Judge, now: datetime) -> Any:
    with kit.database.read() as conn:
        return still_allowed(delivery, store=Snapshot(conn), now=now, judge=judge, rules=kit.rules)


def test_everyone_mandated_is_told_once(kit: Any, certificates: Any) -> None:
    """Certificate: the report; none: a notice; the depositor: the acknowledgement."""
    kit.write(lambda conn: people.set_encryption_certificate(conn, "a-drb", certificates["good"]))
    owed, documents = plan(kit, kit.decide(kit.deposit(kit.cda(), kit.cda())), Judge())
    assert by_mailbox(owed) == {
        "dra@rca.test": ("acknowledgement", "queued", None),
        "drb@rca.test": ("report", "queued", None),
        "nurse@rca.test": ("notice", "queued", "D2R-CRT01"),
        "secretary@rca.test": ("notice", "queued", "D2R-CRT01"),
        "lab@rca.test": ("notice", "queued", "D2R-CRT01"),
    }
    assert all(one.documents == tuple(d.id for d in documents) for one in owed)


def test_certificate_out_of_date_gets_a_notice(kit: Any, certificates: Any) -> None:
    """Nothing is encrypted to an expired, or refused, certificate."""
    kit.write(lambda conn: people.set_encryption_certificate(conn, "a-drb", certificates["over"]))
    owed, _ = plan(kit, kit.decide(kit.deposit()), Judge())
    assert by_mailbox(owed)["drb@rca.test"][0] == "notice"
    kit.write(lambda conn: people.set_encryption_certificate(conn, "a-drb", certificates["good"]))
    owed, _ = plan(kit, kit.decide(kit.deposit()), Judge({certificates["good"]: "OPPOSED"}), "m2")
    assert by_mailbox(owed)["drb@rca.test"][0] == "notice"
    kit.write(lambda conn: people.set_encryption_certificate(conn, "a-drb", b"not a certificate"))
    owed, _ = plan(kit, kit.decide(kit.deposit()), Judge(), "m3")
    assert by_mailbox(owed)["drb@rca.test"][0] == "notice"


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        ("OPPOSED", ("report", "withheld", "D2R-CRL02")),
        ("EXPIRED", ("notice", "queued", "D2R-CRL01")),
        ("VALID", ("report", "queued", None)),
        ("REVOCATION_UNKNOWN", ("report", "queued", None)),
    ],
)
def test_known_card_of_a_reader(kit: Any, certificates: Any, verdict: str, expected: Any) -> None:
    """Opposed: nothing, withheld with its reason; expired: the notice without content."""
    kit.write(lambda conn: people.set_encryption_certificate(conn, "a-drb", certificates["good"]))
    kit.write(lambda conn: people.set_card(conn, "a-drb", b"card"))
    owed, _ = plan(kit, kit.decide(kit.deposit()), Judge({b"card": verdict}))
    assert by_mailbox(owed)["drb@rca.test"] == expected


def test_masked_document_is_told_to_nobody_but_its_author(kit: Any, people_of: Any) -> None:
    """Acceptance 36: MASQUE_PS is filed; only its author hears of it."""
    decision = kit.decide(kit.deposit(masks=["MASQUE_PS"]))
    owed, _ = plan(kit, decision, Judge())
    assert list(by_mailbox(owed)) == ["dra@rca.test"]
    assert dict(owed[0].parameters)["masked"] == "all"  # the answer does not claim an announcement
    by_lab = kit.decide(kit.deposit(masks=["MASQUE_PS"]), of=people_of["lab"])
    owed, _ = plan(kit, by_lab, Judge(), "m2")
    assert set(by_mailbox(owed)) == {"lab@rca.test", "dra@rca.test"}


def test_profession_outside_the_matrix(kit: Any) -> None:
    """D2R-TYP03: the secretary gets no prescription; the trace says so; the others do."""
    owed, _ = plan(kit, kit.decide(kit.deposit(kit.cda(type_code="57833-6"))), Judge())
    assert by_mailbox(owed)["secretary@rca.test"] == ("notice", "withheld", "D2R-TYP03")
    assert by_mailbox(owed)["nurse@rca.test"][1] == "queued"


def test_mixed_deposit_is_cut_to_what_a_reader_may_see(kit: Any) -> None:
    """Of two documents, a reader is told of those their profession may read."""
    cda, prescription = kit.cda(), kit.cda(type_code="57833-6")
    owed, documents = plan(kit, kit.decide(kit.deposit(cda, prescription)), Judge())
    secretary = next(one for one in owed if one.mailbox == "secretary@rca.test")
    assert secretary.documents == (documents[0].id,)
    assert secretary.state is DeliveryState.QUEUED


def test_oppositions_and_lost_rights(kit: Any, constants: Any) -> None:
    """An opposed reader is withheld; one whose mandate ended, or whose account is suspended, is not told."""
    now = constants["now"]
    kit.write(lambda conn: folders.add_opposition(conn, folder="f0", account="a-nurse", type_code=None, at=now))
    kit.write(lambda conn: people.set_account_state(conn, "a-secretary", AccountState.SUSPENDED))
    kit.write(lambda conn: folders.revoke_mandate(conn, "m-f0-a-drb", at=now))
    owed, _ = plan(kit, kit.decide(kit.deposit()), Judge())
    found = by_mailbox(owed)
    assert found["nurse@rca.test"][1:] == ("withheld", "D2R-OPP01")
    assert found["secretary@rca.test"][1:] == ("withheld", "D2R-ACC04")
    assert "drb@rca.test" not in found
    assert "drc@rca.test" not in found


def test_duplicate_announces_nothing_again(kit: Any) -> None:
    """Déjà intégré: the acknowledgement only, with the first deposit's documents."""
    cda = kit.cda()
    _, first = plan(kit, kit.decide(kit.deposit(cda)), Judge())
    owed, _ = plan(kit, kit.decide(kit.deposit(cda)), Judge(), "m2")
    assert [(one.kind, one.reason, one.documents) for one in owed] == [("acknowledgement", "D2R-DUP00", (first[0].id,))]


def test_replacement_is_said(kit: Any) -> None:
    """The notice of a replacement says so."""
    plan(kit, kit.decide(kit.deposit(kit.cda(unique_id="2.25.5"))), Judge())
    second = kit.cda(unique_id="2.25.6", version=2, replaces="2.25.5")
    owed, _ = plan(kit, kit.decide(kit.deposit(second)), Judge(), "m2")
    assert all(dict(one.parameters).get("replaces") == "1" for one in owed if one.kind != "acknowledgement")


def test_recipient_without_mandate_is_reported_to_the_depositor(kit: Any) -> None:
    """A recipient named in the CDA without a mandate is not served; the depositor is told (facts §13)."""
    cda = kit.cda(recipients=(Professional("899700000033"), Professional("899700000025")))
    owed, _ = plan(kit, kit.decide(kit.deposit(cda)), Judge())
    assert dict(owed[0].parameters)["without_mandate"] == "1"


def test_rights_are_checked_again_at_sending(kit: Any, certificates: Any, constants: Any) -> None:
    """I4: consent, mandate, opposition, account, deletion and card count at the time of sending."""
    now = constants["now"]
    kit.write(lambda conn: people.set_encryption_certificate(conn, "a-drb", certificates["good"]))
    kit.write(lambda conn: people.set_card(conn, "a-drb", b"card"))
    owed, documents = plan(kit, kit.decide(kit.deposit()), Judge())
    report = next(one for one in owed if one.mailbox == "drb@rca.test")
    assert allowed(kit, report, Judge(), now) is None
    assert allowed(kit, owed[0], Judge({b"card": "OPPOSED"}), now) is None

    for verdict, code, outcome in (
        ("OPPOSED", "D2R-CRL02", "withheld"),
        ("EXPIRED", "D2R-CRL01", "notice"),
        ("REVOCATION_UNKNOWN", "D2R-CRL03", "deferred"),
    ):
        why = allowed(kit, report, Judge({b"card": verdict}), now)
        assert (why.code, why.outcome) == (code, outcome)
    assert allowed(kit, report, Judge(), datetime(2027, 2, 1, tzinfo=UTC)).code == "D2R-MAN02"
    kit.write(lambda conn: people.set_encryption_certificate(conn, "a-drb", None))
    assert allowed(kit, report, Judge(), now).outcome == "notice"
    kit.write(lambda conn: folders.record_consent(conn, "f0", state=ConsentState.WITHDRAWN, at=now))
    why = allowed(kit, report, Judge(), now)
    assert (why.code, why.outcome) == ("D2R-CNS02", "withheld")
    kit.write(lambda conn: folders.record_consent(conn, "f0", state=ConsentState.GIVEN, at=now))
    kit.write(lambda conn: store.mark(conn, documents[0].id, DocumentStatus.DELETED))
    assert allowed(kit, report, Judge(), now).code == "D2R-DEL01"


def test_receipt_parameters(kit: Any) -> None:
    """A receipt asked for, and safe, is sent with the acknowledgement."""
    headers = (("From", "dra@rca.test"), ("Message-ID", "<a@b>"), ("Disposition-Notification-To", "dra@rca.test"))
    mail = kit.mail(("IHE_XDM.zip", "application/zip", kit.xdm()), headers=headers)
    owed, _ = plan(kit, kit.decide(kit.read(mail, return_path="dra@rca.test")), Judge())
    assert dict(owed[0].parameters) == {"mdn": "processed", "original_message_id": "<a@b>"}


def test_answers(kit: Any, people_of: Any, constants: Any) -> None:
    """A known sender is told the reason; an unauthenticated one a neutral sentence once a day; a stranger nothing."""
    options: dict[str, Any] = {"message_id": "m", "now": constants["now"], "new_id": lambda: "x"}
    why = reason("D2R-MAN01")
    assert plan_answer(why, account=None, authenticated=False, **options) == []
    (told,) = plan_answer(why, account=people_of["drc"], authenticated=True, **options)
    assert (told.kind, told.reason, dict(told.parameters)["ans"]) == ("refusal", "D2R-MAN01", "906")
    (held,) = plan_answer(reason("902"), account=people_of["dra"], authenticated=True, **options)
    assert (held.kind, held.reason) == ("held", "902")
    (waiting,) = plan_answer(reason("D2R-CRL03"), account=people_of["dra"], authenticated=True, **options)
    assert waiting.kind == "held"
    assert waiting.dedupe_key != held.dedupe_key
    neutral = [
        plan_answer(reason(code), account=people_of["dra"], authenticated=False, **{**options, "message_id": code})
        for code in ("D2R-SIG02", "D2R-OPN01", "D2R-CRL02")
    ]
    assert len({replace(one, message=None) for (one,) in neutral}) == 1
    assert neutral[0][0].reason == "D2R-NTR00"
    assert plan_answer(reason("D2R-REP02"), account=people_of["dra"], authenticated=True, **options) == []


def test_no_identity_in_deliveries(kit: Any, certificates: Any) -> None:
    """Rows of the outbox hold neither identity nor content."""
    owed, _ = plan(kit, kit.decide(kit.deposit()), Judge())
    text = repr(owed)
    assert not any(word in text for word in ("PAT-TROIS", "DOMINIQUE", "279035121518989", "1979", "Fiche"))
    assert hashlib.sha256(text.encode()).hexdigest()
    assert timedelta(0) == owed[0].due - owed[0].created_at
