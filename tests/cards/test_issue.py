"""The look-alike authorities: the names, extensions and usages of facts/cards §1, read by another library."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from cardworld import (
    DAY,
    END,
    HOSPITAL,
    NOW,
    START,
    card,
    failures,
    issuer,
    judged,
    organisation,
    pki,
    serial_of,
    store,
)
from dcc.cards.certificate import read_certificate
from dcc.cards.crl import Revocation
from dcc.cards.crlindex import index_crl
from dcc.cards.issue import IssuedCertificate
from dcc.cards.usage import Usage
from dcc.cards.verdict import Verdict

EMAIL, CLIENT, SERVER = (
    ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH,
)  # fmt: skip
SMART_CARD = ObjectIdentifier("1.3.6.1.4.1.311.20.2.2")
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


def made(which: str) -> IssuedCertificate:
    """One certificate of each profile of the table."""
    if which.startswith("card"):
        pair = card("CPS")
        return pair.signature if which == "card signature" else pair.authentication
    return organisation(which, dns_names=("a.example",) if which == "SSL" else ())


@pytest.mark.parametrize(
    ("which", "bits", "extended", "alternative", "period"),
    [
        ("card signature", {"content_commitment"}, [EMAIL], None, True),
        ("card authentication", {"digital_signature"}, [CLIENT, SMART_CARD], x509.OtherName, False),
        ("SIGN", {"digital_signature", "content_commitment"}, [EMAIL], None, True),
        ("CONF", {"key_encipherment"}, [EMAIL, ANY], None, False),
        ("SSL", {"digital_signature", "key_encipherment"}, [SERVER, CLIENT], x509.DNSName, False),
        ("AUTH_CLI", {"digital_signature"}, [CLIENT], None, False),
    ],
)
def test_each_profile_has_the_extensions_of_the_table(
    which: str, bits: set[str], extended: list[Any], alternative: Any, period: bool
) -> None:
    """KeyUsage (critical), ExtendedKeyUsage, SubjectAltName and PrivateKeyUsagePeriod are those of facts/cards §1.3."""
    extensions = x509.load_der_x509_certificate(made(which).certificate).extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign",
    )  # fmt: skip
    assert usage.critical
    assert {name for name in names if getattr(usage.value, name)} == bits
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == extended
    kinds = {type(extension.value) for extension in extensions}
    assert (x509.PrivateKeyUsagePeriod in kinds) == period
    if alternative is None:
        assert x509.SubjectAlternativeName not in kinds
    else:
        (name,) = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert isinstance(name, alternative)
    (policy,) = extensions.get_extension_for_class(x509.CertificatePolicies).value
    assert policy.policy_identifier.dotted_string == "1.2.250.1.213.1.7.2.1.1.1.1"


def proprietary(der: bytes) -> dict[str, bytes]:
    """The proprietary extensions, as octets."""
    extensions = x509.load_der_x509_certificate(der).extensions
    found = [one for one in extensions if isinstance(one.value, x509.UnrecognizedExtension)]
    assert not any(one.critical for one in found)
    return {one.oid.dotted_string: one.value.value for one in found}


def test_the_proprietary_extensions_are_encoded_as_in_the_samples() -> None:
    """Product, card type, card number, profession and specialties have the encodings of facts/cards §1.3."""
    number = "8025000001/2800262487"
    assert proprietary(card("CPS", card_number=number).signature.certificate) == {
        "1.2.250.1.71.1.2.5": bytes.fromhex("040180"),
        "1.2.250.1.71.1.2.2": bytes.fromhex("020100"),
        "1.2.250.1.71.1.2.3": b"\x13\x15" + number.encode(),
        "1.2.250.1.71.1.2.7": bytes.fromhex("02010a"),
        "1.2.250.1.71.4.2.5": b"\x30\x06\x0c\x04SM36",
    }
    staff = proprietary(card("CPE").signature.certificate)
    assert staff["1.2.250.1.71.1.2.2"] == bytes.fromhex("020102")
    assert "1.2.250.1.71.1.2.7" not in staff
    assert proprietary(organisation().certificate) == {"1.2.250.1.71.1.2.5": bytes.fromhex("040183")}


def test_the_names_are_those_of_igc_sante() -> None:
    """The RDNs of a CPS, of a CPE and of an organisation stand in the order of facts/cards §1.2."""

    def names(der: bytes) -> list[set[str]]:
        short = {
            NameOID.COUNTRY_NAME: "C", NameOID.TITLE: "title", NameOID.GIVEN_NAME: "GN", NameOID.COMMON_NAME: "CN",
            NameOID.SURNAME: "SN", NameOID.STATE_OR_PROVINCE_NAME: "ST", NameOID.ORGANIZATION_NAME: "O",
            NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
        }  # fmt: skip
        subject = x509.load_der_x509_certificate(der).subject
        return [{short[pair.oid] for pair in rdn} for rdn in subject.rdns]

    person = {"GN", "CN", "SN"}
    assert names(card("CPS").signature.certificate) == [{"C"}, {"title"}, person]
    assert names(card("CPE").signature.certificate) == [{"C"}, {"ST"}, {"O"}, {"OU"}, {"title"}, person]
    assert names(organisation().certificate) == [{"C"}, {"ST"}, {"O"}, {"OU"}, {"CN"}]
    long = organisation(name="AGENCE DES SYSTEMES D'INFORMATION PARTAGES DE SANTE")
    holder = read_certificate(long.certificate).holder
    assert holder is not None
    assert holder.structure_name == "AGENCE DES SYSTEMES D'INFORMATION PARTAG"


def test_cards_and_software_come_from_their_own_ranges() -> None:
    """CPS below FORT PERSONNES, CPE below STANDARD PERSONNES, software of people and organisations below ELEMENTAIRE."""

    def range_of(der: bytes) -> str:
        name = x509.load_der_x509_certificate(der).issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
        return str(name).removeprefix("TEST AC IGC-SANTE ")

    software = pki().issue_person_software(
        idnps="899700366240", family_name="MEDECIN", given_name="ANNE", usage="CONF", addresses=("a@dcc.example",),
        not_before=START, not_after=END, profession=10,
    )  # fmt: skip
    assert range_of(card("CPS").signature.certificate) == "FORT PERSONNES"
    assert range_of(card("CPE").signature.certificate) == "STANDARD PERSONNES"
    assert range_of(software.certificate) == "ELEMENTAIRE PERSONNES"
    assert range_of(organisation().certificate) == "ELEMENTAIRE ORGANISATIONS"
    found = read_certificate(software.certificate)
    assert (found.usage, found.addresses, found.product) == (Usage.CONFIDENTIALITY, ("a@dcc.example",), 0x83)


def test_nothing_made_here_is_good_in_production() -> None:
    """Every authority is named TEST and every leaf carries the test bit."""
    for der in (*pki().anchors, *pki().intermediates):
        found = read_certificate(der)
        assert (found.usage, found.test_authority) == (Usage.CA, True)
    for pair in (card("CPS"), card("CPA")):
        for one in (pair.signature, pair.authentication):
            assert judged(one.certificate, environment="production").verdict is Verdict.TEST_CARD_IN_PROD


def test_a_certificate_travels_with_its_key_and_chain() -> None:
    """PKCS#12 holds the key, the certificate and the issuing authority; PEM the same key; the key is in no repr."""
    one = card("CPS").signature
    key, certificate, others = pkcs12.load_key_and_certificates(one.p12("secret"), b"secret")
    assert key is not None
    assert certificate is not None
    assert certificate.serial_number == one.serial == serial_of(one.certificate)
    assert [other.public_bytes(Encoding.DER) for other in others] == [one.chain[0]]
    assert x509.load_pem_x509_certificate(one.pem_certificate) == certificate
    loaded: Any = load_pem_private_key(one.pem_key, None)
    assert loaded.private_numbers() == one.key.private_numbers()
    assert "key=" not in repr(one)


def test_what_is_revoked_is_listed_from_then_on() -> None:
    """A revoked card and a revoked authority stand on the next lists, without reason codes, as the real ones do."""
    one = organisation()
    pki().revoke(one, NOW - DAY)
    pki().revoke_authority("ST-ORG", NOW - DAY)
    lists = pki().crls(NOW, NOW + 6 * DAY, number=7)
    held = store(*lists)
    assert len(lists) == 9
    assert {index_crl(der, None).info.number for der in lists} == {7}
    status = held.status(read_certificate(one.certificate), issuer("EL-ORG"), NOW)
    assert (status.status, status.revoked_at) == (Revocation.REVOKED, NOW - DAY)
    assert held.status(issuer("ST-ORG"), issuer("ST"), NOW).status is Revocation.REVOKED
    assert failures(judged(one.certificate, *lists)) == {("revocation", Verdict.OPPOSED)}
    assert failures(judged(organisation(idnst=HOSPITAL[2]).certificate, *lists)) == set()
