"""A certificate read as it is: holder, extensions, dates; and nothing but Unparseable from any octets."""

from __future__ import annotations

import time
import warnings
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from asn1crypto import core
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import ExtensionOID, NameOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from cardworld import HOSPITAL, START, authority, card, failures, fresh, judged, key, leaf, organisation, pem, pki, tlv
from dcc.cards import issue_profiles as profiles
from dcc.cards.certificate import HIGHEST_SIZE, CardCertificate, read_certificate
from dcc.cards.errors import CrlUnreadable, Unparseable
from dcc.cards.trust import certificates_in, load_trust, trust_of
from dcc.cards.usage import Usage


def changed(der: bytes, old: bytes, new: bytes, by: str = "FO-PP") -> bytes:
    """The certificate with some octets replaced by as many, signed anew: what no builder agrees to make."""
    whole = asn1.Certificate.load(der)
    fields = whole["tbs_certificate"].dump()
    assert (fields.count(old), len(old)) == (1, len(new))
    fields = fields.replace(old, new)
    signature = authority(by).key.sign(fields, padding.PKCS1v15(), hashes.SHA256())
    return tlv(0x30, fields + whole["signature_algorithm"].dump() + tlv(0x03, b"\0" + signature))


def test_a_cps_names_its_holder() -> None:
    """The signature certificate of a CPS gives person, profession, specialties, card, and no address."""
    made = card("CPS", profession=10, specialties=("SM36", "SM26"), card_number="8025000001/2800262487")
    found = read_certificate(made.signature.certificate)
    holder = found.holder
    assert holder is not None
    assert (holder.kind, holder.idnps, holder.family_name, holder.given_name) == (
        "person", "899700366240", "MEDECIN", "ANNE",
    )  # fmt: skip
    assert (holder.profession, holder.profession_label, holder.specialties) == ("10", "Médecin", ("SM36", "SM26"))
    assert (holder.card_type, holder.card_number) == ("CPS", "8025000001/2800262487")
    assert (holder.structure_id, holder.structure_name, holder.common_name) == (None, None, "899700366240")
    assert (found.usage, found.addresses, found.upn) == (Usage.SIGNATURE, (), None)
    assert (found.environment, found.product, found.test_authority) == ("test", 0x80, True)
    assert found.policies == (profiles.TEST_POLICY,)
    assert found.crl_urls == ("http://igc-sante.esante.gouv.fr/CRL/ACI-FO-PP-TEST.crl",)


def test_the_authentication_certificate_has_a_upn_and_no_address() -> None:
    """The UPN looks like an address and is not counted among the addresses."""
    found = read_certificate(card("CPS").authentication.certificate)
    assert (found.usage, found.upn, found.addresses) == (Usage.AUTHENTICATION, "8.99700366240@carte-cps.fr", ())


def test_a_cpe_has_a_structure_and_a_title_but_no_profession() -> None:
    """Staff are known by FINESS and register, by their structure, and by a title in words."""
    holder = read_certificate(card("CPE").signature.certificate).holder
    assert holder is not None
    assert (holder.idnps, holder.card_type, holder.profession) == ("30B0057881/CPET0002", "CPE", None)
    assert (holder.profession_label, holder.structure_id, holder.structure_name) == (
        profiles.STAFF_TITLE, HOSPITAL[2], HOSPITAL[1],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ("SIGN", Usage.SIGNATURE),
        ("CONF", Usage.CONFIDENTIALITY),
        ("AUTH_CLI", Usage.AUTHENTICATION),
        ("SSL", Usage.SERVER),
    ],
)
def test_an_organisation_has_four_kinds_of_certificate(usage: str, expected: Usage) -> None:
    """Each software certificate of an organisation has its usage, and names the organisation."""
    found = read_certificate(organisation(usage, common_name="rpps.tra;henix").certificate)
    assert found.usage is expected
    assert found.holder is not None
    assert (found.holder.kind, found.holder.structure_id, found.holder.idnps) == ("organisation", HOSPITAL[2], None)
    assert found.holder.common_name == "rpps.tra;henix"
    assert found.product == 0x83


def test_another_order_in_the_last_rdn_is_the_same_holder() -> None:
    """Acceptance 72: CN, SN and GN in whatever order, even against DER, name the same person."""
    der = card("CPS", card_number="8025000001/1").signature.certificate
    last = asn1.Certificate.load(der).subject.chosen[-1]
    pairs = [pair.dump() for pair in last]
    turned = changed(der, b"".join(pairs), b"".join(reversed(pairs)))
    assert read_certificate(turned).holder == read_certificate(der).holder
    assert read_certificate(turned).subject_der != read_certificate(der).subject_der
    assert not failures(judged(turned, *fresh()))


@pytest.mark.parametrize(
    ("tag", "encoding"), [(0x14, "latin-1"), (0x0C, "utf-8"), (0x1E, "utf-16-be"), (0x1C, "utf-32-be")]
)
def test_every_string_type_of_a_name_is_read(tag: int, encoding: str) -> None:
    """A subject is read whatever its string types, the T61String of IGC-CPS2ter among them."""
    text = "Médecin".encode(encoding)
    title = x509.Name([x509.NameAttribute(NameOID.TITLE, "x" * len(text)), x509.NameAttribute(NameOID.SURNAME, "MAXI")])
    der = leaf(subject=title, proprietary=profiles.card_extensions("CPS", "8025000001/2", None, ()))
    found = read_certificate(changed(der, tlv(0x0C, b"x" * len(text)), tlv(tag, text)))
    assert found.subject == "title=Médecin, SN=MAXI"
    assert found.holder is not None
    assert (found.holder.profession_label, found.holder.family_name) == ("Médecin", "MAXI")


def test_the_code_decides_and_not_the_label() -> None:
    """The label of a known profession is that of its code; an unknown code keeps the certificate's own title."""
    lying = profiles.person_name("899700366240", "MEDECIN", "ANNE", 60, None)
    doctor = read_certificate(leaf(subject=lying)).holder
    assert doctor is not None
    assert (doctor.profession, doctor.profession_label) == ("10", "Médecin")
    unknown = read_certificate(leaf(subject=lying, proprietary=profiles.card_extensions("CPS", "1/1", 99, ()))).holder
    assert unknown is not None
    assert (unknown.profession, unknown.profession_label) == ("99", "Infirmier")


def test_an_identifier_with_a_false_key_is_nobody() -> None:
    """A false check digit in a certificate is an error: the holder has no identifier, the CN stays readable."""
    holder = read_certificate(leaf(subject=profiles.person_name("810003461033", "X", "Y", 10, None))).holder
    assert holder is not None
    assert (holder.idnps, holder.common_name) == (None, "810003461033")


@pytest.mark.parametrize(
    ("product", "issuer_name", "expected"),
    [
        (b"\x00", "AC IGC-SANTE FORT PERSONNES", ("production", None)),
        (b"\x80", "AC IGC-SANTE FORT PERSONNES", ("test", "00B6077602")),
        (b"\x00", "TEST AC IGC-SANTE FORT PERSONNES", ("test", "00B6077602")),
        (b"\x00", "GIP-CPS-TEST", ("test", "00B6077602")),
        (b"", "CONTESTATION", ("production", None)),
    ],
)
def test_the_test_world_is_known_by_bit_and_by_authority(
    product: bytes, issuer_name: str, expected: tuple[str, str | None]
) -> None:
    """The test bit of G01 and an authority named TEST each make a test certificate; letters in ids count there only."""
    der = leaf(
        subject=profiles.person_name("00B6077602", "INFIRM", "GUY", 60, None),
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]),
        proprietary=[x509.UnrecognizedExtension(ObjectIdentifier(profiles.G01), core.OctetString(product).dump())],
    )
    found = read_certificate(der)
    assert found.holder is not None
    assert (found.environment, found.holder.idnps) == expected


def test_an_organisation_called_test_is_not_of_the_test_world() -> None:
    """Only an authority's name counts: a holder may well be a test laboratory."""
    real = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AC IGC-SANTE ELEMENTAIRE ORGANISATIONS")])
    subject = profiles.organisation_name("Paris (75)", "LABORATOIRE TEST", "318751275100020", "test")
    found = read_certificate(leaf(subject=subject, issuer_name=real, proprietary=[]))
    assert (found.environment, found.product) == ("production", None)


def test_an_address_in_the_subject_counts_only_without_alternative_names() -> None:
    """rfc822Names are the addresses; an emailAddress of the subject stands in when there is no SubjectAltName."""
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "x"), x509.NameAttribute(NameOID.EMAIL_ADDRESS, "old@dcc.example")]
    )
    names = x509.SubjectAlternativeName([x509.RFC822Name("new@dcc.example"), x509.DNSName("dcc.example")])
    assert read_certificate(leaf(subject=subject)).addresses == ("old@dcc.example",)
    assert read_certificate(leaf(subject=subject, extensions=[(names, False)])).addresses == ("new@dcc.example",)


def test_a_distribution_point_keeps_its_raw_space() -> None:
    """The URL of an IGC-CPS2ter list holds a raw space, and is kept as it is; other forms are left out."""
    url = "http://annuaire.gip-cps.fr/crl/test/TEST CLASSE-1.crl"
    raw = url.encode()
    inner = bytes([0x86, len(raw)]) + raw
    for tag in (0xA0, 0xA0, 0x30, 0x30):
        inner = bytes([tag, len(inner)]) + inner
    points = x509.UnrecognizedExtension(ExtensionOID.CRL_DISTRIBUTION_POINTS, inner)
    assert read_certificate(leaf(extensions=[(points, False)])).crl_urls == (url,)


@pytest.mark.parametrize("name", ["rsa-1024", "p256", "ed25519", "ml-dsa-65", "ml-kem-768"])
def test_keys_are_told_by_kind_and_size(name: str) -> None:
    """Kind and size of a key are read for RSA, elliptic curves, Edwards curves, ML-DSA and ML-KEM (RFC 9881, RFC 9935)."""
    found = read_certificate(leaf(own_key=key(name)))
    expected = {
        "rsa-1024": ("rsa", 1024), "p256": ("ec", 256), "ed25519": ("ed25519", 256),
        "ml-dsa-65": ("ml-dsa-65", 8 * 1952), "ml-kem-768": ("ml-kem-768", 8 * 1184),
    }  # fmt: skip
    assert (found.key_type, found.key_bits, found.signature_hash) == (*expected[name], "sha256")


def test_the_old_key_identifier_means_plain_rsa() -> None:
    """Very old GIP-CPS keys carry an algorithm identifier of their own, which means RSA."""
    der = leaf()
    rsa_oid, own = (
        core.ObjectIdentifier("1.2.840.113549.1.1.1").dump(),
        core.ObjectIdentifier("1.2.250.1.71.2.6.1").dump(),
    )
    assert len(rsa_oid) - len(own) == 1
    info = asn1.Certificate.load(der).public_key.dump()
    algorithm = b"\x30\x0c" + own + b"\x05\x00"
    rest = info[info.index(b"\x03\x82", 4) :]
    body = algorithm + rest
    old = der.replace(info, b"\x30\x82" + len(body).to_bytes(2, "big") + body)
    for place in (2, 6):  # the lengths of the certificate and of its fields
        size = int.from_bytes(old[place : place + 2], "big") - 1
        old = old[:place] + size.to_bytes(2, "big") + old[place + 2 :]
    found = read_certificate(old)
    assert (found.key_type, found.key_bits) == ("rsa", 2048)


BROKEN = {
    "empty": (b"", "vide"),
    "blank": (b" \r\n ", "vide"),
    "text": (b"bonjour", "lisible"),
    "too large": (b"0" * (HIGHEST_SIZE + 1), "grand"),
    "PEM cut": (b"-----BEGIN CERTIFICATE-----\nAAA", "PEM|lisible|seul"),
    "PEM of a key": (b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n", "pas un certificat"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_certificate_is_unparseable_with_a_sentence(name: str) -> None:
    """Bytes that are not one certificate give Unparseable with a sentence that quotes nothing of them."""
    data, said = BROKEN[name]
    with pytest.raises(Unparseable, match=said):
        read_certificate(data)


def test_two_certificates_a_list_and_a_tail_are_unparseable() -> None:
    """Two certificates (PEM or DER), a list, a truncated certificate: each is Unparseable."""
    der = leaf()
    listed = pki().crls(START, START)[0]
    for data in (pem(der) * 2, der * 2, der + b"\0", der[:-1], der[:200], listed, pem(listed, "X509 CRL")):
        with pytest.raises(Unparseable):
            read_certificate(data)


def test_a_certificate_in_indefinite_length_is_unparseable() -> None:
    """RFC 5280 §4.1: DER; the same certificate with the end of one of its parts, or its own, marked by zeros is not it."""
    der = leaf()
    whole = der[4:]
    size = 4 + int.from_bytes(whole[2:4], "big")
    fields, rest = whole[4:size], whole[size:]
    for other in (
        tlv(0x30, b"\x30\x80" + fields + b"\0\0" + rest),
        tlv(0x30, tlv(0x30, fields) + b"\x30\x80" + rest[2:15] + b"\0\0" + rest[15:]),
        b"\x30\x80" + whole + b"\0\0",
    ):
        with pytest.raises(Unparseable, match="DER"):
            read_certificate(other)
    assert tlv(0x30, tlv(0x30, fields) + rest) == der


def test_pem_and_der_are_the_same_certificate() -> None:
    """PEM and DER give the same answer."""
    der = leaf()
    assert read_certificate(pem(der)) == read_certificate(der)


@pytest.mark.parametrize("size", [4_000, 60_000])
def test_an_identifier_without_an_end_costs_nothing(size: int) -> None:
    """I8, R-ASN1: an object identifier of one huge arc, wherever it stands, is refused before anybody computes it."""
    odd = x509.UnrecognizedExtension(
        ObjectIdentifier("1.2.3"), tlv(0x30, tlv(0x06, b"\x2a" + b"\xff" * size + b"\x01"))
    )
    der = leaf(extensions=((odd, False),))
    spent = time.process_time()
    with pytest.raises(Unparseable, match=r"sans fin|trop grand"):
        read_certificate(der)
    assert time.process_time() - spent < 0.1


def test_a_certificate_of_thousands_of_names_is_unparseable() -> None:
    """I8: each name costs asn1crypto some microseconds, and a mail has many certificates."""
    names = x509.SubjectAlternativeName([x509.DNSName("a")] * 6_000)
    with pytest.raises(Unparseable, match="trop grand"):
        read_certificate(leaf(extensions=((names, False),)))
    assert read_certificate(leaf(extensions=((x509.SubjectAlternativeName([x509.DNSName("a")] * 400), False),)))


def test_an_extension_that_occurs_twice_is_unparseable() -> None:
    """RFC 5280 §4.2: one instance of an extension; two would let two readers see two certificates."""
    own, other = core.ObjectIdentifier(profiles.G15).dump(), core.ObjectIdentifier(profiles.G02).dump()
    with pytest.raises(Unparseable):
        read_certificate(changed(leaf(), own, other))


@pytest.mark.parametrize(
    "odd", [b"205112310000000", b"2051123100.5000", b"20511231000000+", b"00000101000000Z", b"20511331000000Z"]
)
def test_a_date_that_cannot_be_compared_is_unparseable(odd: bytes) -> None:
    """RFC 5280 §4.1.2.5: times end with Z and exist; others cannot be compared with a clock."""
    der = leaf(not_after=datetime(2051, 12, 31, tzinfo=UTC))
    with pytest.raises(Unparseable):
        read_certificate(changed(der, b"20511231000000Z", odd))


@given(st.binary(max_size=300))
def test_no_octets_make_the_reader_fail(data: bytes) -> None:
    """Any octets are a certificate or Unparseable."""
    answer(data)


places = st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), min_size=1, max_size=6)


@cache
def profile(which: str) -> bytes:
    """One real profile, made when it is first needed: its keys take a second."""
    if which == "authority":
        return authority("FO-PP").der
    if which == "card":
        return card("CPS").authentication.certificate
    return organisation("SSL", dns_names=("a.example",), addresses=("a@dcc.example",)).certificate


@settings(max_examples=500)
@given(st.sampled_from(["card", "organisation", "authority"]), places, st.integers(0, 1500))
def test_a_mutated_certificate_is_read_or_unparseable(which: str, changes: list[tuple[int, int]], cut: int) -> None:
    """Changed and cut octets of real profiles are read or Unparseable, nothing else."""
    data = bytearray(profile(which))
    for place, value in changes:
        data[place % len(data)] = value
    answer(bytes(data))
    answer(bytes(data[: cut % len(data)]))


def answer(data: bytes) -> CardCertificate | None:
    """What the reader says; every other exception fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read_certificate(data)
        except Unparseable:
            return None


def test_trust_sorts_anchors_and_authorities() -> None:
    """Self-signed certificates are anchors, the others intermediates; TEST in an anchor's name makes it a test trust."""
    sorted_ = trust_of((*pki().intermediates, *pki().anchors, *pki().anchors))
    assert {one.der for one in sorted_.anchors} == set(pki().anchors)
    assert {one.der for one in sorted_.intermediates} == set(pki().intermediates)
    assert sorted_.environment == "test"
    assert trust_of(()).environment == "production"


def test_test_anchors_are_never_in_a_production_set() -> None:
    """In production the anchors of the test world are left out."""
    assert trust_of(pki().anchors, "production").anchors == ()
    assert len(trust_of(pki().anchors, "test").anchors) == 3


def test_trust_files_hold_one_certificate_or_many(tmp_path: Any) -> None:
    """PEM with many certificates and DER with one are read; a file without certificate is refused."""
    (tmp_path / "many.pem").write_bytes(b"".join(pem(one) for one in pki().anchors))
    (tmp_path / "one.der").write_bytes(pki().intermediates[0])
    found = load_trust([tmp_path / "many.pem", tmp_path / "one.der"])
    assert (len(found.anchors), len(found.intermediates)) == (3, 1)
    with pytest.raises(Unparseable):
        certificates_in(b"-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n")
    with pytest.raises(Unparseable):
        certificates_in(b"-----BEGIN CERTIFICATE-----\nMAA=")


def test_errors_name_nobody() -> None:
    """The sentences of the errors quote no octet of what could not be read."""
    with pytest.raises(Unparseable) as caught:
        read_certificate(b"MEDECIN ANNE 899700366240")
    assert "899700366240" not in str(caught.value)
    assert issubclass(CrlUnreadable, Exception)
