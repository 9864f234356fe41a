"""The post-quantum switch by its commands and its setting: off, refused by name; on, sealed, opened, believed."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from sqlalchemy import update

import throwaway
from dcc.gateway.clients import signed_entity
from dcc.gateway.demo_deposits import Draft, entity
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox.records import MessageState
from dcc.mailbox.schema import accounts
from dcc.smime import der, kem
from dcc.smime.certificates import parts
from dcc.smime.keys import KeyPair, KeyUnreadable, load_key_file
from dcc.smime.open import open_message
from forge import enveloped_data
from inprocess import Recorder, Rooms
from terminal import Done, dcc
from throwaway import ENCRYPT, PASSWORD, pair, part

ON = "--post-quantum"
MAIL = (
    b"From: gateway@dcc.example\r\nTo: reader@dcc.example\r\nSubject: Essai\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=us-ascii\r\n\r\nBonjour\r\n"
)
CMS = "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m"
KEY = bytes(range(32))


def pem_file(one: KeyPair, password: str = PASSWORD) -> bytes:
    """A key with its certificate and chain in one PEM file, as people get it from openssl."""
    key: Any = one.key
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    return b"".join(map(throwaway.pem, one.chain)) + throwaway.pem(one.certificate) + bytes(secret)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A mail, and for each kind the signer's file, the reader's file and the reader's certificate."""
    (tmp_path / "mail.eml").write_bytes(MAIL)
    (tmp_path / "root.pem").write_bytes(throwaway.pem(throwaway.root()))
    for kind in ("rsa", "ml-dsa-65", "ml-dsa-87"):
        (tmp_path / f"{kind}.sign").write_bytes(pem_file(pair(kind)))
    for kind in ("rsa", "ml-kem-768", "ml-kem-1024"):
        one = pair(kind, ENCRYPT, "reader")
        (tmp_path / f"{kind}.key").write_bytes(pem_file(one))
        (tmp_path / f"{kind}.cer").write_bytes(throwaway.pem(one.certificate))
    return tmp_path


def seal(folder: Path, signer: str, reader: str, *options: str) -> Done:
    files = ("--signer", folder / f"{signer}.sign", "--password", PASSWORD, "--recipient", folder / f"{reader}.cer")
    return dcc("seal", folder / "mail.eml", *files, "--out", folder / "sealed.eml", *options)


def opened(folder: Path, reader: str, *options: str) -> Done:
    judged = ("--profile", "address", "--trust", folder / "root.pem", "--no-revocation", "--json")
    key = ("--key", folder / f"{reader}.key", "--password", PASSWORD)
    return dcc("open", folder / "sealed.eml", *judged, *key, *options)


@pytest.mark.parametrize(
    ("signer", "reader", "refused_for"),
    [
        ("ml-dsa-65", "ml-kem-768", "ml-kem-768"), ("ml-dsa-87", "ml-kem-1024", "ml-kem-1024"),
        ("rsa", "ml-kem-768", "ml-kem-768"), ("ml-dsa-65", "rsa", "ml-dsa-65"),
    ],
)  # fmt: skip
def test_sealed_and_opened(signer: str, reader: str, refused_for: str, folder: Path) -> None:
    """With the option the commands seal, open and believe; without it nothing is sealed, and what is sealed is refused with
    the code and the name of the algorithm (RFC 9882, RFC 9936)."""
    without = seal(folder, signer, reader)
    assert (without.code, (folder / "sealed.eml").exists()) == (1, False)
    assert seal(folder, signer, reader, ON).code == 0
    done = opened(folder, reader, ON)
    assert (done.code, done.json["outcome"], done.json["trusted"]) == (0, "authentic", True)
    assert done.json["layers"][0]["algorithms"]["key"] == ("rsa" if reader == "rsa" else reader)
    assert done.json["signatures"][0]["signature"] == signer
    refused = opened(folder, reader)
    assert (refused.code, refused.json["reason"], refused.json["detail"]) == (1, "D2R-ALG02", refused_for)
    assert refused.json["content"] is None
    assert refused.json["rule"]["name"] == "R-ALGO"


@pytest.mark.parametrize("kind", ["ml-dsa-65", "ml-kem-768", "rsa"])
def test_key_files(kind: str) -> None:
    """A PEM file holds the key, its certificate and the chain in any order; a wrong password, no key or no certificate of the
    key is an unreadable file (R-KEYS)."""
    one = pair(kind, ENCRYPT if "kem" in kind else throwaway.SIGN, "reader")
    data = pem_file(one)
    found = load_key_file(data, PASSWORD.encode())
    assert (found.certificate, set(found.chain)) == (one.certificate, set(one.chain))
    others = b"".join(map(throwaway.pem, one.chain))
    alone = data[data.index(b"-----BEGIN ENCRYPTED") :]
    for wrong, password in ((data, b"wrong"), (data, None), (alone, PASSWORD.encode()), (others, None),
                            (others + alone, PASSWORD.encode()), (b"-----BEGIN", None)):  # fmt: skip
        with pytest.raises(KeyUnreadable):
            load_key_file(wrong, password)


@contextmanager
def gateway(instance: Path, *, on: bool) -> Iterator[Rooms]:
    """A gateway with an ML-KEM key beside its own."""
    (instance / "keys/kem.pem").write_bytes(pem_file(pair("ml-kem-768", ENCRYPT, "passerelle"), "demonstration"))
    config = instance / "dcc.toml"
    told = config.read_text(encoding="utf-8")
    told = told.replace(
        'decryption = ["keys/dechiffrement.p12"]', 'decryption = ["keys/dechiffrement.p12", "keys/kem.pem"]'
    )
    config.write_text(told + ("\n[smime]\npost_quantum = true\n" if on else ""), encoding="utf-8")
    with open_services(load_settings(config, {})) as services:
        yield Rooms(services)


def encapsulated(rooms: Rooms) -> tuple[MessageState, str | None]:
    """How a deposit ends that is encrypted to the gateway's ML-KEM key."""
    cast, to = rooms.cast, pair("ml-kem-768", ENCRYPT, "passerelle")
    draft = Draft("coordinator", "main")
    signed = signed_entity(entity(cast, draft, rooms.clock.at, os.urandom), cast.identity("coordinator"), opaque=False)
    key: Any = to.key
    cut = parts(to.certificate)
    info = kem.recipient_info(der.sequence(cut.issuer, der.integer(cut.serial)), key.public_key(), KEY)
    sender, folder = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
    date = format_datetime(rooms.clock.at)
    head = f"From: {sender}\r\nTo: {folder}\r\nSubject: [...]\r\nDate: {date}\r\nMIME-Version: 1.0\r\n".encode()
    taken = rooms.take(head + part(CMS, enveloped_data(signed, [info], cek=KEY)), sender, folder)
    rooms.work()
    found = rooms.message(taken)
    return found.state, found.reason_code


def test_the_gateway_reads_with_its_setting(instance: Path) -> None:
    """smime.post_quantum = true: a deposit encrypted to the gateway's ML-KEM key is filed."""
    with gateway(instance, on=True) as rooms:
        assert encapsulated(rooms) == (MessageState.FILED, None)


def test_the_gateway_refuses_without_its_setting(instance: Path) -> None:
    """By default the same deposit is refused with its reason, which names the algorithm to the operator."""
    with gateway(instance, on=False) as rooms:
        assert encapsulated(rooms) == (MessageState.REFUSED, "D2R-ALG02")
        config = rooms.services.settings.directory / "dcc.toml"
        (message,) = dcc("message", "list", "-c", config, "--json").json
        shown = dcc("message", "show", message["id"], "-c", config, "--json").json
        assert "ml-kem-768" in shown["reason"]["operator"]


@pytest.mark.parametrize("on", [True, False])
def test_a_reader_with_an_ml_kem_certificate(on: bool, instance: Path) -> None:
    """With the setting a reader's report is sealed for ML-KEM; without it the reader gets a notice without content."""
    told = '[[partners]]\nname = "Essai"\ndomains = ["dcc.example"]\ncertificates = ["p.pem"]\nrevocation = false\n'
    (instance / "p.pem").write_bytes(throwaway.pem(throwaway.root()) + throwaway.pem(throwaway.intermediate()))
    config = instance / "dcc.toml"
    with gateway(instance, on=on):
        config.write_text(config.read_text(encoding="utf-8") + told, encoding="utf-8")
    reader = pair("ml-kem-768", ENCRYPT, "reader")
    with open_services(load_settings(config, {})) as services:
        rooms = Rooms(services)
        mailbox = rooms.cast.person("automaton")["mailbox"]
        with services.database.begin() as conn:
            conn.execute(
                update(accounts)
                .where(accounts.c.mailbox == mailbox)
                .values(mailbox="reader@dcc.example", card_certificate=None, encryption_certificate=reader.certificate)
            )
        rooms.deposit()
        rooms.work()
        relay = Recorder()
        while rooms.announcer(relay).run_once():
            pass
        (mail,) = relay.to("reader@dcc.example")
        (owed,) = [one for one in rooms.deliveries() if one.mailbox == "reader@dcc.example"]
    if not on:
        assert (owed.kind, owed.reason, b"pkcs7-mime" in mail) == ("notice", "D2R-CRT01", False)
        return
    found = open_message(io.BytesIO(mail), keys=[reader], post_quantum=True)
    assert (owed.kind, found.problem, found.layers[0].algorithms["key"]) == ("report", None, "ml-kem-768")
