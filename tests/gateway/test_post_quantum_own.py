"""The gateway's own keys behind the post-quantum switch: it signs with ML-DSA and is written to under ML-KEM (decision 0020)."""

from __future__ import annotations

import io
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dcc.cards.issue import LookAlikePki
from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import BIOLOGY, RCP, Draft, document
from dcc.gateway.depositing import build_deposit
from dcc.gateway.running import serving
from dcc.gateway.services import Services, open_database, open_services
from dcc.gateway.settings import load_settings
from dcc.gateway.submission import wait_for_mails
from dcc.mailbox.auditverify import verify
from dcc.smime.keys import KeyPair, load_key_file, post_quantum_name, written
from dcc.smime.open import open_message
from demoinstance import DemoInstance
from inprocess import Recorder, Rooms
from terminal import dcc
from throwaway import GENERATED, PASSWORD, pair
from workedinstance import SECONDS, deposit

ON = "--post-quantum"
PASSPHRASE = b"demonstration"  # of the key files of a demo instance
UNREAD = "aucun logiciel de messagerie que nous connaissons ne"


def own(demo: DemoInstance, kind: str, usage: Any) -> KeyPair:
    """A certificate of the gateway's organisation for a key of this kind, by the demo's authority."""
    pki = LookAlikePki(demo.issued.pki.roots, demo.issued.pki.authorities, GENERATED[kind].generate)
    made = pki.issue_organisation(
        idnst="10B0057881", name="RESEAU DE DEMONSTRATION", department="Paris (75)", common_name="passerelle",
        usage=usage, not_before=demo.now - timedelta(days=1), not_after=demo.now + timedelta(days=700),
        addresses=("passerelle@dcc.example",),
    )  # fmt: skip
    return KeyPair(made.certificate, made.key, made.chain[:1])


def switched(config: Path, *, on: bool) -> None:
    """Write the setting."""
    text = re.sub(r"\n\[smime\]\npost_quantum = \w+\n", "", config.read_text(encoding="utf-8"))
    config.write_text(f"{text}\n[smime]\npost_quantum = {str(on).lower()}\n", encoding="utf-8")


def put(instance: Path, pair: KeyPair, use: str) -> Path:
    """Let the instance use this key, without `dcc key import`."""
    (instance / f"keys/own-{use}.pem").write_bytes(written(pair, "own", PASSPHRASE)[0])
    old = {"signing": '"keys/signature.p12"', "decryption": '["keys/dechiffrement.p12"'}[use]
    new = {"signing": '"keys/own-signing.pem"', "decryption": '["keys/own-decryption.pem", "keys/dechiffrement.p12"'}[
        use
    ]
    config = instance / "dcc.toml"
    config.write_text(config.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    return config


def behind(config: Path) -> None:
    """Let the key that `put` put first stand behind the older one."""
    new, old = '"keys/own-decryption.pem"', '"keys/dechiffrement.p12"'
    text = config.read_text(encoding="utf-8")
    assert f"{new}, {old}" in text
    config.write_text(text.replace(f"{new}, {old}", f"{old}, {new}"), encoding="utf-8")


def imported(instance: Path, pair: KeyPair, use: str, folder: Path) -> Any:
    """`dcc key import` of a key as an authority hands it out: with a password of its own."""
    (folder / "key").write_bytes(written(pair, "new", PASSWORD.encode())[0])
    (folder / "password").write_text(PASSWORD, encoding="ascii")
    options = ("-c", instance / "dcc.toml", "--use", use, "--password-file", folder / "password", "--json")
    return dcc("key", "import", folder / "key", *options)


def mails(instance: Path, cast: Cast, person: str) -> list[Path]:
    return list((instance / "sink" / cast.person(person)["mailbox"] / "new").iterdir())


def test_the_main_job_with_post_quantum_keys(instance: Path, demo: DemoInstance, tmp_path: Path) -> None:
    """Both keys are imported; a deposit sealed for ML-KEM is filed, and its reader believes a mail signed with ML-DSA-65.

    The audit trail stands on the new certificate, and the deposit can be proved again.
    """
    signing, decryption = own(demo, "ml-dsa-65", "SIGN"), own(demo, "ml-kem-768", "CONF")
    config = instance / "dcc.toml"
    switched(config, on=True)
    for use, one in (("signing", signing), ("decryption", decryption)):
        taken = imported(instance, one, use, tmp_path)
        assert taken.code == 0, taken.err
        assert UNREAD in taken.err
        assert taken.json["place"].endswith(".pem")
        assert b"-----BEGIN ENCRYPTED PRIVATE KEY-----" in (instance / taken.json["place"]).read_bytes()
    told = dcc("check-config", "-c", config, "--json")
    assert told.code == 0, told.json
    assert [one.partition(" : ")[0] for one in told.json["warnings"] if UNREAD in one] == [
        "keys.signing",
        "keys.decryption",
    ]
    listed = dcc("key", "list", "-c", config, "--json").json["keys"]
    assert [(one["use"], one["algorithm"]) for one in listed] == [
        ("signing", "ml-dsa-65"), ("decryption", "ml-kem-768"), ("decryption", "rsa"),
    ]  # fmt: skip

    cast = Cast.load(instance)
    source = tmp_path / "report.xml"
    now = datetime.now(UTC).replace(microsecond=0)
    source.write_bytes(document(cast, Draft("coordinator", "main", RCP), now, os.urandom))
    with serving(config, log=instance / "run" / "journal.log"):
        filed = deposit(cast, config, [source], "coordinator", cast.folder("main")["address"])
        with open_database(load_settings(config, {})) as database:
            assert wait_for_mails(database, seconds=float(SECONDS))
    assert (filed.code, filed.json["state"]) == (0, "filed"), filed.err

    (mail,) = mails(instance, cast, "oncologist")
    reader = cast.person("oncologist")["encryption"]
    trust = [part for one in cast.told["anchors"] for part in ("--trust", instance / one)]
    lists = [part for one in cast.told["crls"] for part in ("--crl", instance / one)]
    key = ("--key", instance / reader["p12"], "--password", reader["password"])
    read = dcc("open", mail, *trust, *lists, *key, ON, "--json")
    assert (read.code, read.json["outcome"], read.json["trusted"]) == (0, "authentic", True), read.raw
    (signature,) = read.json["signatures"]
    assert (signature["signature"], signature["digest"]) == ("ml-dsa-65", "sha512")
    refused = dcc("open", mail, *trust, *lists, *key, "--json")
    assert (refused.code, refused.json["reason"], refused.json["detail"]) == (1, "D2R-ALG02", "ml-dsa-65")
    with mail.open("rb") as octets:
        found = open_message(octets, keys=[cast.pair("oncologist", "encryption")], post_quantum=True)
    assert found.signers[0].certificate == signing.certificate
    assert found.signers[0].encryption_key_preference == decryption.certificate
    found.close()

    assert dcc("audit", "verify", "-c", config).code == 0
    again = dcc("message", "reverify", filed.json["id"], "-c", config, "--json")
    assert (again.code, again.json["signature"], again.json["confirmed"]) == (0, True, True)


@pytest.mark.parametrize("kind", ["ml-dsa-65", "ml-dsa-87", "ed25519"])
def test_what_each_kind_of_key_signs(kind: str, instance: Path, demo: DemoInstance) -> None:
    """Reports, notices and the audit trail are signed with a key of this kind; Ed25519 needs no switch."""
    config = put(instance, own(demo, kind, "SIGN"), "signing")
    switched(config, on=kind != "ed25519")
    with open_services(load_settings(config, {})) as services:
        rooms = opened_trail(services)
        rooms.deposit(Draft("automaton", "main", BIOLOGY))
        rooms.work()
        relay = Recorder()
        while rooms.announcer(relay).run_once():
            pass
        (report,) = relay.to(rooms.cast.person("oncologist")["mailbox"])
        (notice,) = relay.to(rooms.cast.person("no_encryption")["mailbox"])
        for mail in (report, notice):
            found = open_message(
                io.BytesIO(mail), keys=[rooms.cast.pair("oncologist", "encryption")], post_quantum=True
            )
            assert (found.problem, found.intact, found.encrypted) == (None, True, mail is report)
            assert found.signers[0].signature_algorithm == kind
            assert found.signers[0].certificate == services.keys.signing.certificate
            found.close()
        with services.database.read() as conn:
            assert verify(conn, services.keys.signing.certificate).ok
            assert not verify(conn, own(demo, kind, "SIGN").certificate).ok, "another key vouches for nothing"


def opened_trail(services: Services) -> Rooms:
    """As `dcc serve` begins: the trail announces the new certificate."""
    rooms = Rooms(services)
    with services.database.begin() as conn:
        services.audit.open(conn, rooms.clock.at)
    return rooms


@pytest.mark.parametrize(
    ("use", "kind", "usage"), [("signing", "ml-dsa-65", "SIGN"), ("decryption", "ml-kem-768", "CONF")]
)
def test_switched_off(use: str, kind: str, usage: str, instance: Path, demo: DemoInstance, tmp_path: Path) -> None:
    """By default such a key is refused in one line: at its import (1), by check-config, at the start, by every command (78)."""
    before = (instance / "dcc.toml").read_bytes(), sorted((instance / "keys").iterdir())
    said = f"une clé {kind} demande smime.post_quantum = true"
    one = own(demo, kind, usage)
    taken = imported(instance, one, use, tmp_path)
    assert (taken.code, taken.out, taken.err) == (1, "", f"refusé : {said}\n")
    assert ((instance / "dcc.toml").read_bytes(), sorted((instance / "keys").iterdir())) == before
    config = put(instance, one, use)
    for command in (("check-config",), ("serve",), ("key", "list")):
        done = dcc(*command, "-c", config)
        lines = [line for line in done.err.splitlines() if not line.startswith("à surveiller : ")]
        assert (done.code, done.out, lines) == (78, "", [f"keys.{use} : {said}"])
    switched(config, on=True)
    assert dcc("check-config", "-c", config).code == 0


def test_an_older_key_of_a_kind_that_is_switched_off(instance: Path, demo: DemoInstance) -> None:
    """Behind the key that is announced it does no harm: the gateway runs, and the operator is told what it is worth."""
    config = put(instance, own(demo, "ml-kem-768", "CONF"), "decryption")
    behind(config)
    told = dcc("check-config", "-c", config, "--json")
    assert told.code == 0
    (line,) = [one for one in told.json["warnings"] if "ml-kem-768" in one]
    assert "D2R-ALG02" in line


def test_what_was_taken_with_the_switch_is_proved_without_it(instance: Path, demo: DemoInstance) -> None:
    """A deposit that was encrypted for ML-KEM is read again by `dcc message reverify` after the switch was put off."""
    config = put(instance, own(demo, "ml-kem-768", "CONF"), "decryption")
    switched(config, on=True)
    with open_services(load_settings(config, {})) as services:
        rooms = Rooms(services)
        message = rooms.take(*sealed_for(rooms, services.keys.decryption[0].certificate))
        rooms.work()
        assert rooms.message(message).state.value == "filed"
    behind(config)
    switched(config, on=False)
    again = dcc("message", "reverify", message, "-c", config, "--json")
    assert (again.code, again.json["signature"], again.json["confirmed"]) == (0, True, True), again.err


def sealed_for(rooms: Rooms, certificate: bytes) -> tuple[bytes, str, str]:
    """A coordinator's deposit for this key of the gateway's, as `dcc deposit` makes it, with its envelope."""
    cast = rooms.cast
    sender, folder = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
    source = rooms.services.settings.directory / "report.xml"
    source.write_bytes(document(cast, Draft("coordinator", "main", RCP), rooms.clock.at, os.urandom))
    mail = build_deposit(
        [source], sender=sender, recipient=folder, signer=cast.pair("coordinator"), gateway_certificate=certificate,
        now=rooms.clock.at, random_bytes=os.urandom, post_quantum=True,
    )  # fmt: skip
    return mail, sender, folder


@pytest.mark.parametrize("kind", ["rsa", "ml-dsa-65"])
@pytest.mark.parametrize("password", [None, b"secret"])
def test_a_key_is_written_as_it_is_read(kind: str, password: bytes | None) -> None:
    """PKCS#12 where it can hold the key, else PEM: key, certificate and chain come back (R-KEYS)."""
    one = pair(kind)
    octets, ending = written(one, "name", password)
    assert ending == ("p12" if kind == "rsa" else "pem")
    found = load_key_file(octets, password)
    assert (found.certificate, set(found.chain)) == (one.certificate, set(one.chain))
    assert found.key.public_key() == one.key.public_key()


def test_which_keys_are_behind_the_switch() -> None:
    """Every ML-DSA and ML-KEM key by its name, and no other."""
    names = ["rsa", "p256", "ed25519", "x25519", "ml-dsa-65", "ml-dsa-87", "ml-kem-768", "ml-kem-1024"]
    assert [post_quantum_name(pair(one)) for one in names] == [one if one.startswith("ml-") else None for one in names]


def test_a_key_that_does_not_sign(instance: Path) -> None:
    """A key of another kind as `keys.signing` is one line of check-config, not a failure at the first mail."""
    config = put(instance, pair("x25519"), "signing")
    done = dcc("check-config", "-c", config, "--json")
    assert done.code == 78
    assert any(one.startswith("keys.signing : cette clé ne signe pas") for one in done.json["problems"])
