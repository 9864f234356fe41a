"""The certificate profiles of IGC-Santé, as builders: names, usages, proprietary extensions (facts/cards §1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

if TYPE_CHECKING:
    from dcc.cards.issue import Authority

TEST_POLICY = "1.2.250.1.213.1.7.2.1.1.1.1"
POLICY_PAGE = "http://igc-sante.esante.gouv.fr/PC%20TEST"
CRL_PLACE = "http://igc-sante.esante.gouv.fr/CRL/"
G01, G02, CARD_NUMBER = "1.2.250.1.71.1.2.5", "1.2.250.1.71.1.2.2", "1.2.250.1.71.1.2.3"
G15, R01 = "1.2.250.1.71.1.2.7", "1.2.250.1.71.4.2.5"
UPN = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
SMART_CARD_LOGON = ObjectIdentifier("1.3.6.1.4.1.311.20.2.2")
CARD_KINDS = {"CPS": 0, "CPF": 1, "CPE": 2, "CPA": 3}
PROFESSIONS = {
    10: "Médecin", 21: "Pharmacien", 40: "Chirurgien-dentiste", 50: "Sage-femme", 60: "Infirmier",
    70: "Masseur-kinésithérapeute",
}  # fmt: skip
STAFF_TITLE = "Personnel santé ou social"


@dataclass(frozen=True, slots=True)
class UsageProfile:
    """Key usage bits and extended key usages of one kind of certificate."""

    digital_signature: bool = False
    non_repudiation: bool = False
    key_encipherment: bool = False
    extended: tuple[ObjectIdentifier, ...] = ()
    private_key_period: bool = False


EMAIL, CLIENT, SERVER = (
    ExtendedKeyUsageOID.EMAIL_PROTECTION,
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.SERVER_AUTH,
)
CARD_SIGNATURE = UsageProfile(non_repudiation=True, extended=(EMAIL,), private_key_period=True)
CARD_AUTHENTICATION = UsageProfile(digital_signature=True, extended=(CLIENT, SMART_CARD_LOGON))
ORGANISATION = {
    "SIGN": UsageProfile(True, True, extended=(EMAIL,), private_key_period=True),
    "CONF": UsageProfile(key_encipherment=True, extended=(EMAIL, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)),
    "AUTH_CLI": UsageProfile(digital_signature=True, extended=(CLIENT,)),
    "SSL": UsageProfile(digital_signature=True, key_encipherment=True, extended=(SERVER, CLIENT)),
}


def _attribute(oid: ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    return x509.NameAttribute(oid, value)


def authority_name(common_name: str) -> x509.Name:
    """The DN of a TEST authority."""
    return x509.Name(
        [
            _attribute(NameOID.COUNTRY_NAME, "FR"),
            _attribute(NameOID.ORGANIZATION_NAME, "ASIP-SANTE"),
            _attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "0002 187512751"),
            _attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "IGC-SANTE TEST"),
            _attribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def person_name(
    idnps: str,
    family_name: str,
    given_name: str,
    profession: int | None,
    structure: tuple[str, str, str] | None,
) -> x509.Name:
    """The DN of a person: the last RDN holds CN, SN and GN together."""
    parts = [x509.RelativeDistinguishedName([_attribute(NameOID.COUNTRY_NAME, "FR")])]
    if structure is not None:
        department, name, idnst = structure
        for oid, value in (
            (NameOID.STATE_OR_PROVINCE_NAME, department),
            (NameOID.ORGANIZATION_NAME, name[:40]),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, idnst),
        ):
            parts.append(x509.RelativeDistinguishedName([_attribute(oid, value)]))
    title = STAFF_TITLE if profession is None else PROFESSIONS.get(profession, "Professionnel de santé")
    parts.append(x509.RelativeDistinguishedName([_attribute(NameOID.TITLE, title)]))
    parts.append(
        x509.RelativeDistinguishedName(
            [
                _attribute(NameOID.GIVEN_NAME, given_name),
                _attribute(NameOID.COMMON_NAME, idnps),
                _attribute(NameOID.SURNAME, family_name),
            ]
        )
    )
    return x509.Name(parts)


def organisation_name(department: str, name: str, idnst: str, common_name: str) -> x509.Name:
    """The DN of an organisation or a server."""
    return x509.Name(
        [
            _attribute(NameOID.COUNTRY_NAME, "FR"),
            _attribute(NameOID.STATE_OR_PROVINCE_NAME, department),
            _attribute(NameOID.ORGANIZATION_NAME, name[:40]),
            _attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, idnst),
            _attribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def card_upn(idnps: str) -> str:
    """`8.99700041983@carte-cps.fr`, or without the dot for identifiers with a register: never a mail address."""
    return f"{idnps}@carte-cps.fr" if "/" in idnps else f"{idnps[0]}.{idnps[1:]}@carte-cps.fr"


def card_extensions(
    kind: str, card_number: str, profession: int | None, specialties: Sequence[str]
) -> list[x509.UnrecognizedExtension]:
    """G01 (card, TEST), G02 card type, card number, G15 profession, R01 specialties."""
    found = [
        _extension(G01, core.OctetString(b"\x80")),
        _extension(G02, core.Integer(CARD_KINDS[kind])),
        _extension(CARD_NUMBER, core.PrintableString(card_number)),
    ]
    if profession is not None:
        found.append(_extension(G15, core.Integer(profession)))
    if specialties:
        found.append(_extension(R01, _Strings([core.UTF8String(one) for one in specialties])))
    return found


def software_extensions(profession: int | None = None) -> list[x509.UnrecognizedExtension]:
    """G01 (software, TEST), and the profession of a person."""
    found = [_extension(G01, core.OctetString(b"\x83"))]
    if profession is not None:
        found.append(_extension(G15, core.Integer(profession)))
    return found


class _Strings(core.SequenceOf):  # members are built by asn1crypto
    _child_spec = core.UTF8String


def _extension(oid: str, value: core.Asn1Value) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(ObjectIdentifier(oid), value.dump())


def alternative_names(
    addresses: Sequence[str], dns_names: Sequence[str], upn: str | None
) -> x509.SubjectAlternativeName | None:
    """SubjectAltName, or None: card signature certificates have none."""
    names: list[x509.GeneralName] = [x509.RFC822Name(one) for one in addresses]
    names += [x509.DNSName(one) for one in dns_names]
    if upn is not None:
        names.append(x509.OtherName(UPN, core.UTF8String(upn).dump()))
    return x509.SubjectAlternativeName(names) if names else None


def authority(
    name: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    start: datetime,
    end: datetime,
    *,
    parent_crl: str | None,
) -> x509.Certificate:
    """A root (its own issuer) or an issuing authority; `parent_crl`: the list that may name it."""
    builder = (
        _base(name, key, issuer, issuer_key, start, end)
        .add_extension(x509.BasicConstraints(True, None if parent_crl is None else 0), critical=True)
        .add_extension(_key_usage(UsageProfile(), authority=True), critical=True)
    )
    if parent_crl is not None:
        builder = builder.add_extension(_points(parent_crl), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def leaf(
    subject: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    not_before: datetime,
    not_after: datetime,
    usage: UsageProfile,
    extensions: Iterable[x509.UnrecognizedExtension],
    names: x509.SubjectAlternativeName | None,
    crl_name: str,
) -> x509.Certificate:
    """One end-entity certificate."""
    policy = x509.PolicyInformation(ObjectIdentifier(TEST_POLICY), [POLICY_PAGE])
    builder = (
        _base(subject, key, issuer, issuer_key, not_before, not_after)
        .add_extension(x509.BasicConstraints(False, None), critical=False)
        .add_extension(_key_usage(usage), critical=True)
        .add_extension(x509.CertificatePolicies([policy]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usage.extended), critical=False)
        .add_extension(_points(crl_name), critical=False)
    )
    if usage.private_key_period:
        builder = builder.add_extension(x509.PrivateKeyUsagePeriod(not_before, not_after), critical=False)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _base(
    subject: x509.Name,
    key: rsa.RSAPrivateKey,
    issuer: x509.Name,
    issuer_key: rsa.RSAPrivateKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )


def _key_usage(usage: UsageProfile, *, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=usage.digital_signature,
        content_commitment=usage.non_repudiation,
        key_encipherment=usage.key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _points(crl_name: str) -> x509.CRLDistributionPoints:
    place = x509.UniformResourceIdentifier(f"{CRL_PLACE}{crl_name}.crl")
    return x509.CRLDistributionPoints([x509.DistributionPoint([place], None, None, None)])


def crl(authority_: Authority, this_update: datetime, next_update: datetime, number: int) -> bytes:
    """A base CRL, with its number and without reason codes, as the sample CRL has it."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority_.name)
        .last_update(this_update)
        .next_update(next_update)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_.key.public_key()), critical=False)
    )
    for serial, at in sorted(authority_.revoked.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(authority_.key, hashes.SHA256()).public_bytes(Encoding.DER)
