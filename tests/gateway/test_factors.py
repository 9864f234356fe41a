"""A second factor from the signed mail that asks for it to the proof: who gets the key, what ends it, what is written down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import update

from correspondence import Correspondence
from dcc.gateway.factors import forget_overdue, prove_by_code
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import audit, factors, people
from dcc.mailbox.changes import AccountMoved
from dcc.mailbox.changewriting import apply
from dcc.mailbox.records import AccountState, MessageState
from dcc.mailbox.schema_factors import factors as table
from dcc.router.factors import Proven
from dcc.router.permission import Assurance
from dcc.router.reasons import Reason
from terminal import dcc


@pytest.fixture
def post(instance: Path) -> Iterator[Correspondence]:
    """A demo instance with its correspondence."""
    with open_services(load_settings(instance / "dcc.toml")) as services:
        yield Correspondence(services)


def asked(post: Correspondence, person: str = "gp") -> pyotp.TOTP:
    """The person asks, and puts the key of the answer into a telephone."""
    assert post.write(person, f"SECOND FACTEUR\n\n{post.clock.at}") is MessageState.DONE, post.code()
    subject, text = post.read(person)
    assert subject == "Votre second facteur"
    key = re.search(r"^ {4}((?:[A-Z2-7]{4} ?){8})\r?$", text, re.MULTILINE)
    assert key is not None
    telephone = pyotp.TOTP(key[1].replace(" ", ""))
    assert telephone.secret in text, "the link says the same"
    return telephone


def enrolled(post: Correspondence, person: str = "gp") -> pyotp.TOTP:
    """The same, and the first code has come back."""
    telephone = asked(post, person)
    assert post.write(person, f"ACTIVER FACTEUR\nCode : {telephone.at(post.clock.at)}") is MessageState.DONE, (
        post.code()
    )
    post.clock.later(minutes=1)
    return telephone


def proved(post: Correspondence, code: str, person: str = "gp") -> Proven | str:
    """What the code proves now."""
    found = prove_by_code(post.services, post.account(person).id, code, post.clock.at)
    return found.code if isinstance(found, Reason) else found


def test_from_the_signed_mail_to_the_proof(post: Correspondence) -> None:
    """The key comes under a seal to its owner; a first code activates it; each later code proves nomad, once."""
    telephone = asked(post)
    assert b"enveloped-data" in post.post.to(post.cast.person("gp")["mailbox"])[-1]
    code = telephone.at(post.clock.at)
    assert proved(post, code) == "D2R-FAC02", "nothing counts before it is activated"
    assert post.write("gp", f"ACTIVER FACTEUR\nCode : {code}") is MessageState.DONE
    assert "actif" in post.read("gp")[1]
    assert proved(post, code) == "D2R-FAC02", "the first code has served"
    post.clock.later(seconds=60)
    found = proved(post, telephone.at(post.clock.at))
    assert isinstance(found, Proven)
    assert found.assurance is Assurance.NOMAD
    assert proved(post, telephone.at(post.clock.at)) == "D2R-FAC02", "a code serves once"
    assert post.audited("mail:factor:enrolled") == post.audited("mail:factor:confirmed") == [None]
    assert post.audited("gateway:factor:proven") == [None]
    assert post.audited("gateway:factor:refused") == ["D2R-FAC02"] * 3


def test_a_slow_mail_activates_all_the_same(post: Correspondence) -> None:
    """The first code was read before the mail was written, signed and sent: minutes may pass; an hour is too long."""
    telephone = asked(post)
    code = telephone.at(post.clock.at)
    post.clock.later(minutes=60)
    assert post.write("gp", f"ACTIVER FACTEUR\nCode : {code}") is MessageState.REFUSED
    assert post.code() == "D2R-FAC02"
    code = telephone.at(post.clock.at)
    post.clock.later(minutes=15)
    assert post.write("gp", f"ACTIVER FACTEUR\nCode : {code}") is MessageState.DONE


def test_only_the_card_that_asked_activates(post: Correspondence) -> None:
    """Somebody else's signed mail, and another card of the same person, activate nothing."""
    telephone = asked(post)
    reply = f"ACTIVER FACTEUR\nCode : {telephone.at(post.clock.at)}"
    assert post.write("oncologist", reply) is MessageState.REFUSED
    assert post.code() == "D2R-FAC05"
    with post.services.database.begin() as conn:
        conn.execute(update(table).values(card=post.cast.pair("oncologist").certificate))
    assert post.write("gp", reply) is MessageState.REFUSED
    assert post.code() == "D2R-FAC05"


def test_without_a_seal_there_is_no_key(post: Correspondence) -> None:
    """Who has no encryption certificate is sent no key; an automaton has no telephone."""
    assert post.write("no_encryption", "SECOND FACTEUR") is MessageState.REFUSED
    assert post.code() == "D2R-FAC01"
    assert post.write("automaton", "SECOND FACTEUR") is MessageState.REFUSED
    assert post.code() == "D2R-FAC04"
    with post.services.database.read() as conn:
        assert factors.in_network(conn, None) == []


def test_a_certificate_that_ends_before_the_mail_leaves(post: Correspondence) -> None:
    """The key is not written into a mail that cannot be sealed any more, and the mail says how to go on."""
    octets = post.made("gp", "SECOND FACTEUR", "", to="depot@rca.dcc.example", from_=post.cast.person("gp")["mailbox"])
    post.take(octets, post.cast.person("gp")["mailbox"], "depot@rca.dcc.example")
    post.work()
    with post.services.database.begin() as conn:
        people.set_encryption_certificate(conn, post.account("gp").id, None)
    while post.sender.run_once():
        pass
    text = post.read("gp")[1]
    assert "ne peut pas vous être envoyée" in text
    assert "otpauth" not in text


def test_a_second_request_replaces_the_first(post: Correspondence) -> None:
    """A key that was asked for again counts; the one before it has ended, active or not."""
    first = asked(post)
    post.clock.later(minutes=1)
    second = asked(post)
    assert post.write("gp", f"ACTIVER FACTEUR\nCode : {first.at(post.clock.at)}") is MessageState.REFUSED
    assert post.write("gp", f"ACTIVER FACTEUR\nCode : {second.at(post.clock.at)}") is MessageState.DONE
    post.clock.later(minutes=1)
    third = enrolled(post)
    assert proved(post, second.at(post.clock.at)) == "D2R-FAC02"
    assert isinstance(proved(post, third.at(post.clock.at)), Proven)


def test_guessing_is_stopped(post: Correspondence) -> None:
    """Five wrong codes in a row, then a pause in which the right one waits too; then it counts."""
    telephone = enrolled(post)
    right = telephone.at(post.clock.at)
    wrong = f"{(int(right) + 1) % 10**6:06}"
    assert [proved(post, wrong) for _ in range(6)] == ["D2R-FAC02"] * 5 + ["D2R-FAC03"]
    assert proved(post, telephone.at(post.clock.at)) == "D2R-FAC03"
    post.clock.later(minutes=16)
    assert isinstance(proved(post, telephone.at(post.clock.at)), Proven)
    with post.services.database.read() as conn:
        (factor,) = factors.of_account(conn, post.account("gp").id)
    assert (factor.failures, factor.failed_at) == (0, None)


def test_suspension_ends_it_for_good(post: Correspondence) -> None:
    """A suspended account has no factor, and none when it comes back."""
    telephone = enrolled(post)
    states = tuple(AccountState)
    for state in (AccountState.SUSPENDED, AccountState.VALIDATED):
        with post.services.database.begin() as conn:
            apply(conn, AccountMoved(post.account("gp").id, states, state), post.clock.at)
        post.clock.later(minutes=1)
        assert proved(post, telephone.at(post.clock.at)) == "D2R-FAC02"


def test_an_opposed_card_ends_it_for_good(post: Correspondence) -> None:
    """The card that was present is on the list: refused with its reason, ended, and audited."""
    telephone = enrolled(post)
    with post.services.database.begin() as conn:
        conn.execute(update(table).values(card=post.cast.pair("opposed_card").certificate))
    assert proved(post, telephone.at(post.clock.at)) == "D2R-CRL02"
    with post.services.database.read() as conn:
        (factor,) = factors.of_account(conn, post.account("gp").id)
    assert (factor.active, factor.because, factor.wrapped_key) == (False, "card", None)
    assert len(post.audited("gateway:factor:revoked")) == 1


def test_a_renewed_card_keeps_it_for_the_same_person(post: Correspondence) -> None:
    """Expired and renewed: the account's new card counts, if it is the same person's."""
    telephone = enrolled(post)
    with post.services.database.begin() as conn:
        conn.execute(update(table).values(card=post.cast.pair("expired_card").certificate))
    assert isinstance(proved(post, telephone.at(post.clock.at)), Proven)
    post.clock.later(minutes=1)
    with post.services.database.begin() as conn:
        people.set_card(conn, post.account("gp").id, post.cast.pair("nurse").certificate)
    assert proved(post, telephone.at(post.clock.at)) == "D2R-FAC05"
    assert post.audited("gateway:factor:revoked") == [None]


def test_an_unconfirmed_key_is_forgotten(post: Correspondence) -> None:
    """A day without an answer: the key is gone, and the trail says so."""
    telephone = asked(post)
    assert forget_overdue(post.services, post.clock.at) == 0
    post.clock.later(days=1)
    assert forget_overdue(post.services, post.clock.at) == 1
    assert post.write("gp", f"ACTIVER FACTEUR\nCode : {telephone.at(post.clock.at)}") is MessageState.REFUSED
    assert post.code() == "D2R-FAC05"
    with post.services.database.read() as conn:
        (factor,) = factors.of_account(conn, post.account("gp").id)
    assert (factor.because, factor.wrapped_key) == ("overdue", None)


def test_the_secret_lies_nowhere(post: Correspondence, instance: Path) -> None:
    """Neither key nor code is in the store, in the trail or in what operators are shown."""
    telephone = enrolled(post)
    code = telephone.at(post.clock.at)
    assert isinstance(proved(post, code), Proven)
    secret = telephone.byte_secret()
    stored = b"".join(one.read_bytes() for one in (instance / "var").rglob("*") if one.is_file())
    shown = dcc("factor", "list", "-c", instance / "dcc.toml", "--json").out
    with post.services.database.read() as conn:
        trail = json.dumps(list(audit.export(conn)))
    for octets in (secret, telephone.secret.encode(), secret.hex().encode()):
        assert octets not in stored
    assert telephone.secret not in shown + trail
    assert code not in trail


def test_operators_list_and_end_it(post: Correspondence, instance: Path) -> None:
    """`dcc factor list` tells whose and since when; `revoke` ends it under a name, once."""
    telephone = enrolled(post)
    config = instance / "dcc.toml"
    (row,) = dcc("factor", "list", "--network", "rca", "-c", config, "--json").json
    assert (row["mailbox"], row["kind"], row["state"]) == (post.cast.person("gp")["mailbox"], "totp", "active")
    assert row["mailbox"] in dcc("factor", "list", "-c", config).out
    assert dcc("factor", "list", "--network", "perinat", "-c", config, "--json").json == []
    assert dcc("factor", "revoke", row["id"], "-c", config, "--operator", "").code == 2
    assert dcc("factor", "revoke", "absent", "-c", config, "--operator", "A. Martin").code == 1
    assert dcc("factor", "revoke", row["id"], "-c", config, "--operator", "A. Martin").code == 0
    assert "déjà" in dcc("factor", "revoke", row["id"], "-c", config, "--operator", "A. Martin").err
    assert proved(post, telephone.at(post.clock.at)) == "D2R-FAC02"
    assert post.audited("operator:factor:revoked") == [None]
