"""A certificate read as it is: usage, dates, holder, proprietary extensions (facts: cards §1)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from asn1crypto import parser, pem
from asn1crypto import x509 as asn1

from dcc.cards import nomenclature
from dcc.cards.errors import Unparseable
from dcc.cards.holder import Holder, holder_of, octet
from dcc.cards.names import rdns, string_of, text
from dcc.cards.publickey import kind_and_bits
from dcc.cards.usage import Usage, usage_of

HIGHEST_SIZE = 64 << 10  # of a file, with its text around
# Those of the card world have 2 kB, post-quantum ones 8; asn1crypto takes 3 ms for a kilobyte (I8)
HIGHEST_DER = 16 << 10
# Part of an object identifier, wherever it stands; asn1crypto is quadratic in it (R-ASN1; facts: libraries)
_ENDLESS = re.compile(rb"[\x80-\xff]{200}")
BY_NAME = "dn:"
UPN = "1.3.6.1.4.1.311.20.2.3"
BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class CardCertificate:
    """One X.509 certificate of the card world, with everything that a verdict needs."""

    der: bytes
    sha256: str
    serial: int
    subject: str
    issuer: str
    subject_der: bytes
    issuer_der: bytes
    usage: Usage
    environment: str  # "test" | "production"
    product: int | None  # G01, with its test bit
    test_authority: bool  # by its issuer's name, or its own when it is an authority
    not_before: datetime
    not_after: datetime
    key_type: str
    key_bits: int
    signature_hash: str
    policies: tuple[str, ...]
    upn: str | None
    addresses: tuple[str, ...]
    crl_urls: tuple[str, ...]
    crl_points: tuple[str, ...]  # the names of the distribution points that a list may be limited to
    ocsp_urls: tuple[str, ...]
    key_identifier: bytes | None
    authority_key_identifier: bytes | None
    holder: Holder | None
    self_issued: bool


def read_certificate(data: bytes) -> CardCertificate:
    """Read exactly one certificate, DER or PEM. Raises Unparseable, with a sentence."""
    return _read_der(_one_der(data))


@lru_cache(maxsize=512)  # the same cards and readers come again with every mail; 3 ms each time otherwise
def _read_der(der: bytes) -> CardCertificate:
    if len(der) > HIGHEST_DER:
        raise Unparseable("trop grand pour un certificat")
    if _ENDLESS.search(der):
        raise Unparseable("un identifiant d'objet sans fin")
    try:
        _refuse_indefinite(der)
        return _read(der, asn1.Certificate.load(der, strict=True))
    except BROKEN as error:
        raise Unparseable("ce n'est pas un certificat X.509 lisible") from error


def _refuse_indefinite(der: bytes) -> None:
    """What is signed is DER (RFC 5280 §4.1.1.3). Written with indefinite length it would be read as if it were, and one
    certificate would have many fingerprints. Raises Unparseable, and ValueError when there is no structure at all."""
    _, _, _, _, content, end = parser.parse(der, strict=True)
    ends = [end]
    while content:
        _, _, _, head, value, end = parser.parse(content)
        ends.append(end)
        content = content[len(head) + len(value) + len(end) :]
    if any(ends):
        raise Unparseable("le certificat n'est pas codé en DER")


def _one_der(data: bytes) -> bytes:
    if not data.strip():
        raise Unparseable("le fichier est vide")
    if len(data) > HIGHEST_SIZE:
        raise Unparseable("le fichier est trop grand pour un certificat")
    if b"-----BEGIN" not in data:
        return data
    try:
        found = [(name, der) for name, _, der in pem.unarmor(data, multiple=True)]
    except BROKEN as error:
        raise Unparseable("PEM illisible") from error
    if len(found) != 1:
        raise Unparseable("le fichier doit contenir un seul certificat")
    name, der = found[0]
    if name not in {"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"}:
        raise Unparseable("le fichier ne contient pas un certificat")
    return bytes(der)


def _read(der: bytes, parsed: asn1.Certificate) -> CardCertificate:
    tbs = parsed["tbs_certificate"]
    subject = rdns(tbs["subject"])
    issuer = rdns(tbs["issuer"])
    listed = list(tbs["extensions"]) if tbs["extensions"].native is not None else []
    raw = {one["extn_id"].dotted: bytes(one["extn_value"].contents) for one in listed}
    if len(raw) != len(listed):
        raise ValueError("an extension occurs twice")  # RFC 5280 §4.2
    usage = usage_of(_bits(parsed), _extended(parsed))
    product = octet(raw, nomenclature.EXTENSION_PRODUCT)
    authority = _names_test(issuer) or (usage is Usage.CA and _names_test(subject))
    test = authority or (product is not None and bool(product & nomenclature.TEST_BIT))
    emails, upn = _alternative(parsed)
    if not emails and parsed.subject_alt_name_value is None:
        emails = tuple(value for name, value in subject if name == "emailAddress")
    key_type, key_bits = kind_and_bits(tbs["subject_public_key_info"])
    return CardCertificate(
        der=der, sha256=hashlib.sha256(der).hexdigest(), serial=tbs["serial_number"].native,
        subject=text(subject), issuer=text(issuer), subject_der=tbs["subject"].dump(), issuer_der=tbs["issuer"].dump(),
        usage=usage, environment="test" if test else "production", product=product, test_authority=authority,
        not_before=_time(tbs["validity"]["not_before"]), not_after=_time(tbs["validity"]["not_after"]),
        key_type=key_type, key_bits=key_bits, signature_hash=_hash(parsed), policies=_policies(parsed),
        upn=upn, addresses=emails, crl_urls=_crl_urls(parsed), crl_points=_crl_points(parsed),
        ocsp_urls=tuple(parsed.ocsp_urls),
        key_identifier=parsed.key_identifier, authority_key_identifier=parsed.authority_key_identifier,
        holder=None if usage is Usage.CA else holder_of(subject, raw, test=test), self_issued=bool(parsed.self_issued),
    )  # fmt: skip


def _time(value: Any) -> datetime:
    found = value.native
    if not isinstance(found, datetime) or found.tzinfo is None:
        raise ValueError("a date without its zone")  # RFC 5280 §4.1.2.5: always Z
    return found


def _names_test(name: list[tuple[str, str]]) -> bool:
    """An authority whose name carries TEST (facts: cards §1.1)."""
    return any("TEST" in value.upper().replace("-", " ").split() for kind, value in name if kind in {"CN", "OU", "O"})


def _bits(parsed: asn1.Certificate) -> frozenset[str] | None:
    value = parsed.key_usage_value
    return None if value is None else frozenset(value.native)


def _extended(parsed: asn1.Certificate) -> frozenset[str]:
    value = parsed.extended_key_usage_value
    return frozenset() if value is None else frozenset(one.dotted for one in value)


def _alternative(parsed: asn1.Certificate) -> tuple[tuple[str, ...], str | None]:
    value = parsed.subject_alt_name_value
    emails: list[str] = []
    upn = None
    for name in value or ():
        if name.name == "rfc822_name":
            emails.append(str(name.chosen.native))
        elif name.name == "other_name" and name.chosen["type_id"].dotted == UPN:
            upn = string_of(name.chosen["value"])
    return tuple(emails), upn


def _policies(parsed: asn1.Certificate) -> tuple[str, ...]:
    value = parsed.certificate_policies_value
    return () if value is None else tuple(one["policy_identifier"].dotted for one in value)


def _crl_urls(parsed: asn1.Certificate) -> tuple[str, ...]:
    names = (one for point in parsed.crl_distribution_points for one in point_names(point["distribution_point"]))
    return tuple(one for one in names if not one.startswith(BY_NAME))


def _crl_points(parsed: asn1.Certificate) -> tuple[str, ...]:
    """RFC 5280 §6.3.3 (b) (2) (i): of points for all reasons, whose list the authority itself signs."""
    issuer = parsed.issuer.chosen
    return tuple(
        one
        for point in parsed.crl_distribution_points_value or ()
        if point["crl_issuer"].native is None and point["reasons"].native is None
        for one in point_names(point["distribution_point"], issuer)
    )


def point_names(name: Any, issuer: Any = None) -> list[str]:
    """The names of a distribution point: addresses as they are; directory names as `BY_NAME` and their DER in hex.

    One that is relative counts from `issuer`, the list's (RFC 5280 §4.2.1.13).
    """
    if name.name == "full_name":
        found = []
        for general in name.chosen:
            if general.name == "uniform_resource_identifier":
                found.append(bytes(general.chosen.contents).decode("latin-1"))
            elif general.name == "directory_name":
                found.append(BY_NAME + general.chosen.untag().dump().hex())
        return found
    if name.name != "name_relative_to_crl_issuer" or issuer is None:
        return []
    return [BY_NAME + asn1.RDNSequence([*issuer, name.chosen.untag()]).dump().hex()]


def _hash(parsed: asn1.Certificate) -> str:
    try:
        return str(parsed["signature_algorithm"].hash_algo)
    except BROKEN:
        return str(parsed["signature_algorithm"]["algorithm"].native)
