"""Acceptance K on the published certificates and lists of the real authorities."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dcc.cards.certificate import CardCertificate, Holder, read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.crlindex import index_crl
from dcc.cards.judge import judge
from dcc.cards.trust import certificates_in, trust_of
from dcc.cards.verdict import Judgement, Verdict

NOON = datetime(2019, 7, 1, 12, tzinfo=UTC)
OCTOBER = datetime(2019, 10, 2, tzinfo=UTC)
TODAY = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="session")
def folder(shared: Path) -> Path:
    """The folder of the sample certificates."""
    return shared / "samples" / "certs"


@pytest.fixture(scope="session")
def authorities(folder: Path) -> list[bytes]:
    """Every root and authority among the samples, DER."""
    ders = [certificates_in(path.read_bytes())[0] for path in sorted(folder.glob("cert_*.pem"))]
    return [der for der in ders if read_certificate(der).holder is None]


@pytest.fixture(scope="session")
def lists(folder: Path) -> CrlStore:
    """Both sample lists."""
    made = CrlStore()
    for path in folder.glob("crl_*.pem"):
        made.add(path.read_bytes())
    return made


@pytest.fixture
def ask(folder: Path, authorities: list[bytes], lists: CrlStore) -> Any:
    """Judge one sample."""

    def call(name: str, at: datetime = NOON, environment: str = "test", **options: Any) -> Judgement:
        data = (folder / f"cert_{name}.pem").read_bytes()
        return judge(data, trust=trust_of(authorities, environment), crls=lists, at=at, **options)

    return call


@pytest.fixture
def read(folder: Path) -> Any:
    """Read one sample."""
    return lambda name: read_certificate((folder / f"cert_{name}.pem").read_bytes())


def holder_of(certificate: CardCertificate) -> Holder:
    """The holder, which must be there."""
    assert certificate.holder is not None
    return certificate.holder


def failed(found: Judgement) -> set[Verdict]:
    """Every verdict told in the evidence."""
    return {one.verdict for one in found.evidence if one.verdict is not None}


def test_every_sample_is_read_as_the_index_says(folder: Path, read: Any) -> None:
    """Serial, dates, key, hash, policies, lists, product, card and profession of every sample are those of the index."""
    listed = json.loads((folder / "index.json").read_text())["entries"]
    certificates = [one for one in listed if one["kind"] == "cert"]
    assert len(certificates) == len(list(folder.glob("cert_*.pem")))
    for entry in certificates:
        found = read(entry["file"][5:17])
        assert found.sha256 == entry["sha256"]
        assert found.serial == int(entry["serial"], 16)
        assert [f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in (found.not_before, found.not_after)] == [
            entry["not_before"], entry["not_after"],
        ]  # fmt: skip
        assert f"{found.key_type.upper()} {found.key_bits}" == entry["key"]
        assert found.signature_hash == entry["hash"]
        assert list(found.policies) == entry.get("policies", [])
        assert list(found.crl_urls) == entry.get("crl_urls", [])
        assert ("" if found.product is None else f"{found.product:02x}") == entry.get("product_category_G01", "")
        holder = found.holder or Holder("authority")
        assert holder.card_number == entry.get("card_id")
        assert holder.card_type == {"CDE/CPE": "CPE"}.get(entry.get("card_type"), entry.get("card_type"))
        assert holder.profession == (str(entry["profession_G15"]) if "profession_G15" in entry else None)


def test_56_a_cps2ter_card_is_read_in_spite_of_its_t61_string(read: Any, ask: Any) -> None:
    """Doctor, SM36, CPS, its card and its identifier; authentication, RSA 1024, SHA-1: weak."""
    found = read("473f9c2f6b2f")
    holder = holder_of(found)
    assert (holder.profession, holder.profession_label, holder.specialties) == ("10", "Médecin", ("SM36",))
    assert (holder.card_type, holder.card_number, holder.idnps) == ("CPS", "8025000001/2400241472", "00B1058110")
    assert (found.usage, found.key_type, found.key_bits, found.signature_hash) == (
        "AUTHENTICATION",
        "rsa",
        1024,
        "sha1",
    )
    assert "OU=Médecin" in found.subject
    assert (found.upn, found.not_after.year) == ("0.0B1058110@carte-cps.fr", 2016)
    assert Verdict.WEAK_KEY in failed(ask("473f9c2f6b2f"))


@pytest.mark.parametrize(
    ("name", "number", "end"),
    [("c3d58763c353", "8025000001/2800262487", "2023-05-15"), ("67053d18fde0", "8025000001/2800636234", "2023-09-15")],
)
def test_57_a_nurse_below_an_authority_that_is_not_there(read: Any, ask: Any, name: str, number: str, end: str) -> None:
    """A nurse's signature certificate has no address; without the FORT TEST authority its chain is not trusted."""
    found = read(name)
    holder = holder_of(found)
    assert (holder.profession, holder.card_type, holder.card_number) == ("60", "CPS", number)
    assert (found.usage, found.addresses, found.upn) == ("SIGNATURE", (), None)
    assert found.not_after.date().isoformat() == end
    assert ask(name, at=datetime(2021, 1, 1, tzinfo=UTC)).verdict is Verdict.UNTRUSTED_CHAIN


def test_an_issuer_with_another_unit_is_another_issuer(read: Any, ask: Any) -> None:
    """The dentist's card comes from an authority with OU=RECETTE: read, and its chain not trusted."""
    found = read("2a340f11b35c")
    holder = holder_of(found)
    assert "OU=RECETTE" in found.issuer
    assert (holder.profession, holder.idnps, found.usage) == ("40", "899700041983", "AUTHENTICATION")
    assert ask("2a340f11b35c").verdict is Verdict.UNTRUSTED_CHAIN


def test_58_a_cpe_does_not_sign_with_its_authentication_certificate(read: Any, ask: Any) -> None:
    """In its time: a good chain, a structure, no profession, and the wrong usage."""
    holder = holder_of(read("5da0d21f73eb"))
    assert (holder.card_type, holder.profession, holder.structure_id) == ("CPE", None, "10B0057881")
    assert (holder.idnps, holder.structure_name) == ("30B0057881/CPET0002", "HOPITAL DES 3 DAMES")
    found = ask("5da0d21f73eb", at=datetime(2019, 1, 1, tzinfo=UTC))
    assert found.verdict is Verdict.WRONG_USAGE
    assert len(found.chain) == 2


def test_59_the_same_today_is_expired_first(ask: Any) -> None:
    """Expired is the headline, the wrong usage stays in the evidence."""
    found = ask("5da0d21f73eb", at=TODAY)
    assert found.verdict is Verdict.EXPIRED
    assert Verdict.WRONG_USAGE in failed(found)


def test_60_a_corrupted_signature(ask: Any) -> None:
    """The same content with a corrupted signature is BAD_SIGNATURE, whatever else is wrong."""
    for at in (datetime(2019, 1, 1, tzinfo=UTC), TODAY):
        assert ask("a2a0df5dcfc2", at=at).verdict is Verdict.BAD_SIGNATURE


@pytest.mark.parametrize(
    ("name", "usage"),
    [("7f1521ccec57", "SIGNATURE"), ("1375ead24465", "CONFIDENTIALITY"), ("b182c66544ae", "AUTHENTICATION")],
)
def test_61_the_three_certificates_of_one_organisation(read: Any, name: str, usage: str) -> None:
    """Signature, confidentiality and authentication of the organisation 10B0152872."""
    found = read(name)
    holder = holder_of(found)
    assert (found.usage, holder.kind, holder.structure_id) == (usage, "organisation", "10B0152872")


@pytest.mark.parametrize(
    ("name", "good", "bad"), [("1375ead24465", "encrypt", "sign"), ("7f1521ccec57", "sign", "encrypt")]
)
def test_62_who_receives_does_not_sign_and_who_signs_does_not_receive(ask: Any, name: str, good: str, bad: str) -> None:
    """Each is refused for the other's usage, and only there."""
    at = datetime(2023, 1, 1, tzinfo=UTC)
    assert ask(name, at=at, purpose=bad).verdict is Verdict.WRONG_USAGE
    assert Verdict.WRONG_USAGE not in failed(ask(name, at=at, purpose=good))


@pytest.mark.parametrize("at", [NOON, OCTOBER])
def test_63_a_listed_serial_is_opposed_on_a_fresh_and_on_a_stale_list(ask: Any, at: datetime) -> None:
    """The listed certificate is opposed in July and still in October, the list being past its end."""
    assert ask("742d855348aa", at=at).verdict is Verdict.OPPOSED


def test_64_an_absent_serial_is_good_only_while_the_list_is_fresh(ask: Any) -> None:
    """Valid in July, unknown in October."""
    found = ask("1f96a77b2188")
    assert (found.verdict, failed(found)) == (Verdict.VALID, set())
    assert ask("1f96a77b2188", at=OCTOBER).verdict is Verdict.REVOCATION_UNKNOWN


def test_65_test_certificates_in_production(folder: Path, read: Any, ask: Any) -> None:
    """Every test certificate is refused in production; no production one is for that reason."""
    seen = set()
    for path in folder.glob("cert_*.pem"):
        name = path.stem.removeprefix("cert_")
        found = read(name)
        if found.holder is None:
            continue
        refused = Verdict.TEST_CARD_IN_PROD in failed(ask(name, environment="production"))
        assert refused == (found.environment == "test")
        if found.environment == "test":
            assert found.product is not None
            assert found.product & 0x80
            assert found.test_authority
        seen.add(found.environment)
    assert seen == {"test", "production"}


def test_66_a_production_organisation(read: Any, ask: Any) -> None:
    """In production mode: signature, its policy, a good chain; without its list the opposition is unknown."""
    found = read("0dedffeced44")
    assert (found.environment, found.product, found.usage) == ("production", 0x03, "SIGNATURE")
    assert found.policies == ("1.2.250.1.213.1.7.1.1.2.3.1",)
    judgement = ask("0dedffeced44", at=datetime(2018, 1, 1, tzinfo=UTC), environment="production")
    assert failed(judgement) == {Verdict.REVOCATION_UNKNOWN}
    assert len(judgement.chain) == 2


@pytest.mark.parametrize("name", ["57d1757c88e4", "c79a9557b9a6"])
def test_67_a_class_4_server(read: Any, ask: Any, name: str) -> None:
    """A server, weak, below an authority that is not there, that says nowhere where its list is."""
    found = read(name)
    assert (found.usage, found.product, found.crl_urls, found.environment) == ("SERVER", 0x82, (), "test")
    assert holder_of(found).structure_id == "318751275100020"
    assert {Verdict.WEAK_KEY, Verdict.UNTRUSTED_CHAIN} <= failed(ask(name, at=found.not_before, purpose="server"))


def test_68_a_semicolon_in_a_name(read: Any) -> None:
    """The common name is read whole."""
    assert holder_of(read("f50f8dcf611d")).common_name == "rpps.tra.henix;asipsante.fr"


def test_other_names_and_identifiers(read: Any) -> None:
    """Department with an apostrophe, test SIRET, cabinet of an RPPS, and a UPN that looks like an ordinary address."""
    for name in ("6bf4c24c9aed", "dd61676299e7"):
        assert "ST=Côte-d'Or (21)" in read(name).subject
        assert holder_of(read(name)).structure_id == "300000000077081"
    assert holder_of(read("e738302c3eb4")).structure_id == "499700367909006"
    software = read("e23b6d8eb738")
    assert (software.usage, software.addresses, "@" in (software.upn or "")) == ("AUTHENTICATION", (), True)
    assert (holder_of(software).idnps, holder_of(software).specialties) == ("899700523527", ("SM26",))
    assert (read("150125b66afe").usage, read("150125b66afe").not_after.year) == ("AUTHENTICATION", 2028)


def test_the_sample_lists(folder: Path) -> None:
    """Numbers, entries and dates of the two lists are those of the facts."""
    (users,) = certificates_of_list(folder / "crl_47fae5304ed3.pem")
    (roots,) = certificates_of_list(folder / "crl_8d1d377cf578.pem")
    info = index_crl(users, None).info
    assert (len(users), info.number, info.entries, info.scope, info.points) == (36_238, 1287, 1013, "all", ())
    assert info.this_update == datetime(2019, 6, 27, 22, 0, 9, tzinfo=UTC)
    assert info.next_update == datetime(2019, 7, 3, 22, 0, 9, tzinfo=UTC)
    info = index_crl(roots, None).info
    assert (len(roots), info.number, info.entries) == (770, 73, 0)


def certificates_of_list(path: Path) -> list[bytes]:
    """The lists of a PEM file, DER."""
    from asn1crypto import pem

    return [der for _, _, der in pem.unarmor(path.read_bytes(), multiple=True)]
