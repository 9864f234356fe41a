"""Mail to partners outside the card world: whose certificate may be encrypted to, by whose anchors (RFC 8550 §3, R-USAGE)."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import update

import throwaway
from dcc.gateway.clients import ClientIdentity, Envelope, enveloped_mail, signed_entity
from dcc.gateway.demo_deposits import Draft, entity
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import people
from dcc.mailbox.records import MessageState
from dcc.mailbox.schema import accounts
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from inprocess import Recorder, Rooms
from terminal import dcc

BOX = "labo@dcc.example"
BOTH = {"digital_signature": True, "key_encipherment": True}  # what most mail certificates outside the card world allow
TOLD = """
[[partners]]
name = "Laboratoire d'essai"
domains = ["dcc.example"]
certificates = ["partenaire.pem"]
"""
UNLISTED = "revocation = false\n"


@cache
def issued(
    san: tuple[str, ...] = (BOX,), dns: tuple[str, ...] = (), issuer: str = "AC ESSAI", start: int = -1,
    kind: str = "rsa", **usage: bool,
) -> KeyPair:  # fmt: skip
    """A mail certificate of the partner's authority: one key that signs and deciphers unless told otherwise."""
    key: Any = throwaway._key(kind, f"partner {san} {dns}")
    names = [*map(x509.RFC822Name, san), *map(x509.DNSName, dns)]
    by = throwaway._key("rsa", "authority" if issuer == "AC ESSAI" else issuer)
    built = (
        throwaway._builder("Laboratoire", throwaway._name(issuer), key.public_key(), timedelta(days=start))
        .add_extension(throwaway._usage(**(usage or BOTH)), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(by, hashes.SHA256())
    )
    return KeyPair(built.public_bytes(Encoding.DER), key, (throwaway.intermediate(), throwaway.root()))


def opposing(*pairs: KeyPair) -> bytes:
    """The partner authority's list, which opposes these certificates."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(throwaway._name("AC ESSAI"))
        .last_update(throwaway.NOW - timedelta(hours=1))
        .next_update(throwaway.NOW + timedelta(days=7))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for one in pairs:
        serial = x509.load_der_x509_certificate(one.certificate).serial_number
        entry = (
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(throwaway.NOW - timedelta(days=1))
        )
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(throwaway._key("rsa", "authority"), hashes.SHA256()).public_bytes(Encoding.DER)


def rooms_of(instance: Path, told: str) -> Iterator[Rooms]:
    """A gateway with one partner; the automaton of the cast, mandated in the main folder, is its mailbox."""
    (instance / "partenaire.pem").write_bytes(throwaway.pem(throwaway.root()) + throwaway.pem(throwaway.intermediate()))
    config = instance / "dcc.toml"
    config.write_text(config.read_text(encoding="utf-8") + told, encoding="utf-8")
    with open_services(load_settings(config, {})) as services:
        found = Rooms(services)
        with services.database.begin() as conn:
            conn.execute(
                update(accounts)
                .where(accounts.c.mailbox == found.cast.person("automaton")["mailbox"])
                .values(mailbox=BOX, card_certificate=None, encryption_certificate=None)
            )
        yield found


@pytest.fixture
def rooms(instance: Path) -> Iterator[Rooms]:
    """A partner that publishes no lists."""
    yield from rooms_of(instance, TOLD + UNLISTED)


def know(rooms: Rooms, certificate: bytes, **more: Any) -> None:
    """This is the encryption certificate that the account was enrolled with."""
    with rooms.services.database.begin() as conn:
        values = {"encryption_certificate": certificate, **more}
        conn.execute(update(accounts).where(accounts.c.mailbox == BOX).values(**values))


def known(rooms: Rooms) -> bytes | None:
    with rooms.services.database.read() as conn:
        (found,) = people.by_mailbox(conn, None, BOX)
    return found.encryption_certificate


def told(rooms: Rooms) -> tuple[str, str | None, list[bytes]]:
    """(kind, reason, mails) of what the partner is sent of a doctor's deposit."""
    rooms.deposit()
    rooms.work()
    relay = Recorder()
    while rooms.announcer(relay).run_once():
        pass
    box = next(one for one in rooms.deliveries() if one.mailbox == BOX and one.kind != "acknowledgement")
    return box.kind, box.reason, relay.to(BOX)


def test_written_to_by_the_partners_anchors(rooms: Rooms) -> None:
    """A certificate that the partner's anchors vouch for and that names the mailbox gets the report, sealed for it."""
    know(rooms, issued().certificate)
    kind, reason, (mail,) = told(rooms)
    assert (kind, reason) == ("report", None)
    found = open_message(io.BytesIO(mail), keys=[issued()])
    assert (found.problem, found.decrypted) == (None, True)


def test_the_organisations_certificate(rooms: Rooms) -> None:
    """A certificate that names the partner's domain and no address stands for every mailbox of it."""
    pair = issued(san=(), dns=("dcc.example",))
    know(rooms, pair.certificate)
    kind, _, (mail,) = told(rooms)
    assert kind == "report"
    assert open_message(io.BytesIO(mail), keys=[pair]).problem is None


def test_an_elliptic_key(rooms: Rooms) -> None:
    """A certificate on a curve is made for key agreement (RFC 8550 §4.4.2)."""
    pair = issued(kind="p256", key_agreement=True)
    know(rooms, pair.certificate)
    kind, _, (mail,) = told(rooms)
    assert kind == "report"
    assert open_message(io.BytesIO(mail), keys=[pair]).problem is None


WRONG = {
    "of somebody else": lambda: issued(san=("autre@dcc.example",)),
    "of another domain's organisation": lambda: issued(san=(), dns=("autre.example",)),
    "of another authority": lambda: issued(issuer="AC INCONNUE"),
    "that only signs": lambda: issued(digital_signature=True),
    "on a curve, without key agreement": lambda: issued(kind="p256", key_encipherment=True),
    "that ended": lambda: issued(start=-400),
}


@pytest.mark.parametrize("name", WRONG)
def test_never_encrypted_to(name: str, rooms: Rooms) -> None:
    """A certificate that the partner's anchors do not vouch for, for this mailbox and use, gets a notice without content."""
    know(rooms, WRONG[name]().certificate)
    kind, reason, mails = told(rooms)
    assert (kind, reason) == ("notice", "D2R-CRT01")
    assert all(b"pkcs7-mime" not in one for one in mails)


def test_a_card_world_certificate_is_not_the_partners(rooms: Rooms) -> None:
    """In a partner's domain a certificate of the card world is nobody's."""
    know(rooms, rooms.cast.identity("oncologist", "encryption").certificate)
    assert told(rooms)[:2] == ("notice", "D2R-CRT01")


def test_a_holder_of_a_card_stays_in_the_card_world(rooms: Rooms) -> None:
    """An account that was enrolled with a card is not a partner's to vouch for, even in the partner's domain."""
    know(rooms, issued().certificate, card_certificate=rooms.cast.identity("gp").certificate)
    assert told(rooms)[:2] == ("notice", "D2R-CRT01")


def test_never_outside_the_domains(rooms: Rooms) -> None:
    """The partner's anchors vouch for no mailbox outside the partner's domains."""
    pair = issued(san=("labo@autre.example",))
    with rooms.services.database.begin() as conn:
        conn.execute(
            update(accounts)
            .where(accounts.c.mailbox == BOX)
            .values(mailbox="labo@autre.example", encryption_certificate=pair.certificate)
        )
    rooms.deposit()
    rooms.work()
    (box,) = [one for one in rooms.deliveries() if one.mailbox == "labo@autre.example"]
    assert (box.kind, box.reason) == ("notice", "D2R-CRT01")


@pytest.mark.parametrize(("opposed", "expected"), [(True, ("notice", "D2R-CRT01")), (False, ("report", None))])
def test_opposed_by_the_partner(opposed: bool, expected: tuple[str, str | None], instance: Path) -> None:
    """A certificate on the partner's own list is not encrypted to; one that is not on it, is (R-REVOC)."""
    (instance / "partenaire.crl").write_bytes(opposing(issued() if opposed else issued(san=("x@dcc.example",))))
    for rooms in rooms_of(instance, TOLD + 'crls = ["partenaire.crl"]\n'):
        know(rooms, issued().certificate)
        assert told(rooms)[:2] == expected


def write(rooms: Rooms, signer: KeyPair) -> MessageState:
    """How a result of the partner ends."""
    cast, at = rooms.cast, rooms.clock.at
    body = entity(cast, Draft("automaton", "main", type_code="11502-2"), at, os.urandom)
    inner = signed_entity(body, ClientIdentity(signer.certificate, signer.key, signer.chain[:1]), opaque=False)
    to = cast.folder("main")["address"]
    envelope = Envelope(BOX, to, "Resultat", at, f"<{os.urandom(8).hex()}@dcc.example>")
    raw = enveloped_mail(inner, [cast.gateway_certificate()], envelope, os.urandom, shape="outlook")
    taken = rooms.take(raw, BOX, to)
    rooms.work()
    return rooms.message(taken).state


def test_the_report_of_a_partners_mail(rooms: Rooms) -> None:
    """`dcc message report` judges a partner's mail as the gateway did: by address, with the partner's anchors."""
    assert write(rooms, issued()) is MessageState.FILED
    config = rooms.services.settings.directory / "dcc.toml"
    (message,) = dcc("message", "list", "-c", config, "--json").json
    told = dcc("message", "report", message["id"], "-c", config, "--json")
    assert (told.code, told.json["outcome"], told.json["profile"]) == (0, "authentic", "address")
    assert told.json["signer"]["addresses"] == [BOX]


def test_learned_from_a_verified_mail(rooms: Rooms) -> None:
    """A partner who signs with a certificate that also deciphers is written to with it from then on (RFC 8551 §2.7.2)."""
    assert write(rooms, issued()) is MessageState.FILED
    assert known(rooms) == issued().certificate
    assert rooms.audited("mail:account:encryption_certificate_seen") == [None]
    kind, reason, mails = told(rooms)
    assert (kind, reason) == ("report", None)
    assert len(mails) == 2  # the acknowledgement and the report, both sealed
    assert [open_message(io.BytesIO(one), keys=[issued()]).problem for one in mails] == [None, None]


def test_nothing_is_learned_that_is_not_usable(rooms: Rooms) -> None:
    """A signature certificate alone teaches nothing, and an older certificate does not replace one that is good."""
    assert write(rooms, throwaway.pair(who="labo")) is MessageState.FILED
    assert known(rooms) is None
    know(rooms, issued().certificate)
    assert write(rooms, issued(start=-3)) is MessageState.FILED
    assert known(rooms) == issued().certificate
    know(rooms, issued(start=-400).certificate)  # ended
    assert write(rooms, issued(start=-3)) is MessageState.FILED
    assert known(rooms) == issued(start=-3).certificate


def test_enrolled_with_a_certificate(rooms: Rooms, tmp_path: Path) -> None:
    """`dcc account partner --certificate` takes a certificate that the partner's anchors vouch for, and no other."""
    config = rooms.services.settings.directory / "dcc.toml"
    network = rooms.cast.folder("main")["network"]
    mine, other = issued(san=("deux@dcc.example",)), issued(issuer="AC INCONNUE", san=("deux@dcc.example",))
    (tmp_path / "mine.pem").write_bytes(throwaway.pem(mine.certificate))
    (tmp_path / "other.pem").write_bytes(throwaway.pem(other.certificate))
    (tmp_path / "none.pem").write_bytes(b"nothing")
    command = (
        "account",
        "partner",
        "deux@dcc.example",
        "--structure",
        "10B0057881",
        "-c",
        config,
        "--network",
        network,
    )
    refused = dcc(*command, "--certificate", tmp_path / "other.pem")
    assert (refused.code, "UNTRUSTED_CHAIN" in refused.err) == (1, True)
    assert dcc(*command, "--certificate", tmp_path / "none.pem").code == 2
    done = dcc(*command, "--certificate", tmp_path / "mine.pem", "--json")
    assert (done.code, done.json["encryption_certificate"]) == (0, True)
    shown = dcc("directory", "show", "deux@dcc.example", "-c", config, "--json")
    assert (shown.code, shown.json["source"]) == (0, "enrolled")
