"""The demo cast: `demo/cast.json` says what the contract promises, and every file it names is what it says."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, ObjectIdentifier

from dcc.cards.crl import CrlStore
from dcc.cards.identifiers import parse
from dcc.cards.judge import judge
from dcc.cards.trust import TrustStore, load_trust
from dcc.cards.verdict import Verdict

ROLES = {
    "coordinator", "secretary", "oncologist", "gp", "pathologist", "nurse", "automaton", "administrator",
    "expired_card", "opposed_card", "no_account", "no_mandate", "no_encryption",
}  # fmt: skip
IDENTITIES = ("card", "authentication", "encryption")
TEST_OID = "1.2.250.1.213.1.4.10"
G01, CARD_TYPE, CARD_NUMBER, PROFESSION = (
    ObjectIdentifier(one)
    for one in ("1.2.250.1.71.1.2.5", "1.2.250.1.71.1.2.2", "1.2.250.1.71.1.2.3", "1.2.250.1.71.1.2.7")
)


@pytest.fixture(scope="module")
def cast(made: Path) -> dict[str, Any]:
    """The file as a script reads it."""
    found: dict[str, Any] = json.loads((made / "demo" / "cast.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture(scope="module")
def trust(made: Path, cast: dict[str, Any]) -> TrustStore:
    """What the cast names as anchors."""
    return load_trust([made / one for one in cast["anchors"]])


@pytest.fixture(scope="module")
def lists(made: Path, cast: dict[str, Any]) -> CrlStore:
    """What the cast names as lists."""
    store = CrlStore()
    for one in cast["crls"]:
        store.add((made / one).read_bytes())
    return store


def identities(cast: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """(person, which, entry) of every identity that is not null."""
    return [(p["key"], which, p[which]) for p in cast["people"] for which in IDENTITIES if p[which] is not None]


def certificate(made: Path, entry: dict[str, str]) -> x509.Certificate:
    return x509.load_pem_x509_certificate((made / entry["certificate"]).read_bytes())


def person(cast: dict[str, Any], key: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in cast["people"] if one["key"] == key)
    return found


def test_names_of_the_contract(cast: dict[str, Any]) -> None:
    """Every name that a script may rely on is there."""
    assert {"gateway", "anchors", "crls", "sink", "people", "patients", "folders"} <= set(cast)
    assert {"address", "certificate"} <= set(cast["gateway"])
    for one in cast["people"]:
        assert {"key", "name", "role", "card_type", "idnps", "profession", "structure", "mailbox", "account", "card",
                "authentication", "encryption"} <= set(one)  # fmt: skip
        for which in IDENTITIES:
            assert one[which] is None or set(one[which]) == {"certificate", "private_key", "p12", "password"}
    for one in cast["patients"]:
        assert set(one) == {
            "key",
            "ins",
            "oid",
            "birth_name",
            "given_names",
            "sex",
            "birth_date",
            "birth_place",
            "status",
        }
    for one in cast["folders"]:
        assert {"key", "id", "address", "network", "patient", "consent", "mandates"} <= set(one)
        assert all(set(mandate) == {"person", "origin", "until"} for mandate in one["mandates"])


def test_roles(cast: dict[str, Any]) -> None:
    """Every role of the contract is held by one person, and every key is unique."""
    assert {one["role"] for one in cast["people"]} >= ROLES
    for kind in ("people", "patients", "folders"):
        keys = [one["key"] for one in cast[kind]]
        assert len(keys) == len(set(keys))


def test_paths_are_relative(made: Path, cast: dict[str, Any]) -> None:
    """Every path starts at the instance and leads to a file."""
    paths = [*cast["anchors"], *cast["crls"], cast["sink"], cast["gateway"]["certificate"]]
    paths += [entry[name] for _, _, entry in identities(cast) for name in ("certificate", "private_key", "p12")]
    for path in paths:
        assert not Path(path).is_absolute()
        assert (made / path).exists(), path


def test_keys_fit_their_certificates(made: Path, cast: dict[str, Any]) -> None:
    """Each private key, PEM and unencrypted, and each PKCS#12 under its password, is that of its certificate."""
    for who, which, entry in identities(cast):
        found = certificate(made, entry)
        public = found.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        plain = load_pem_private_key(
            (made / entry["private_key"]).read_bytes(), None, unsafe_skip_rsa_key_validation=True
        )  # the PKCS#12 below checks the same key
        key, enclosed, more = pkcs12.load_key_and_certificates(
            (made / entry["p12"]).read_bytes(), entry["password"].encode()
        )
        assert key is not None
        for private in (plain, key):
            spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            assert spki == public, (who, which)
        assert enclosed == found
        assert [one.subject for one in more] == [found.issuer]  # the authority goes with it, the root does not


def test_who_has_what(cast: dict[str, Any]) -> None:
    """Everybody has a card; one has no encryption certificate, one no account; the automaton is an organisation."""
    assert all(one["card"] and one["authentication"] for one in cast["people"])
    assert [one["role"] for one in cast["people"] if one["encryption"] is None] == ["no_encryption"]
    assert [one["role"] for one in cast["people"] if one["account"] is None] == ["no_account"]
    assert person(cast, "automaton")["card_type"] is None
    assert person(cast, "secretary")["card_type"] == "CPE"
    assert person(cast, "administrator")["card_type"] == "CPA"
    assert person(cast, "nurse")["profession"] == "60"


@pytest.mark.parametrize(
    ("key", "which", "purpose", "verdict"),
    [
        ("coordinator", "card", "sign", Verdict.VALID),
        ("secretary", "card", "sign", Verdict.VALID),
        ("automaton", "card", "sign", Verdict.VALID),
        ("administrator", "card", "sign", Verdict.VALID),
        ("oncologist", "encryption", "encrypt", Verdict.VALID),
        ("automaton", "encryption", "encrypt", Verdict.VALID),
        ("oncologist", "authentication", "sign", Verdict.WRONG_USAGE),
        ("expired_card", "card", "sign", Verdict.EXPIRED),
        ("opposed_card", "card", "sign", Verdict.OPPOSED),
        ("opposed_card", "encryption", "encrypt", Verdict.VALID),
        ("no_account", "card", "sign", Verdict.VALID),
    ],
)
def test_what_each_card_is_worth(
    key: str, which: str, purpose: str, verdict: Verdict, made: Path, cast: dict[str, Any], trust: TrustStore,
    lists: CrlStore,
) -> None:  # fmt: skip
    """With the anchors and lists of the cast, each card has the verdict that its role promises."""
    der = certificate(made, person(cast, key)[which]).public_bytes(Encoding.DER)
    assert judge(der, trust=trust, crls=lists, at=datetime.now(UTC), purpose=purpose).verdict is verdict


def test_identifiers_are_of_test_ranges(cast: dict[str, Any]) -> None:
    """Every identifier is well formed and of a range that no real person holds; every patient carries the test OID."""
    for one in cast["people"]:
        kind = "idnst" if one["card_type"] is None else "idnps"
        assert parse(kind, one["idnps"]).valid, one["idnps"]
        if one["card_type"] == "CPS":
            assert one["idnps"].startswith("8997"), one["idnps"]
        if one["structure"] is not None:
            assert parse("idnst", one["structure"]).valid
        assert one["mailbox"].endswith(".example")
    for one in cast["patients"]:
        assert parse("nir", one["ins"]).valid, one["ins"]
        assert one["oid"] == TEST_OID
        assert one["birth_name"].startswith("PAT-")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", one["birth_date"])


def test_no_surname_twice(cast: dict[str, Any]) -> None:
    """No professional shares a surname with a patient: a name found in a log is then a leak for certain."""
    words = {word for one in cast["people"] for word in re.split(r"[^\w]+", one["name"].upper()) if word}
    names = {word for one in cast["patients"] for word in re.split(r"[^\w]+", one["birth_name"]) if word}
    assert not words & (names | {given for one in cast["patients"] for given in one["given_names"]})


def test_folders_of_the_contract(cast: dict[str, Any]) -> None:
    """One folder of a QUAL patient with a whole care team, one without consent, one withdrawn, one of another network."""
    folders = {one["key"]: one for one in cast["folders"]}
    patients = {one["key"]: one for one in cast["patients"]}
    main = folders["main"]
    assert main["consent"] == "given"
    assert patients[main["patient"]]["status"] == "QUAL"
    mandated = [person(cast, one["person"]) for one in main["mandates"]]
    professionals = [one for one in mandated if one["card_type"] is not None]
    assert "oncologist" in {one["role"] for one in mandated}
    assert len([one for one in professionals if one["encryption"] is not None]) >= 4
    assert [one["role"] for one in professionals if one["encryption"] is None] == ["no_encryption"]
    assert "automaton" in {one["role"] for one in mandated}
    assert "no_mandate" not in {one["role"] for one in mandated}
    consents = {one["consent"] for one in cast["folders"]}
    assert consents == {"given", "withdrawn", "none"}
    assert len({one["network"] for one in cast["folders"]}) >= 2
    assert len({one["address"] for one in cast["folders"]}) == len(cast["folders"])


def test_until_is_a_time_or_null(cast: dict[str, Any]) -> None:
    """`until` is null, or a time in UTC that has yet to come."""
    found = [mandate["until"] for one in cast["folders"] for mandate in one["mandates"]]
    times = [one for one in found if one is not None]
    assert None in found
    assert times
    for one in times:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one)
        assert datetime.fromisoformat(one) > datetime.now(UTC)
    origins = {mandate["origin"] for one in cast["folders"] for mandate in one["mandates"]}
    assert origins == {"creator", "vitale", "granted"}


def test_the_gateway_can_be_written_to(made: Path, cast: dict[str, Any]) -> None:
    """The gateway's certificate encrypts, and names its own address: mail clients look for it there."""
    found = x509.load_pem_x509_certificate((made / cast["gateway"]["certificate"]).read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert cast["gateway"]["address"] in names.get_values_for_type(x509.RFC822Name)
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.key_encipherment, usage.digital_signature) == (True, False)


def test_cards_look_like_igc_sante(made: Path, cast: dict[str, Any]) -> None:
    """A card has the names, usages and proprietary extensions of IGC-Santé, the TEST bit set, and no address."""
    found = certificate(made, person(cast, "oncologist")["card"])
    assert found.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "TEST AC IGC-SANTE FORT PERSONNES"
    last = list(found.subject.rdns)[-1]
    assert {one.oid for one in last} == {NameOID.COMMON_NAME, NameOID.SURNAME, NameOID.GIVEN_NAME}
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == person(cast, "oncologist")["idnps"]
    raw = {one.oid: one.value.value for one in found.extensions if isinstance(one.value, x509.UnrecognizedExtension)}
    assert raw[G01] == b"\x04\x01\x80"  # a card, TEST
    assert raw[CARD_TYPE] == b"\x02\x01\x00"  # CPS
    assert raw[PROFESSION] == b"\x02\x01\x0a"  # G15 10, physician
    assert b"8025000001/" in raw[CARD_NUMBER]
    usage = found.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.content_commitment, usage.digital_signature) == (True, False)
    extended = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    with pytest.raises(x509.ExtensionNotFound):
        found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert found.extensions.get_extension_for_oid(ExtensionOID.CRL_DISTRIBUTION_POINTS)


def test_organisations_look_like_igc_sante(made: Path, cast: dict[str, Any]) -> None:
    """The automaton has the three organisation certificates SIGN, CONF and AUTH_CLI under its structure's IDNST."""
    automaton = person(cast, "automaton")
    for which in IDENTITIES:
        found = certificate(made, automaton[which])
        assert "ORGANISATIONS" in str(found.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
        assert found.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)[0].value == automaton["structure"]


def test_roots_and_authorities(made: Path, cast: dict[str, Any]) -> None:
    """The anchors are the roots and their authorities PERSONNES and ORGANISATIONS; each has a list, signed by it."""
    found = [x509.load_pem_x509_certificate((made / one).read_bytes()) for one in cast["anchors"]]
    names = {str(one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value) for one in found}
    assert {name for name in names if "PERSONNES" in name}
    assert {name for name in names if "ORGANISATIONS" in name}
    assert all("TEST" in name for name in names)
    crls = [x509.load_der_x509_crl((made / one).read_bytes()) for one in cast["crls"]]
    for one in crls:
        issuer = next(ca for ca in found if ca.subject == one.issuer)
        assert one.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    assert {one.issuer for one in crls} == {one.subject for one in found}
    opposed = certificate(made, person(cast, "opposed_card")["card"])
    assert any(one.get_revoked_certificate_by_serial_number(opposed.serial_number) for one in crls)


def test_folders_and_mandates_are_in_the_database(made: Path, cast: dict[str, Any]) -> None:
    """What the cast tells is what the instance holds: folders, consents and mandates."""
    from dcc.gateway.services import open_database
    from dcc.gateway.settings import load_settings
    from dcc.mailbox import folders

    with open_database(load_settings(made / "dcc.toml", {})) as database, database.read() as conn:
        for one in cast["folders"]:
            for name in (one["id"], one["reference"], one["address"]):
                found = folders.folder(conn, name)
                assert found is not None
                assert (found.id, found.consent.value, found.network) == (one["id"], one["consent"], one["network"])
            assert len(folders.mandates_of(conn, one["id"])) == len(one["mandates"])
