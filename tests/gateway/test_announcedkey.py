"""A reader's next encryption certificate: taken from a verified mail when it is the signer's own, good and newer."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from correspondence import DEPOT, Correspondence
from dcc.cards.issue import IssuedCertificate
from dcc.gateway.cast_people import PEOPLE
from dcc.gateway.clients import report_entity
from dcc.gateway.services import load_crls, open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import audit, people
from dcc.mailbox.changes import EncryptionCertificateSeen
from dcc.mailbox.changewriting import ChangeLost, apply
from dcc.mailbox.records import AccountState, MessageState
from dcc.mailbox.schema import accounts
from dcc.smime.headerprotection import MailHeaders
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from dcc.smime.seal import Profile, key_signer, seal
from demoinstance import DemoInstance

BOX = "antoine.faure@cabinet.example"
Issue = Callable[..., IssuedCertificate]


@pytest.fixture
def post(instance: Path) -> Iterator[Correspondence]:
    """A demo instance with its correspondence."""
    with open_services(load_settings(instance / "dcc.toml")) as services:
        yield Correspondence(services)


@pytest.fixture
def issue(demo: DemoInstance) -> Issue:
    """A certificate of a person of the cast: by default one for the mailbox of the GP, newer than the one enrolled."""

    def one(
        person: str = "gp", *, addresses: tuple[str, ...] = (BOX,), start: int = -1, end: int = 300, usage: str = "CONF",
        forged: bool = False,
    ) -> IssuedCertificate:  # fmt: skip
        found = next(each for each in PEOPLE if each.key == person)
        return (demo.forger if forged else demo.issued.pki).issue_person_software(
            idnps=found.idnps, family_name=found.family_name or "", given_name=found.given_name or "",
            usage=usage, addresses=addresses, not_before=demo.now + timedelta(days=start),  # type: ignore[arg-type]
            not_after=demo.now + timedelta(days=end), profession=found.profession,
        )  # fmt: skip

    return one


def write(post: Correspondence, announces: bytes, person: str = "gp", *, signed_days_ago: int = 0) -> MessageState:
    """A signed request whose signature names this certificate as the one to encrypt to."""
    entity = report_entity("FORMULAIRES", ())
    head, _, body = entity.partition(b"\r\n\r\n")
    fields = [tuple(one.split(": ", 1)) for one in head.decode().replace("\r\n ", " ").split("\r\n")]
    out, address = io.BytesIO(), post.cast.person(person)["mailbox"]
    at = post.clock.at - timedelta(days=signed_days_ago)
    seal(
        MailHeaders(address, DEPOT, "Demande", at, f"<{os.urandom(8).hex()}@client.example>"), [body], fields,
        signer=key_signer(post.cast.pair(person)), recipient=post.cast.gateway_certificate(), out=out,
        random_bytes=os.urandom, profile=Profile(extra_certificates=(announces,)),
    )  # fmt: skip
    return post.write(person, "", raw=out.getvalue())


def kept(post: Correspondence, person: str = "gp") -> dict[str, bytes | None]:
    """The certificate of each network's account."""
    found = {one: post.account(person, one) for one in ("rca", "perinat")}
    return {name: one.encryption_certificate for name, one in found.items() if one is not None}


def seen(post: Correspondence) -> list[dict[str, str]]:
    """What the trace says of certificates taken."""
    with post.services.database.read() as conn:
        tagged = [one for one in audit.export(conn) if one["tag"] == "mail:account:encryption_certificate_seen"]
    return [one["detail"] if isinstance(one["detail"], dict) else json.loads(one["detail"]) for one in tagged]


def know(post: Correspondence, certificate: bytes | None, person: str = "gp") -> None:
    with post.services.database.begin() as conn:
        box = post.cast.person(person)["mailbox"]
        conn.execute(update(accounts).where(accounts.c.mailbox == box).values(encryption_certificate=certificate))


def test_a_newer_one_takes_its_place(post: Correspondence, issue: Issue) -> None:
    """The answer to the very mail opens with the new key; every network's account has it; the trace names both."""
    new, before = issue(), kept(post)["rca"]
    assert write(post, new.certificate) is MessageState.DONE
    assert set(kept(post).values()) == {new.certificate}
    raw = post.post.to(BOX)[-1]
    assert open_message(io.BytesIO(raw), keys=[KeyPair(new.certificate, new.key)]).problem is None
    assert [sorted(one) for one in seen(post)] == [["account", "before", "certificate"]] * 2
    assert before is not None
    write(post, new.certificate)
    assert len(seen(post)) == 2, "the same again is nothing new"


@pytest.mark.parametrize("before", ["expired", "absent", "damaged"])
def test_in_the_place_of_one_that_is_good_for_nothing(post: Correspondence, issue: Issue, before: str) -> None:
    """Where the one kept is expired, unreadable or not there, the reader is sent reports again."""
    old = {"expired": issue(start=-400, end=-2).certificate, "absent": None, "damaged": b"no certificate"}[before]
    know(post, old)
    new = issue(start=-30)
    write(post, new.certificate)
    assert set(kept(post).values()) == {new.certificate}


REFUSED = {
    "older": {"start": -200},
    "of another person": {"person": "nurse"},
    "for another mailbox": {"addresses": ("antoine.faure@hopital.example",)},
    "expired": {"start": -20, "end": -2},
    "not valid yet": {"start": 2},
    "for signatures": {"usage": "SIGN"},
    "of an unknown authority": {"forged": True},
}


@pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_taken(post: Correspondence, issue: Issue, wrong: dict[str, Any]) -> None:
    """Older, somebody else's, for another mailbox, not good, not for mail: the mail is worked on, nothing changes."""
    before = kept(post)
    assert write(post, issue(**wrong).certificate) is MessageState.DONE
    assert kept(post) == before
    assert seen(post) == []


def test_an_older_one_not_even_for_an_expired_one(post: Correspondence, issue: Issue) -> None:
    """A key that was given up stays given up, also when the one after it has ended."""
    know(post, ended := issue(start=-10, end=-2).certificate)
    write(post, issue(start=-60).certificate)
    assert set(kept(post).values()) == {ended}


def lists(post: Correspondence, demo: DemoInstance, number: int, life: int) -> None:
    """Opposition lists of an hour ago, good for so many days."""
    for place, data in enumerate(demo.lists(age=timedelta(hours=1), life=timedelta(days=life), number=number)):
        (post.services.settings.directory / "demo" / "crls" / f"suivante-{number}-{place}.crl").write_bytes(data)
    load_crls(post.services.settings, post.services.judge.crls)


def test_opposed_and_unknown(post: Correspondence, issue: Issue, demo: DemoInstance) -> None:
    """A revoked one is not taken and is replaced by the next; with stale lists nothing is taken (I10)."""
    lost, new, before = issue(start=-3), issue(start=-1), kept(post)
    demo.issued.pki.revoke(lost, demo.now - timedelta(hours=2))
    lists(post, demo, 2, 7)
    write(post, lost.certificate)
    assert kept(post) == before
    know(post, lost.certificate)
    write(post, new.certificate)
    assert set(kept(post).values()) == {new.certificate}
    post.clock.later(days=8)  # the lists are stale: the card is unknown too, the mail waits
    assert write(post, issue(start=0).certificate) is MessageState.HELD
    assert set(kept(post).values()) == {new.certificate}


def test_an_old_mail_sent_again(post: Correspondence, issue: Issue, demo: DemoInstance) -> None:
    """R-REPLAY: a mail that was signed long ago says nothing of today, even where no certificate is known."""
    know(post, None)
    lists(post, demo, 2, 30)
    post.clock.later(days=8)
    new = issue(start=-20)
    write(post, new.certificate, signed_days_ago=8)
    assert set(kept(post).values()) == {None}
    write(post, new.certificate, signed_days_ago=6)
    assert set(kept(post).values()) == {new.certificate}


def test_only_validated_accounts(post: Correspondence, issue: Issue) -> None:
    """The account that a network suspended keeps what it had."""
    before = kept(post)
    with post.services.database.begin() as conn:
        people.set_account_state(conn, post.account("gp", "perinat").id, AccountState.SUSPENDED)
    new = issue()
    write(post, new.certificate)
    assert kept(post) == {"rca": new.certificate, "perinat": before["perinat"]}


def test_another_signer_cannot_announce_it(post: Correspondence, issue: Issue) -> None:
    """The nurse who announces the GP's certificate changes neither account."""
    before = kept(post), kept(post, "nurse")
    assert write(post, issue().certificate, "nurse") is MessageState.DONE
    assert (kept(post), kept(post, "nurse")) == before


def test_two_mails_at_once(post: Correspondence, issue: Issue) -> None:
    """Whoever looked at a certificate that is no longer there does not overwrite the newer one."""
    account = post.account("gp")
    first, second = issue(start=-1), issue(start=-2)
    with post.services.database.begin() as conn:
        apply(
            conn, EncryptionCertificateSeen(account.id, first.certificate, account.encryption_certificate), post.clock()
        )
    late = EncryptionCertificateSeen(account.id, second.certificate, account.encryption_certificate)
    with pytest.raises(ChangeLost), post.services.database.begin() as conn:
        apply(conn, late, post.clock())
    assert kept(post)["rca"] == first.certificate
