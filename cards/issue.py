"""A look-alike of the IGC-Santé TEST authorities, for tests and demo instances: same names, usages, extensions, CRLs.

Profiles: facts/cards §1. Nothing here can issue a certificate that a production platform accepts: every leaf carries
the TEST bit (G01 0x80) and every authority name begins with TEST.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from dcc.cards import issue_profiles as profiles

CardKind = Literal["CPS", "CPF", "CPE", "CPA"]
KeySource = Callable[[], rsa.RSAPrivateKey]
RANGES = {"EL": "ELEMENTAIRE", "ST": "STANDARD", "FO": "FORT"}
DOMAINS = {"PP": "PERSONNES", "ORG": "ORGANISATIONS"}
CARD_RANGE = {"CPS": "FO", "CPF": "FO", "CPE": "ST", "CPA": "ST"}


def new_key() -> rsa.RSAPrivateKey:
    """A fresh RSA-2048 key, as in IGC-Santé leaves."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate, its key and the authorities above it (issuing first, root last); all DER."""

    certificate: bytes
    key: rsa.RSAPrivateKey = field(repr=False)
    chain: tuple[bytes, ...]

    @property
    def serial(self) -> int:
        """The serial number."""
        return x509.load_der_x509_certificate(self.certificate).serial_number

    @property
    def pem_certificate(self) -> bytes:
        """The certificate in PEM."""
        return x509.load_der_x509_certificate(self.certificate).public_bytes(Encoding.PEM)

    @property
    def pem_key(self) -> bytes:
        """The private key in PEM, PKCS#8, not encrypted: tests and demo only."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def p12(self, password: str, name: str = "demo") -> bytes:
        """A PKCS#12 file with the key, the certificate and the issuing authority."""
        authorities = [x509.load_der_x509_certificate(one) for one in self.chain[:1]]
        certificate = x509.load_der_x509_certificate(self.certificate)
        lock = BestAvailableEncryption(password.encode())
        return pkcs12.serialize_key_and_certificates(name.encode(), self.key, certificate, authorities, lock)


@dataclass(frozen=True, slots=True)
class CardPair:
    """The two certificates of one card: one card, two serials (facts/cards §3)."""

    signature: IssuedCertificate
    authentication: IssuedCertificate


@dataclass(slots=True)
class Authority:
    """One root or issuing authority and what it has revoked."""

    name: x509.Name
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    crl_name: str
    revoked: dict[int, datetime] = field(default_factory=dict)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


class LookAlikePki:
    """Three roots (ELEMENTAIRE, STANDARD, FORT) and their authorities PERSONNES and ORGANISATIONS."""

    def __init__(self, roots: dict[str, Authority], authorities: dict[str, Authority], key_source: KeySource) -> None:
        self._roots = roots
        self._authorities = authorities
        self._key = key_source

    @classmethod
    def create(cls, now: datetime, *, key_source: KeySource = new_key, years: int = 10) -> LookAlikePki:
        """A new PKI, valid from a year before `now`."""
        start, end = now - timedelta(days=365), now + timedelta(days=365 * years)
        with ThreadPoolExecutor() as pool:
            keys = list(pool.map(lambda _: key_source(), range(len(RANGES) * 3)))
        roots: dict[str, Authority] = {}
        authorities: dict[str, Authority] = {}
        for code, label in RANGES.items():
            key = keys.pop()
            name = profiles.authority_name(f"TEST AC RACINE IGC-SANTE {label}")
            root = profiles.authority(name, key, name, key, start, end, parent_crl=None)
            roots[code] = Authority(name, root, key, f"ACR-{code}-TEST")
            for domain, domain_label in DOMAINS.items():
                key = keys.pop()
                crl = f"ACI-{code}-{domain}-TEST"
                own = profiles.authority_name(f"TEST AC IGC-SANTE {label} {domain_label}")
                parent = roots[code]
                made = profiles.authority(own, key, name, parent.key, start, end, parent_crl=parent.crl_name)
                authorities[f"{code}-{domain}"] = Authority(own, made, key, crl)
        return cls(roots, authorities, key_source)

    @property
    def anchors(self) -> tuple[bytes, ...]:
        """The three roots, DER."""
        return tuple(root.der for root in self._roots.values())

    @property
    def intermediates(self) -> tuple[bytes, ...]:
        """The six issuing authorities, DER."""
        return tuple(authority.der for authority in self._authorities.values())

    @property
    def authorities(self) -> dict[str, Authority]:
        """Issuing authorities by range and domain: "FO-PP", "EL-ORG", …"""
        return self._authorities

    @property
    def roots(self) -> dict[str, Authority]:
        """Roots by range."""
        return self._roots

    def issue_card(
        self,
        kind: CardKind,
        *,
        idnps: str,
        family_name: str,
        given_name: str,
        not_before: datetime,
        not_after: datetime,
        card_number: str,
        profession: int | None = None,
        specialties: Sequence[str] = (),
        structure: tuple[str, str, str] | None = None,
    ) -> CardPair:
        """One card. `structure`: (department, name, IDNST), for CPE and CPA."""
        subject = profiles.person_name(idnps, family_name, given_name, profession, structure)
        extensions = profiles.card_extensions(kind, card_number, profession, specialties)
        authority = self._authorities[f"{CARD_RANGE[kind]}-PP"]
        signature = self._leaf(authority, subject, not_before, not_after, profiles.CARD_SIGNATURE, extensions)
        upn = profiles.card_upn(idnps)
        authentication = self._leaf(
            authority, subject, not_before, not_after, profiles.CARD_AUTHENTICATION, extensions, upn=upn
        )
        return CardPair(signature, authentication)

    def issue_organisation(
        self,
        *,
        idnst: str,
        name: str,
        department: str,
        common_name: str,
        usage: Literal["SIGN", "CONF", "AUTH_CLI", "SSL"],
        not_before: datetime,
        not_after: datetime,
        addresses: Sequence[str] = (),
        dns_names: Sequence[str] = (),
    ) -> IssuedCertificate:
        """A software certificate of an organisation; `addresses` become rfc822Names, so that mail clients find it."""
        subject = profiles.organisation_name(department, name, idnst, common_name)
        return self._leaf(
            self._authorities["EL-ORG"], subject, not_before, not_after, profiles.ORGANISATION[usage],
            profiles.software_extensions(), addresses=addresses, dns_names=dns_names,
        )  # fmt: skip

    def issue_person_software(
        self,
        *,
        idnps: str,
        family_name: str,
        given_name: str,
        usage: Literal["SIGN", "CONF"],
        addresses: Sequence[str],
        not_before: datetime,
        not_after: datetime,
        profession: int | None = None,
    ) -> IssuedCertificate:
        """A software certificate of a person: what a reader receives encrypted mail with."""
        subject = profiles.person_name(idnps, family_name, given_name, profession, None)
        return self._leaf(
            self._authorities["EL-PP"], subject, not_before, not_after, profiles.ORGANISATION[usage],
            profiles.software_extensions(profession), addresses=addresses,
        )  # fmt: skip

    def _leaf(
        self,
        authority: Authority,
        subject: x509.Name,
        not_before: datetime,
        not_after: datetime,
        usage: profiles.UsageProfile,
        extensions: Iterable[x509.UnrecognizedExtension],
        *,
        addresses: Sequence[str] = (),
        dns_names: Sequence[str] = (),
        upn: str | None = None,
    ) -> IssuedCertificate:
        key = self._key()
        names = profiles.alternative_names(addresses, dns_names, upn)
        certificate = profiles.leaf(
            subject, key, authority.name, authority.key, not_before, not_after, usage, extensions,
            names, authority.crl_name,
        )  # fmt: skip
        root = next(one for one in self._roots.values() if one.name == authority.certificate.issuer)
        return IssuedCertificate(certificate.public_bytes(Encoding.DER), key, (authority.der, root.der))

    def revoke(self, issued: IssuedCertificate, at: datetime) -> None:
        """Put one certificate on its authority's opposition list."""
        loaded = x509.load_der_x509_certificate(issued.certificate)
        authority = next(one for one in self._authorities.values() if one.name == loaded.issuer)
        authority.revoked[loaded.serial_number] = at

    def revoke_authority(self, code: str, at: datetime) -> None:
        """Put an issuing authority on its root's list."""
        self._roots[code.partition("-")[0]].revoked[self._authorities[code].certificate.serial_number] = at

    def crls(self, this_update: datetime, next_update: datetime, number: int = 1) -> tuple[bytes, ...]:
        """One base CRL for each authority and root, DER."""
        everyone = (*self._roots.values(), *self._authorities.values())
        return tuple(profiles.crl(one, this_update, next_update, number) for one in everyone)


__all__ = ["Authority", "CardPair", "IssuedCertificate", "LookAlikePki", "new_key"]
