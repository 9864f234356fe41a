"""Acceptance A, cases 1 to 10: cryptography, card, account; through the whole pipeline."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from dcc.gateway.cast_people import PEOPLE
from dcc.gateway.clients import ClientIdentity
from dcc.gateway.demo_deposits import Draft, tampered
from dcc.gateway.services import load_crls
from dcc.mailbox import people
from dcc.mailbox.records import AccountState
from demoinstance import DemoInstance
from desk import DR_A, DR_B, Desk, end


def test_case_01_report_is_filed_and_announced(desk: Desk, shared: Path) -> None:
    """Case 1: the FRCP sample by DrA is filed once as 34794-8, class 10, its format; DrA and DrB told; MDN processed."""
    cda = (shared / "samples/cda/CANCER-FRCP_2022.01_Transversale.xml").read_bytes()
    message = desk.deposit(cda, receipt=True)
    assert end(message) == ("filed", None)
    (document,) = desk.documents()
    assert (document.type_code, document.class_code) == ("34794-8", "10")
    assert document.format_code == "urn:asip:ci-sis:frcp:2011"
    assert (desk.told(message), desk.told(message, DR_B)) == (("acknowledgement", None), ("report", None))
    _, inner = desk.mail_to(DR_A, message)
    assert inner.get_content_type() == "multipart/report"
    assert b"Disposition: automatic-action/MDN-sent-automatically; processed\n" in inner.as_bytes().replace(b"\r", b"")


def test_case_02_not_encrypted(desk: Desk) -> None:
    """Case 2: refused D2R-ENC01; nothing stays in clear; the answer names nobody."""
    message = desk.deposit(encrypted=False)
    assert end(message) == ("refused", "D2R-ENC01")
    assert desk.documents() == []
    spool = desk.cast.directory / "var/spool"
    assert [one for one in spool.rglob("*") if one.is_file()] == []
    outer, _ = desk.mail_to(DR_A, message)
    assert "PAT-TROIS" not in str(outer)


def test_case_03_not_signed(desk: Desk) -> None:
    """Case 3: encrypted, not signed: refused D2R-SIG01."""
    assert end(desk.deposit(signed=False)) == ("refused", "D2R-SIG01")


def test_case_04_altered(desk: Desk) -> None:
    """Case 4: one byte of the signed part altered: refused D2R-SIG02."""
    raw = tampered(desk.cast, Draft(DR_A, "main"), desk.now)
    message = desk.receive(raw, mail_from=desk.cast.person(DR_A)["mailbox"])
    assert end(message) == ("refused", "D2R-SIG02")


def test_case_05_expired(desk: Desk) -> None:
    """Case 5: the card had expired at signing: refused D2R-CRL01, carte périmée."""
    message = desk.deposit(sender="expired_card", to=desk.address("cards"))
    assert end(message) == ("refused", "D2R-CRL01")
    assert desk.told(message, "expired_card") == ("refusal", "D2R-CRL01")


def test_case_06_opposed(desk: Desk) -> None:
    """Case 6: the serial is on the list: refused D2R-CRL02, carte opposée."""
    message = desk.deposit(sender="opposed_card", to=desk.address("cards"))
    assert end(message) == ("refused", "D2R-CRL02")


def test_case_07_revocation_list_at_hand_or_stale(desk: Desk, demo: DemoInstance) -> None:
    """Case 7: (a) a list still before nextUpdate: filed, its number and age in the trace; (b) past it: held, retried."""
    message = desk.deposit()
    assert end(message) == ("filed", None)
    checks = json.loads(message.evidence)["card"]["checks"]
    (listed,) = [one for one in checks if one["check"] == "revocation"]
    assert listed["crl_number"] == "1"
    assert {"crl_this_update", "crl_age_hours"} <= set(listed)
    desk.later(days=45)
    stale = desk.deposit()
    assert end(stale) == ("held", "D2R-CRL03")
    assert stale.due > desk.now
    assert len(desk.documents()) == 1
    folder = desk.cast.directory / "demo/crls"
    desk.later(hours=1)
    for place, data in enumerate(demo.lists(age=-timedelta(days=45), life=timedelta(days=30), number=9)):
        (folder / f"fraiche-{place}.crl").write_bytes(data)
    load_crls(desk.services.settings, desk.services.judge.crls)
    from dcc.gateway.held import recheck_due

    assert recheck_due(desk.services, desk.now + timedelta(hours=1)) == 1
    desk.later(hours=2)
    desk.pipeline.run_once()
    assert end(desk.message(stale.id)) == ("filed", None)


def _self_signed(desk: Desk) -> ClientIdentity:
    card = desk.cast.identity(DR_A)
    own = x509.load_der_x509_certificate(card.certificate)
    key: Any = card.key
    builder = x509.CertificateBuilder().subject_name(own.subject).issuer_name(own.subject)
    builder = builder.public_key(key.public_key()).serial_number(own.serial_number)
    builder = builder.not_valid_before(own.not_valid_before_utc).not_valid_after(own.not_valid_after_utc)
    for one in own.extensions:
        if one.oid.dotted_string.startswith(("1.2.250", "2.5.29.15")):
            builder = builder.add_extension(one.value, critical=one.critical)
    from cryptography.hazmat.primitives.serialization import Encoding

    return ClientIdentity(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER), key)


@pytest.mark.parametrize("which", ["forged", "self-signed"])
def test_case_08_unknown_chain(desk: Desk, demo: DemoInstance, which: str) -> None:
    """Case 8: a look-alike card of an unknown root, and a self-signed one: refused D2R-SIG03."""
    if which == "forged":
        made = demo.forged_card(DR_A)
        signer = ClientIdentity(made.certificate if hasattr(made, "certificate") else made.der, made.key, made.chain)
    else:
        signer = _self_signed(desk)
    assert end(desk.deposit(signer=signer)) == ("refused", "D2R-SIG03")


def test_case_09_from_is_not_the_account(desk: Desk) -> None:
    """Case 9: From is not the mailbox bound to the signer: refused D2R-ACC02, told to the mailbox that is."""
    message = desk.deposit(from_="autre@chd.example")
    assert end(message) == ("refused", "D2R-ACC02")
    assert desk.told(message) == ("refusal", "D2R-ACC02")


@pytest.mark.parametrize("state", [AccountState.REQUESTED, AccountState.SUSPENDED])
def test_case_10_account_not_validated(desk: Desk, state: AccountState) -> None:
    """Case 10: a good card without a validated account: refused D2R-ACC01."""
    mailbox = desk.cast.person(DR_A)["mailbox"]

    def change(conn: Any) -> None:
        (account,) = people.by_mailbox(conn, "rca", mailbox)
        people.set_account_state(conn, account.id, state)

    desk.write(change)
    assert end(desk.deposit()) == ("refused", "D2R-ACC01")


def test_case_10_nobody_enrolled_the_holder(desk: Desk) -> None:
    """Case 10: a good card that no network knows: refused D2R-ACC01, and a stranger is told nothing."""
    message = desk.deposit(sender="no_account")
    assert end(message) == ("refused", "D2R-ACC01")
    assert desk.deliveries(message) == {}
    assert re.fullmatch(r"\d{12}", next(one.idnps for one in PEOPLE if one.key == "no_account"))
