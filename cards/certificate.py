"""A certificate read as it is: usage, dates, holder, proprietary extensions (facts: cards §1).

Names are read with asn1crypto and a Latin-1 fallback: `cryptography` refuses the T61String of IGC-CPS2ter cards.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from asn1crypto import core, pem
from asn1crypto import x509 as asn1

from dcc.cards import nomenclature
from dcc.cards.errors import Unparseable
from dcc.cards.identifiers import idnps, idnst
from dcc.cards.usage import Usage, usage_of

HIGHEST_SIZE = 64 << 10
UPN = "1.3.6.1.4.1.311.20.2.3"
BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)
OIDS = {
    "2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.42": "GN", "2.5.4.6": "C", "2.5.4.10": "O", "2.5.4.11": "OU",
    "2.5.4.12": "title", "2.5.4.8": "ST", "2.5.4.7": "L", "1.2.840.113549.1.9.1": "emailAddress",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a certificate; None where it does not say."""

    kind: str  # "person" | "organisation"
    idnps: str | None = None
    family_name: str | None = None
    given_name: str | None = None
    profession: str | None = None  # G15 code
    profession_label: str | None = None
    specialties: tuple[str, ...] = ()
    card_type: str | None = None
    card_number: str | None = None
    structure_id: str | None = None
    structure_name: str | None = None
    common_name: str | None = None


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
    not_before: datetime
    not_after: datetime
    key_type: str
    key_bits: int
    signature_hash: str
    policies: tuple[str, ...]
    upn: str | None
    addresses: tuple[str, ...]
    crl_urls: tuple[str, ...]
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
    try:
        return _read(der, asn1.Certificate.load(der, strict=True))
    except BROKEN as error:
        raise Unparseable("ce n'est pas un certificat X.509 lisible") from error


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
    raw = {one["extn_id"].dotted: one for one in tbs["extensions"]} if tbs["extensions"].native is not None else {}
    product = _octet(raw, nomenclature.EXTENSION_PRODUCT)
    issuer = rdns(tbs["issuer"])
    test = (product is not None and bool(product & nomenclature.TEST_BIT)) or _names_test(issuer, subject)
    usage = usage_of(_bits(parsed), _extended(parsed))
    emails, upn = _alternative(parsed)
    if not emails and parsed.subject_alt_name_value is None:
        emails = tuple(value for name, value in subject if name == "emailAddress")
    key = tbs["subject_public_key_info"]
    return CardCertificate(
        der=der, sha256=hashlib.sha256(der).hexdigest(), serial=tbs["serial_number"].native,
        subject=text(subject), issuer=text(issuer), subject_der=tbs["subject"].dump(), issuer_der=tbs["issuer"].dump(),
        usage=usage, environment="test" if test else "production",
        not_before=tbs["validity"]["not_before"].native, not_after=tbs["validity"]["not_after"].native,
        key_type=_key_type(key), key_bits=_key_bits(key), signature_hash=_hash(parsed), policies=_policies(parsed),
        upn=upn, addresses=emails, crl_urls=_crl_urls(parsed), ocsp_urls=tuple(parsed.ocsp_urls),
        key_identifier=parsed.key_identifier, authority_key_identifier=parsed.authority_key_identifier,
        holder=None if usage is Usage.CA else _holder(subject, raw, product), self_issued=bool(parsed.self_issued),
    )  # fmt: skip


def rdns(name: asn1.Name) -> list[tuple[str, str]]:
    """(attribute, text) of every attribute, in DER order; multi-valued RDNs are flattened, in no order."""
    found = []
    for rdn in name.chosen:
        for pair in rdn:
            found.append((OIDS.get(pair["type"].dotted, pair["type"].dotted), _string(pair["value"])))
    return found


def _string(value: Any) -> str:
    chosen = value.chosen if isinstance(value, core.Choice) else value
    if isinstance(chosen, core.Any):
        chosen = chosen.parse()
    raw = bytes(chosen.contents)
    if isinstance(chosen, core.BMPString):
        return raw.decode("utf-16-be", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")  # T61String of IGC-CPS2ter


def text(pairs: list[tuple[str, str]]) -> str:
    """A DN for people; never split it again: values may hold commas, slashes, semicolons."""
    return ", ".join(f"{name}={value}" for name, value in pairs)


def _names_test(issuer: list[tuple[str, str]], subject: list[tuple[str, str]]) -> bool:
    """The authority's name carries TEST (facts: cards §1.1), or the certificate is itself such an authority."""
    return any(
        "TEST" in value.upper().replace("-", " ").split()
        for name, value in (*issuer, *subject)
        if name in {"CN", "OU", "O"}
    )


def _extension(raw: dict[str, Any], oid: str) -> bytes | None:
    return bytes(raw[oid]["extn_value"].contents) if oid in raw else None


def _octet(raw: dict[str, Any], oid: str) -> int | None:
    value = _extension(raw, oid)
    if value is None:
        return None
    inner = core.load(value)
    contents = bytes(inner.contents)
    return contents[-1] if contents else None


def _integer(raw: dict[str, Any], oid: str) -> int | None:
    value = _extension(raw, oid)
    return None if value is None else int(core.Integer.load(value).native)


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
            upn = _string(
                name.chosen["value"].parse() if isinstance(name.chosen["value"], core.Any) else name.chosen["value"]
            )
    return tuple(emails), upn


def _policies(parsed: asn1.Certificate) -> tuple[str, ...]:
    value = parsed.certificate_policies_value
    return () if value is None else tuple(one["policy_identifier"].dotted for one in value)


def _crl_urls(parsed: asn1.Certificate) -> tuple[str, ...]:
    urls = []
    for point in parsed.crl_distribution_points:
        name = point["distribution_point"]
        for general in name.chosen if name.name == "full_name" else ():
            if general.name == "uniform_resource_identifier":
                urls.append(bytes(general.chosen.contents).decode("latin-1"))
    return tuple(urls)


def _key_type(key: Any) -> str:
    name = key["algorithm"]["algorithm"].native
    # An old GIP-CPS identifier that means plain RSA (facts: cards §1.1)
    return "rsa" if name == "1.2.250.1.71.2.6.1" else str(name)


def _key_bits(key: Any) -> int:
    try:
        return int(key.bit_size)
    except BROKEN:
        return 8 * len(bytes(key["public_key"].contents))


def _hash(parsed: asn1.Certificate) -> str:
    try:
        return str(parsed["signature_algorithm"].hash_algo)
    except BROKEN:
        return str(parsed["signature_algorithm"]["algorithm"].native)


def _holder(subject: list[tuple[str, str]], raw: dict[str, Any], product: int | None) -> Holder:
    first = dict(reversed(subject))  # the first of each attribute
    common = first.get("CN")
    card = _integer(raw, nomenclature.EXTENSION_CARD_TYPE)
    profession = _integer(raw, nomenclature.EXTENSION_PROFESSION)
    number = _extension(raw, nomenclature.EXTENSION_CARD_NUMBER)
    person = "SN" in first or card is not None
    units = [value for name, value in subject if name == "OU" and idnst(value).valid]
    structure = units[0] if units else None
    code = None if profession is None else str(profession)
    label = None
    if code is not None:
        label = nomenclature.PROFESSIONS.get(code) or first.get("title")
    identifier = common if person and common is not None and idnps(common).valid else None
    return Holder(
        kind="person" if person else "organisation",
        idnps=identifier,
        family_name=first.get("SN"),
        given_name=first.get("GN"),
        profession=code,
        profession_label=label,
        specialties=_specialties(raw),
        card_type=None if card is None else nomenclature.CARD_TYPES.get(card, str(card)),
        card_number=None if number is None else _string(core.load(number)),
        structure_id=structure,
        structure_name=first.get("O") if structure is not None or not person else None,
        common_name=common,
    )


class _Many(core.SequenceOf):
    _child_spec = core.Any


def _many(value: bytes) -> list[Any]:
    return list(_Many.load(value))  # type: ignore[no-untyped-call]


def _specialties(raw: dict[str, Any]) -> tuple[str, ...]:
    value = _extension(raw, nomenclature.EXTENSION_SPECIALTIES)
    return () if value is None else tuple(_string(one) for one in _many(value))
