"""Passkeys: made while the card is present, proved without it; the page that carries them is another matter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from authenticator import PRESENT, Authenticator
from correspondence import Correspondence
from dcc.gateway.factors import enrol_passkey, prove_by_passkey
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import factors
from dcc.mailbox.factors import Factor
from dcc.mailbox.schema_factors import factors as table
from dcc.router.factors import Proven
from dcc.router.passkeys import Site
from dcc.router.permission import Assurance
from dcc.router.reasons import Reason
from terminal import dcc

SITE = Site("dossiers.example", "https://dossiers.example")


@pytest.fixture
def post(instance: Path) -> Iterator[Correspondence]:
    """A demo instance."""
    with open_services(load_settings(instance / "dcc.toml")) as services:
        yield Correspondence(services)


def enrolled(post: Correspondence, held: Authenticator, card: str = "gp", person: str = "gp") -> Factor | str:
    """The authenticator makes a passkey while this card is present."""
    challenge = os.urandom(32)
    found = enrol_passkey(
        post.services, post.account(person).id, post.cast.pair(card).certificate, held.create(challenge), challenge, SITE,
        post.clock.at,
    )  # fmt: skip
    return found.code if isinstance(found, Reason) else found


def proved(post: Correspondence, answer: dict[str, Any], challenge: bytes) -> Proven | str:
    """What an answer proves."""
    found = prove_by_passkey(post.services, post.account("gp").id, answer, challenge, SITE, post.clock.at)
    return found.code if isinstance(found, Reason) else found


@pytest.mark.parametrize("counts", [True, False])
def test_from_the_card_to_the_proof(post: Correspondence, instance: Path, counts: bool) -> None:
    """Enrolled with the card, it proves nomad; the same answer proves nothing for another challenge."""
    held = Authenticator(counts=counts)
    made = enrolled(post, held)
    assert isinstance(made, Factor)
    for _ in range(2):
        challenge = os.urandom(32)
        answer = held.get(challenge)
        found = proved(post, answer, challenge)
        assert isinstance(found, Proven)
        assert (found.assurance, found.factor) == (Assurance.NOMAD, made.id)
    assert proved(post, answer, os.urandom(32)) == "D2R-FAC02"
    assert post.audited("card:factor:enrolled") == post.audited("card:factor:confirmed") == [None]
    assert post.audited("gateway:factor:proven") == [None, None]
    (row,) = dcc("factor", "list", "-c", instance / "dcc.toml", "--json").json
    assert (row["kind"], row["state"]) == ("passkey", "active")


def test_a_copied_passkey_is_noticed(post: Correspondence) -> None:
    """A counter that does not move on is that of a copy (WebAuthn §6.1.1); so is an answer that comes twice."""
    held = Authenticator()
    enrolled(post, held)
    challenge = os.urandom(32)
    answer = held.get(challenge)
    assert isinstance(proved(post, answer, challenge), Proven)
    assert proved(post, answer, challenge) == "D2R-FAC02"
    held.counter = 0
    assert proved(post, held.get(challenge), challenge) == "D2R-FAC02"


def test_two_things_may_hold_one_each(post: Correspondence) -> None:
    """A telephone and a key beside it: both count, and each ends by itself."""
    first, second = Authenticator(), Authenticator(credential=b"d" * 20)
    made = enrolled(post, first)
    assert isinstance(made, Factor)
    assert isinstance(enrolled(post, second), Factor)
    with post.services.database.begin() as conn:
        factors.revoke(conn, made.id, because=factors.OPERATOR, at=post.clock.at)
    challenge = os.urandom(32)
    assert proved(post, first.get(challenge), challenge) == "D2R-FAC02"
    assert isinstance(proved(post, second.get(challenge), challenge), Proven)


@pytest.mark.parametrize(
    ("card", "code"), [("oncologist", "D2R-FAC05"), ("opposed_card", "D2R-FAC05"), ("automaton", "D2R-FAC05")]
)
def test_somebody_elses_card_enrols_nothing(post: Correspondence, card: str, code: str) -> None:
    """The card that is present must be the account's holder's."""
    assert enrolled(post, Authenticator(), card) == code


def test_a_bad_card_enrols_and_proves_nothing(post: Correspondence) -> None:
    """An opposed card is no card, neither then nor now."""
    assert enrolled(post, Authenticator(), "opposed_card", "opposed_card") == "D2R-CRL02"
    held = Authenticator()
    enrolled(post, held)
    with post.services.database.begin() as conn:
        conn.execute(update(table).values(card=post.cast.pair("opposed_card").certificate))
    challenge = os.urandom(32)
    assert proved(post, held.get(challenge), challenge) == "D2R-CRL02"
    assert proved(post, held.get(challenge), challenge) == "D2R-FAC02", "it has ended"


@pytest.mark.parametrize(
    "held",
    [
        Authenticator(origin="https://dossiers.example.evil"), Authenticator(domain="evil.example"),
        Authenticator(flags=PRESENT), Authenticator(flags=0),
    ],
    ids=["origin", "domain", "not-verified", "not-present"],
)  # fmt: skip
def test_another_page_or_nobody_there(post: Correspondence, held: Authenticator) -> None:
    """Made for another site, or without the person's own gesture: neither enrolled nor believed."""
    assert enrolled(post, held) == "D2R-FAC02"
    good = Authenticator(key=held.key)
    enrolled(post, good)
    challenge = os.urandom(32)
    assert proved(post, held.get(challenge), challenge) == "D2R-FAC02"


def test_the_same_credential_is_enrolled_once(post: Correspondence) -> None:
    """An answer of enrolment that is repeated enrols nothing."""
    held = Authenticator()
    assert isinstance(enrolled(post, held), Factor)
    assert enrolled(post, held) == "D2R-FAC02"


def test_wrong_answers_pause(post: Correspondence) -> None:
    """Forged answers for a known passkey are counted like wrong codes."""
    held = Authenticator()
    enrolled(post, held)
    forger = Authenticator()
    challenge = os.urandom(32)
    assert [proved(post, forger.get(challenge), challenge) for _ in range(6)] == ["D2R-FAC02"] * 5 + ["D2R-FAC03"]
    assert proved(post, held.get(challenge), challenge) == "D2R-FAC03"


def test_garbage_is_a_refusal(post: Correspondence) -> None:
    """Whatever a browser might send: one reason, never a fault."""
    held = Authenticator()
    challenge = os.urandom(32)
    for answer in ({}, {"rawId": 1}, {"id": "x", "rawId": "x", "response": None}):
        assert proved(post, answer, challenge) == "D2R-FAC02"
    whole = held.create(challenge)
    for name in ("clientDataJSON", "attestationObject"):
        for place in range(0, len(whole["response"][name]), 3):
            broken = whole["response"][name][:place] + "A" + whole["response"][name][place + 1 :]
            for spoilt in (broken, broken[:place], 7):
                answer = {**whole, "response": {**whole["response"], name: spoilt}}
                account = post.account("gp").id
                found = enrol_passkey(
                    post.services, account, post.cast.pair("gp").certificate, answer, challenge, SITE, post.clock.at
                )
                if isinstance(found, Factor):  # what is not covered by anything: an AAGUID is a claim
                    with post.services.database.begin() as conn:
                        conn.execute(table.delete())
                else:
                    assert found.code == "D2R-FAC02"
