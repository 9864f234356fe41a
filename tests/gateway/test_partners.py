"""Partners outside the card world: whose anchors vouch for whom, and for nobody else (RFC 8550)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import update

import throwaway
from dcc.gateway.clients import ClientIdentity, Envelope, enveloped_mail, signed_entity
from dcc.gateway.demo_deposits import Draft, deposit, entity
from dcc.gateway.partners import open_partners
from dcc.gateway.services import Services, open_services
from dcc.gateway.settings import ConfigurationError, load_settings
from dcc.mailbox.records import MessageState
from dcc.mailbox.schema import accounts
from dcc.smime.keys import KeyPair
from inprocess import Rooms
from terminal import dcc

TOLD = """
[[partners]]
name = "Laboratoire d'essai"
domains = ["dcc.example"]
certificates = ["partenaire.pem"]
revocation = false
"""


@cache
def of_the_organisation(domain: str) -> KeyPair:
    """A certificate that names a domain and no address."""
    key = throwaway._key("rsa", f"organisation {domain}")
    built = (
        throwaway._builder("Laboratoire", throwaway._name("AC ESSAI"), key.public_key())
        .add_extension(throwaway._usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(domain)]), critical=False)
        .sign(throwaway._key("rsa", "authority"), hashes.SHA256())
    )
    return KeyPair(built.public_bytes(Encoding.DER), key, (throwaway.intermediate(), throwaway.root()))


@pytest.fixture
def rooms(instance: Path) -> Rooms:
    """A gateway with one partner, for whose mailbox the laboratory's automaton is enrolled."""
    (instance / "partenaire.pem").write_bytes(throwaway.pem(throwaway.root()) + throwaway.pem(throwaway.intermediate()))
    config = instance / "dcc.toml"
    config.write_text(config.read_text(encoding="utf-8") + TOLD, encoding="utf-8")
    with open_services(load_settings(config, {})) as services:
        found = Rooms(services)
        box = found.cast.person("automaton")["mailbox"]
        with services.database.begin() as conn:
            conn.execute(
                update(accounts)
                .where(accounts.c.mailbox == box)
                .values(mailbox="labo@dcc.example", card_certificate=None)
            )
        yield found


def write(rooms: Rooms, signer: KeyPair, from_: str = "labo@dcc.example") -> tuple[MessageState, str | None]:
    """How a result from this address ends, signed so."""
    cast, at = rooms.cast, rooms.clock.at
    body = entity(cast, Draft("automaton", "main", type_code="11502-2"), at, os.urandom)
    inner = signed_entity(body, ClientIdentity(signer.certificate, signer.key, signer.chain[:1]), opaque=False)
    to = cast.folder("main")["address"]
    envelope = Envelope(from_, to, "Resultat", at, f"<{os.urandom(8).hex()}@dcc.example>")
    raw = enveloped_mail(inner, [cast.gateway_certificate()], envelope, os.urandom, shape="outlook")
    taken = rooms.take(raw, from_, to)
    rooms.work()
    found = rooms.message(taken)
    return found.state, found.reason_code


def test_certificate_that_names_the_address(rooms: Rooms) -> None:
    """A partner's certificate that names From is the sender's, and the deposit is filed."""
    assert write(rooms, throwaway.pair(who="labo")) == (MessageState.FILED, None)
    assert rooms.audited("gateway:message:filed") == [None]


def test_certificate_of_the_organisation(rooms: Rooms) -> None:
    """A certificate that names the partner's domain speaks for every enrolled address in it; of another domain: none."""
    assert write(rooms, of_the_organisation("dcc.example")) == (MessageState.FILED, None)
    assert write(rooms, of_the_organisation("autre.example")) == (MessageState.REFUSED, "D2R-ACC02")


def test_certificate_of_somebody_else(rooms: Rooms) -> None:
    """A partner's certificate for another address of the domain is refused."""
    assert write(rooms, throwaway.pair(who="somebody")) == (MessageState.REFUSED, "D2R-ACC02")


def test_address_without_an_account(rooms: Rooms) -> None:
    """A good certificate of a partner for an address that nobody enrolled: a stranger, told nothing."""
    assert write(rooms, throwaway.pair(who="nobody"), "nobody@dcc.example") == (MessageState.REFUSED, "D2R-ACC01")
    assert rooms.deliveries() == []


def test_never_outside_the_domains(rooms: Rooms) -> None:
    """The partner's anchors vouch for their own domains only: elsewhere the card world decides."""
    box = rooms.cast.person("coordinator")["mailbox"]
    assert write(rooms, throwaway.pair(who="labo"), box) == (MessageState.REFUSED, "D2R-SIG03")
    card = rooms.cast.identity("automaton")
    ended = write(rooms, KeyPair(card.certificate, card.key, card.chain))
    assert ended == (MessageState.REFUSED, "D2R-SIG03")  # and cards say nothing inside them


def test_never_an_account_of_a_card(rooms: Rooms) -> None:
    """An account that was enrolled with a card is not a partner's to use, even in the partner's domain."""
    with rooms.services.database.begin() as conn:
        conn.execute(update(accounts).where(accounts.c.mailbox == "labo@dcc.example").values(card_certificate=b"x"))
    assert write(rooms, throwaway.pair(who="labo")) == (MessageState.REFUSED, "D2R-ACC01")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('domains = ["dcc.example"]', 'domains = ["@dcc.example"]'),
        ('certificates = ["partenaire.pem"]', "certificates = []"),
        ('certificates = ["partenaire.pem"]', 'certificates = ["absent.pem"]'),
    ],
)
def test_wrong_settings(change: str, said: str, services: Services, instance: Path) -> None:
    """A domain with an @, no anchor, an absent file: refused at start, naming the setting."""
    config = instance / "dcc.toml"
    (instance / "partenaire.pem").write_bytes(throwaway.pem(throwaway.root()))
    config.write_text(config.read_text(encoding="utf-8") + TOLD.replace(change, said), encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        open_partners(load_settings(config, {}))
    assert "partners.0." in refused.value.problems[0]
    assert services.partners == ()


def test_enrolment(rooms: Rooms) -> None:
    """`dcc account partner` enrols a mailbox of a partner's domain, once; the partner's mails are then its own."""
    config = rooms.services.settings.directory / "dcc.toml"
    network = rooms.cast.folder("main")["network"]
    command = ("account", "partner", "Second@DCC.example", "--structure", "10B0057881", "-c", config, "--json")
    done = dcc(*command, "--network", network)
    assert (done.code, done.json["mailbox"], done.json["state"]) == (0, "second@dcc.example", "validated")
    assert dcc(*command, "--network", network).code == 1
    assert dcc(*command, "--network", "absent").code == 1
    outside = dcc("account", "partner", "a@autre.example", "--structure", "10B0057881", "-c", config, "--network", "x")
    assert outside.code == 2
    assert dcc("account", "partner", "b@dcc.example", "--structure", "x", "-c", config, "--network", "x").code == 2
    state, code = write(rooms, throwaway.pair(who="second"), "second@dcc.example")
    assert (state, code) != (MessageState.REFUSED, "D2R-ACC01")
    assert code not in {"D2R-ACC02", "D2R-SIG03"}


def test_dcc_open_with_domains(rooms: Rooms, tmp_path: Path) -> None:
    """`dcc open --profile address --domain D`: an organisation's certificate counts inside D only."""
    mail = deposit(rooms.cast, Draft("automaton", "main", from_="labo@dcc.example"), rooms.clock.at, os.urandom,
                   encrypted=False, signed=False)  # fmt: skip
    pair = of_the_organisation("dcc.example")
    head, _, body = mail.partition(b"Content-Type:")
    inner = signed_entity(
        b"Content-Type:" + body, ClientIdentity(pair.certificate, pair.key, pair.chain[:1]), opaque=False
    )
    (tmp_path / "mail.eml").write_bytes(head + inner)
    (tmp_path / "root.pem").write_bytes(throwaway.pem(throwaway.root()))
    options = ("--profile", "address", "--trust", tmp_path / "root.pem", "--no-revocation", "--json")
    good = dcc("open", tmp_path / "mail.eml", *options, "--domain", "DCC.example")
    assert (good.code, good.json["outcome"]) == (0, "authentic")
    for more in ((), ("--domain", "autre.example")):
        assert dcc("open", tmp_path / "mail.eml", *options, *more).json["reason"] == "D2R-ACC02"
