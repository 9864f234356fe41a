"""Who is behind an address, and which certificate encrypts to them (facts/cards §10)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from dcc.cards.issue import LookAlikePki
from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import BIOLOGY, Draft
from dcc.gateway.directory import bundled
from dcc.gateway.services import open_database
from dcc.gateway.settings import load_settings
from dcc.mailbox import directory, people
from inprocess import Rooms
from peopledirectory import FhirServer, fhir_people, ldap_people, practitioner
from terminal import Done, dcc

HEADER = (
    "Type de BAL|Adresse BAL|Type Identifiant PP|Identifiant PP|Identification nationale PP|Type identifiant structure|"
    "Identification Structure|Nom d'exercice|Prénom d'exercice|Code Profession|Raison Sociale structure BAL|Pays"
)
NOBODY = "personne@medecin.mssante.fr"


def person(number: int) -> str:
    address = f"Nom.Prenom{number}@medecin.mssante.fr"
    return f"PER|{address}|8|99700{number:06}|899700{number:06}|||NOM{number}|PRÉNOM|10||France"


ORGANISATION = "ORG|accueil@chu.mssante.fr||||FINESS|0B0057881||||CHU D'ESSAI|France"


def extraction(path: Path, lines: list[str], *, zipped: bool = True) -> Path:
    text = ("\ufeff" + "\n".join([HEADER, *lines]) + "\n").encode()
    if zipped:
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("Extraction_Correspondance_MSSante_202601010800.txt", text)
        text = held.getvalue()
    path.write_bytes(text)
    return path


def entries(instance: Path, address: str) -> list[directory.Entry]:
    with open_database(load_settings(instance / "dcc.toml")) as database, database.read() as conn:
        return directory.by_address(conn, address)


def take(instance: Path, file: Path, *options: str) -> Done:
    return dcc("directory", "import", file, "-c", instance / "dcc.toml", "--json", *options)


@pytest.mark.parametrize("zipped", [True, False])
def test_import(instance: Path, tmp_path: Path, zipped: bool) -> None:
    """Persons and organisations of the extraction are found by address, in any case; bad lines are counted."""
    lines = [person(1), ORGANISATION, person(1), "PER|no address||||||||||", "XXX|a@b||||||||||", "short"]
    done = take(instance, extraction(tmp_path / "file", lines, zipped=zipped))
    assert done.code == 0, done.err
    assert (done.json["entries"], done.json["skipped"]) == (3, 3)
    found = entries(instance, "NOM.prenom1@medecin.MSSANTE.fr")
    assert len(found) == 2, "an address may be listed more than once"
    assert found[0] == directory.Entry(
        "nom.prenom1@medecin.mssante.fr", "PER", "899700000001", None, "NOM1", "PRÉNOM", "10", None
    )
    (organisation,) = entries(instance, "accueil@chu.mssante.fr")
    assert (organisation.structure, organisation.structure_name) == ("10B0057881", "CHU D'ESSAI")


def test_the_former_one_answers_until_the_end(instance: Path, tmp_path: Path) -> None:
    """An import comes in lots; before its end the former one answers, afterwards only the new one is kept."""
    assert take(instance, extraction(tmp_path / "one", [person(1)])).code == 0
    settings = load_settings(instance / "dcc.toml")
    with open_database(settings) as database:
        name = directory.begin(database, datetime.now(UTC))
        rows: Any = ({"address": f"a{n}@b", "kind": "PER"} for n in range(directory.LOT * 2 + 1))
        full: Any = ({**dict.fromkeys(directory.Entry.__slots__), **one} for one in rows)
        assert list(directory.add(database, name, full)) == [5000, 10_000, 10_001]
        with database.read() as conn:
            assert directory.by_address(conn, "a1@b") == []
            assert len(directory.by_national_id(conn, "899700000001")) == 1
        directory.put_in_force(database, name, 10_001, "")
        with database.read() as conn:
            assert len(directory.by_address(conn, "a1@b")) == 1
            assert directory.by_national_id(conn, "899700000001") == []
            assert directory.count(conn) == 10_001


@pytest.mark.parametrize("damage", ["cut", "crc", "header", "fewer", "empty", "two", "latin"])
def test_a_file_that_is_not_taken(instance: Path, tmp_path: Path, damage: str) -> None:
    """A damaged, foreign or much shorter file is refused in a sentence; the former directory still answers."""
    assert take(instance, extraction(tmp_path / "good", [person(n) for n in range(1, 9)])).code == 0
    file = extraction(tmp_path / "bad", [person(n) for n in range(20)])
    octets = file.read_bytes()
    if damage == "cut":
        file.write_bytes(octets[:-40])
    elif damage == "crc":
        file.write_bytes(octets[:150] + bytes([octets[150] ^ 1]) + octets[151:])
    elif damage == "header":
        file.write_text("a|b|c\n1|2|3\n", encoding="ascii")
    elif damage in {"fewer", "empty"}:
        extraction(file, [person(1)] if damage == "fewer" else [])
    elif damage == "two":
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr("autre.txt", "x")
    else:
        file.write_bytes(f"{HEADER}\n{person(1)}\n".encode("latin-1"))
    done = take(instance, file)
    assert (done.code, done.out) == (1, "")
    assert "l'annuaire d'avant reste" in done.err
    assert "NOM1" not in done.err
    assert len(entries(instance, "nom.prenom1@medecin.mssante.fr")) == 1
    if damage == "fewer":
        assert take(instance, file, "--fewer").code == 0
        assert entries(instance, "nom.prenom2@medecin.mssante.fr") == []


@pytest.fixture
def fhir() -> Iterator[FhirServer]:
    """A FHIR directory."""
    with fhir_people() as server:
        yield server


def configure(instance: Path, *, ldap: str | None = None, fhir: str | None = None) -> None:
    lines = ["\n[address_book]"]
    lines += [f'ldap_urls = ["{ldap}"]'] if ldap else []
    lines += [f'fhir_url = "{fhir}"', 'api_key_file = "keys/api"'] if fhir else []
    (instance / "keys" / "api").write_text("cle-de-test\n", encoding="ascii")
    with (instance / "dcc.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def show(instance: Path, address: str, *options: str | Path) -> Done:
    return dcc("directory", "show", address, "-c", instance / "dcc.toml", "--json", *options)


def outcomes(done: Done) -> list[tuple[str, str]]:
    return [(one["source"], one["outcome"]) for one in done.json["tried"]]


def test_enrolled_first(instance: Path, tmp_path: Path) -> None:
    """Who has enrolled a certificate is asked nowhere else; it can be written to a file."""
    configure(instance, ldap="ldap://127.0.0.1:1/o=dcc")
    cast = Cast.load(instance)
    done = show(instance, cast.person("oncologist")["mailbox"], "--out", tmp_path / "found.pem")
    assert (done.code, done.json["source"], outcomes(done)) == (0, "enrolled", [("enrolled", "found")])
    assert (tmp_path / "found.pem").read_text(encoding="ascii").startswith("-----BEGIN CERTIFICATE")


def test_nobody_knows(instance: Path) -> None:
    """Without a certificate anywhere the answer is none (exit 1); with a source that is silent, unknown (exit 3)."""
    assert show(instance, NOBODY).code == 1
    configure(instance, ldap="ldap://127.0.0.1:1/o=dcc")
    done = show(instance, NOBODY)
    assert (done.code, done.json["certificate"]) == (3, None)
    assert outcomes(done) == [("enrolled", "absent"), ("ldap", "unreachable")]


@pytest.mark.peer("slapd")
def test_ldap(instance: Path, tmp_path: Path, fhir: FhirServer) -> None:
    """LDAP gives the certificate made for encryption, and no signing or foreign one; FHIR is then not asked."""
    cast = Cast.load(instance)
    now = datetime.now(UTC).replace(microsecond=0)
    foreign = LookAlikePki.create(now).issue_person_software(
        idnps="899700523527", family_name="ESSAI", given_name="ANNE", usage="CONF", addresses=("x@dcc.example",),
        not_before=now - timedelta(days=1), not_after=now + timedelta(days=3650),
    )  # fmt: skip
    good = cast.pair("oncologist", "encryption").certificate
    card = cast.pair("oncologist", "card").certificate
    with ldap_people(
        tmp_path / "ldap", {NOBODY: [card, foreign.certificate, good], "autre@dcc.example": [card]}
    ) as url:
        configure(instance, ldap=url, fhir=fhir.url)
        done = show(instance, NOBODY)
        assert (done.code, done.json["source"]) == (0, "ldap")
        assert outcomes(done) == [("enrolled", "absent"), ("ldap", "found")]
        other = show(instance, "autre@dcc.example")
        assert other.code == 1
        assert outcomes(other) == [("enrolled", "absent"), ("ldap", "unusable"), ("fhir", "absent")]
        assert outcomes(show(instance, "absent@dcc.example"))[1] == ("ldap", "absent")


def test_fhir(instance: Path, fhir: FhirServer) -> None:
    """The FHIR directory says who it is; a certificate only when the resource carries one."""
    configure(instance, fhir=fhir.url)
    fhir.resources.append(practitioner(NOBODY, "899700523527"))
    done = show(instance, NOBODY)
    assert done.code == 1
    assert done.json["fhir"] == [
        {"kind": "Practitioner", "national_id": "899700523527", "family_name": "ESSAI", "given_name": "Anne", "name": None}
    ]  # fmt: skip
    good = Cast.load(instance).pair("oncologist", "encryption").certificate
    fhir.resources[0] = practitioner(NOBODY, "899700523527", good)
    done = show(instance, NOBODY)
    assert (done.code, done.json["source"]) == (0, "fhir")


def test_a_fhir_server_that_answers_with_others(instance: Path, fhir: FhirServer) -> None:
    """Resources of other mailboxes are not taken: a search that was ignored gives nobody's certificate to another."""
    good = Cast.load(instance).pair("oncologist", "encryption").certificate
    fhir.resources.append(practitioner("autre@medecin.mssante.fr", "899700523527", good))
    fhir.ignores_search = True
    configure(instance, fhir=fhir.url)
    done = show(instance, NOBODY)
    assert (done.code, done.json["fhir"]) == (1, [])


@pytest.mark.parametrize(
    "broken",
    [
        b"<html>",
        b"[]",
        b'{"resourceType": "OperationOutcome"}',
        b"key",
        b'{"resourceType": "Bundle", "entry": [1]}',
        b"base64",
    ],
)
def test_a_fhir_server_that_fails(instance: Path, fhir: FhirServer, broken: bytes) -> None:
    """An error, another document or a refused key is "could not find out", which is not "none"."""
    configure(instance, fhir=fhir.url)
    if broken == b"key":
        fhir.key = "another"
    elif broken == b"base64":
        fhir.resources.append(practitioner(NOBODY, "899700523527", b"x"))
        fhir.resources[0]["extension"][0]["extension"][0]["valueBase64Binary"] = "a"
    else:
        fhir.broken = broken
    done = show(instance, NOBODY)
    assert (done.code, outcomes(done)[1]) == (3, ("fhir", "unreachable"))


def test_bundled_certificates() -> None:
    """From a mail only a separate encryption certificate of the signer's own structure is taken."""
    now = datetime.now(UTC).replace(microsecond=0)
    pki = LookAlikePki.create(now)

    def made(usage: Any, idnst: str) -> bytes:
        return pki.issue_organisation(
            idnst=idnst, name="ESSAI", department="Paris (75)", common_name=usage, usage=usage,
            not_before=now - timedelta(days=1), not_after=now + timedelta(days=9),
        ).certificate  # fmt: skip

    signer, mine, other = made("SIGN", "10B0152872"), made("CONF", "10B0152872"), made("CONF", "10B0057881")
    assert bundled(signer, [signer, made("AUTH_CLI", "10B0152872"), other, b"junk", mine]) == [mine]
    assert bundled(signer, [signer, other]) == []
    card = pki.issue_card(
        "CPS", idnps="899700523527", family_name="A", given_name="B", not_before=now, not_after=now + timedelta(days=9),
        card_number="8025000001/2800000001", profession=10,
    )  # fmt: skip
    assert bundled(card.signature.certificate, [mine]) == [], "a CPS names no structure"


def test_harvest(rooms: Rooms) -> None:
    """A verified mail of an organisation that bundles its encryption certificate gives it; nobody else's mail does."""
    instance = rooms.services.settings.directory
    cast, automaton = rooms.cast, rooms.cast.person("automaton")
    identity, encryption = cast.identity("automaton"), cast.pair("automaton", "encryption")
    with rooms.services.database.begin() as conn:
        (account,) = people.by_mailbox(conn, None, automaton["mailbox"])
        people.set_encryption_certificate(conn, account.id, None)
    without = rooms.deposit(Draft("automaton", "main", BIOLOGY))
    bundling = replace(identity, chain=(*identity.chain, encryption.certificate))
    with patch.object(Cast, "identity", lambda *_: bundling):
        carrying = rooms.deposit(Draft("automaton", "main", BIOLOGY))
    rooms.work()
    done = show(instance, automaton["mailbox"], "--message", carrying)
    assert outcomes(done) == [("enrolled", "absent"), ("harvested", "found")]
    assert done.json["certificate"]["sha256"] == sha256(encryption.certificate).hexdigest()
    assert outcomes(show(instance, automaton["mailbox"], "--message", without))[1] == ("harvested", "absent")
    for address, message in ((NOBODY, carrying), (automaton["mailbox"], "absent")):
        refused = show(instance, address, "--message", message)
        assert (refused.code, refused.out) == (1, "")
        assert "vérifié" in refused.err


@pytest.fixture
def rooms(services: Any) -> Rooms:
    """Rooms of a demo instance."""
    return Rooms(services)
