"""A look-alike card world for tests, made once per process: authorities, cards, lists, and anything that can be wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from asn1crypto import algos, core
from asn1crypto import crl as asn1_crl
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from dcc.cards import issue_profiles as profiles
from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.issue import Authority, CardPair, IssuedCertificate, LookAlikePki
from dcc.cards.judge import judge
from dcc.cards.trust import TrustStore, trust_of
from dcc.cards.verdict import Judgement, Verdict
from rsakeys import rsa_key

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START, END = NOW - 100 * DAY, NOW + 900 * DAY
AUTHORITIES = 9
HOSPITAL = ("Paris (75)", "HOPITAL DES 3 DAMES", "10B0057881")
G01 = profiles.G01
_numbers = itertools.count(1)
_made = itertools.count()
POST_QUANTUM_KEYS: dict[str, Any] = {
    "ml-dsa-65": mldsa.MLDSA65PrivateKey, "ml-dsa-87": mldsa.MLDSA87PrivateKey,
    "ml-kem-768": mlkem.MLKEM768PrivateKey,
}  # fmt: skip


@cache
def key(name: str = "leaf") -> Any:
    """One key for each name, made when first asked for; the name tells its kind."""
    if name == "rsa-1024":
        return rsa_key(f"cards {name}", 1024)
    if name == "p256":
        return ec.generate_private_key(ec.SECP256R1())
    if name == "p224":
        return ec.generate_private_key(ec.SECP224R1())
    if name in POST_QUANTUM_KEYS:
        return POST_QUANTUM_KEYS[name].generate()
    if name == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa_key(f"cards {name}")


def _source() -> rsa.RSAPrivateKey:
    place = next(_made)
    return key(f"authority {place}" if place < AUTHORITIES else "leaf")


@cache
def pki() -> LookAlikePki:
    """Nine authorities with a key each; all leaves share one key."""
    return LookAlikePki.create(NOW, key_source=_source)


@cache
def trust() -> TrustStore:
    """Every authority of `pki`."""
    return trust_of((*pki().anchors, *pki().intermediates))


def authority(code: str) -> Authority:
    """ "FO-PP", "EL-ORG", …, or "FO" for a root."""
    return pki().authorities[code] if "-" in code else pki().roots[code]


def issuer(code: str) -> CardCertificate:
    """The same, read."""
    return read_certificate(authority(code).der)


def card(kind: Any = "CPS", **changes: Any) -> CardPair:
    """One card in its dates, of a doctor of the test range, or of the hospital's staff."""
    number = f"8025000001/28{next(_numbers):08d}"
    staff = kind in {"CPE", "CPA"}
    values: dict[str, Any] = {
        "idnps": "30B0057881/CPET0002" if staff else "899700366240",
        "family_name": "MEDECIN", "given_name": "ANNE", "not_before": START, "not_after": END, "card_number": number,
        "profession": None if staff else 10, "specialties": () if staff else ("SM36",),
        "structure": HOSPITAL if staff else None,
    }  # fmt: skip
    return pki().issue_card(kind, **{**values, **changes})


def organisation(usage: Any = "SIGN", **changes: Any) -> IssuedCertificate:
    """A software certificate of the hospital."""
    department, name, idnst = HOSPITAL
    values = {"idnst": idnst, "name": name, "department": department, "common_name": "automate", "not_before": START,
              "not_after": END}  # fmt: skip
    return pki().issue_organisation(usage=usage, **{**values, **changes})


def leaf(
    *,
    subject: x509.Name | None = None,
    by: str = "FO-PP",
    issuer_name: x509.Name | None = None,
    issuer_key: Any = None,
    own_key: Any = None,
    usage: profiles.UsageProfile = profiles.CARD_SIGNATURE,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
    proprietary: Sequence[x509.UnrecognizedExtension] | None = None,
    digest: hashes.HashAlgorithm | None = None,
    serial: int | None = None,
    not_before: datetime = START,
    not_after: datetime = END,
    authority_key: Any = "issuer",
) -> bytes:
    """A leaf with anything changed; `authority_key` None: no AuthorityKeyIdentifier."""
    parent = authority(by)
    signer = issuer_key or parent.key
    named = signer if authority_key == "issuer" else authority_key
    public = (own_key or key()).public_key()
    own = profiles.card_extensions("CPS", f"8025000001/29{next(_numbers):08d}", 10, ())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject or profiles.person_name("899700366240", "MEDECIN", "ANNE", 10, None))
        .issuer_name(issuer_name or parent.name)
        .public_key(public)
        .serial_number(x509.random_serial_number() if serial is None else serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(key_usage(usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usage.extended or (profiles.EMAIL,)), critical=False)
    )
    if named is not None:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(named.public_key())
        builder = builder.add_extension(identifier, critical=False)
    for one in own if proprietary is None else proprietary:
        builder = builder.add_extension(one, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, digest or hashes.SHA256()).public_bytes(Encoding.DER)


def resigned(der: bytes, algorithm: int, digest: hashes.HashAlgorithm, by: str = "FO-PP", what: Any = None) -> bytes:
    """A certificate (or a list) signed anew with the RSA algorithm of this number in PKCS#1: what no builder agrees to make."""
    whole = (what or asn1_x509.Certificate).load(der)
    family = bytes.fromhex("2a864886f70d0101")
    old, new = family + b"\x0b", family + bytes([algorithm])
    fields = whole[0].dump().replace(old, new, 1)
    signature = authority(by).key.sign(fields, padding.PKCS1v15(), digest)
    return tlv(0x30, fields + whole["signature_algorithm"].dump().replace(old, new) + tlv(0x03, b"\0" + signature))


def key_usage(usage: profiles.UsageProfile, **more: bool) -> x509.KeyUsage:
    """KeyUsage of a profile."""
    names = {
        "digital_signature": usage.digital_signature, "content_commitment": usage.non_repudiation,
        "key_encipherment": usage.key_encipherment, "data_encipherment": False, "key_agreement": False,
        "key_cert_sign": False, "crl_sign": False, "encipher_only": False, "decipher_only": False,
    }  # fmt: skip
    return x509.KeyUsage(**{**names, **more})


def crl(
    code: str,
    serials: Mapping[int, x509.ReasonFlags | None] | Iterable[int] = (),
    *,
    number: int | None = 1,
    base: int | None = None,
    this_update: datetime = NOW - HOUR,
    next_update: datetime | None = NOW + 6 * DAY,
    at: datetime = NOW - 2 * HOUR,
    point: x509.IssuingDistributionPoint | None = None,
    signer: Any = None,
    named_key: Any = None,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """A list of one authority: base or (with `base`) changes, by its own key or another's."""
    parent = authority(code)
    named = named_key or parent.key
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(named.public_key())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(parent.name)
        .last_update(this_update)
        .next_update(next_update or NOW)
        .add_extension(identifier, critical=False)
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if base is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
    if point is not None:
        builder = builder.add_extension(point, critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    reasons = serials if isinstance(serials, Mapping) else dict.fromkeys(serials)
    for serial, why in reasons.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
        if why is not None:
            entry = entry.add_extension(x509.CRLReason(why), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(signer or parent.key, hashes.SHA256()).public_bytes(Encoding.DER)


def big_crl(code: str, serials: Iterable[int], number: int = 1) -> bytes:
    """A base list of many entries, assembled without the builder, which copies its list for each of them."""
    template = asn1_crl.CertificateList.load(crl(code, [1], number=number))
    fields = template["tbs_cert_list"]
    date = fields["revoked_certificates"][0]["revocation_date"].dump()
    entries = b"".join(tlv(0x30, core.Integer(serial).dump() + date) for serial in serials)
    names = ("version", "signature", "issuer", "this_update", "next_update")
    head = b"".join(fields[name].dump() for name in names)
    tbs = tlv(0x30, head + tlv(0x30, entries) + fields["crl_extensions"].dump())
    signature = authority(code).key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    algorithm = algos.SignedDigestAlgorithm({"algorithm": "sha256_rsa", "parameters": core.Null()}).dump()
    return tlv(0x30, tbs + algorithm + tlv(0x03, b"\0" + signature))


def tlv(tag: int, contents: bytes) -> bytes:
    """One DER value."""
    size = len(contents)
    if size < 128:
        return bytes([tag, size]) + contents
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + contents


def store(*lists: bytes) -> CrlStore:
    """A store that knows these lists, without a cache."""
    made = CrlStore()
    for one in lists:
        made.add(one)
    return made


def fresh(
    codes: Sequence[str] = ("EL", "ST", "FO", "EL-PP", "EL-ORG", "ST-PP", "FO-PP"), **options: Any
) -> list[bytes]:
    """An empty list of each of these authorities, in its dates."""
    return [crl(code, **options) for code in codes]


def judged(der: bytes, *lists: bytes, at: datetime = NOW, **options: Any) -> Judgement:
    """The judgement of one certificate with these lists."""
    return judge(der, **{"trust": trust(), "crls": store(*lists), "at": at, **options})


def failures(found: Judgement) -> set[tuple[str, Verdict]]:
    """(check, verdict) of everything that was found wrong."""
    return {(one.check, one.verdict) for one in found.evidence if one.verdict is not None}


def serial_of(der: bytes) -> int:
    """The serial number of a certificate."""
    return x509.load_der_x509_certificate(der).serial_number


def pem(der: bytes, kind: str = "CERTIFICATE") -> bytes:
    """DER as PEM."""
    if kind == "X509 CRL":
        return x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
