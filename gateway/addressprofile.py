"""The address profile: an S/MIME certificate bound to the From address (RFC 8550 §3, §4.4; R-FROM, R-USAGE)."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Collection, Sequence
from datetime import datetime
from enum import Enum

from asn1crypto import x509 as asn1

from dcc.cards.certificate import BROKEN, CardCertificate
from dcc.cards.crl import CrlStore
from dcc.cards.judge import judge
from dcc.cards.trust import TrustStore
from dcc.cards.verdict import Evidence, Judgement, Verdict, headline
from dcc.smime.address import lowered

SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9"  # RFC 9598 §3
AGREEMENTS = frozenset({"ec", "x25519"})  # RFC 8550 §4.4.2, RFC 8410 §5
EMAIL_PROTECTION, ANY = "1.3.6.1.5.5.7.3.4", "2.5.29.37.0"


class Binding(Enum):
    """Whether a certificate names an address."""

    NAMED = "named"
    DOMAIN = "domain"  # it stands for the organisation: it names the domain, and no address
    OTHER = "other"  # it names other addresses
    NONE = "none"  # it names none


def binding(certificate: CardCertificate, address: str, domains: Collection[str] = ()) -> Binding:
    """Compare without the case of ASCII, domains as A-labels (RFC 9598 §5).

    The subject's emailAddress counts only when there is no subjectAltName (RFC 8550 §3).

    `domains`: those that the certificate's anchors may vouch for as a whole; a certificate of an organisation names
    one of them as a dNSName, and no address.
    """
    names = {_compared(one) for one in (*certificate.addresses, *_international(certificate.der))}
    if not names:
        domain = _compared(address).rpartition("@")[2]
        return Binding.DOMAIN if domain in domains and domain in _hosts(certificate.der) else Binding.NONE
    return Binding.NAMED if _compared(address) in names else Binding.OTHER


def _compared(address: str) -> str:
    local, at, domain = lowered(address).rpartition("@")
    return f"{local}{at}{'.'.join(map(_a_label, domain.split('.')))}"


def _a_label(label: str) -> str:
    """The A-label of a U-label (RFC 5891 §4.4), without any mapping: what is no U-label stays itself, and equals nothing."""
    if label.isascii() or unicodedata.normalize("NFC", label.lower()) != label:
        return label
    return "xn--" + label.encode("punycode").decode("ascii")


def _international(der: bytes) -> list[str]:
    """SmtpUTF8Mailbox names."""
    value = asn1.Certificate.load(der).subject_alt_name_value
    found = []
    for name in value or ():
        if name.name == "other_name" and name.chosen["type_id"].dotted == SMTP_UTF8_MAILBOX:
            with contextlib.suppress(*BROKEN):  # a name that cannot be read names nobody
                inner = name.chosen["value"]
                parsed = inner.parse() if hasattr(inner, "parse") else inner
                found.append(str(parsed.native))
    return found


def _hosts(der: bytes) -> set[str]:
    """The dNSNames, in lower case; a wildcard names no domain."""
    value = asn1.Certificate.load(der).subject_alt_name_value
    raw = (bytes(name.chosen.contents) for name in value or () if name.name == "dns_name")
    return {lowered(one.decode("ascii", "replace")) for one in raw}


def judge_address(
    certificate: bytes, *, trust: TrustStore, crls: CrlStore, at: datetime, extra: Sequence[bytes], revocation: bool,
    purpose: str = "sign",
) -> Judgement:  # fmt: skip
    """`cards.judge` with the usage that RFC 8550 asks for in place of the cards' own. `purpose`: "sign" or "encrypt"."""
    found = judge(
        certificate, trust=trust, crls=crls, at=at, purpose=purpose, extra_certificates=extra, revocation=revocation,
        environment="test",
    )  # fmt: skip
    if found.certificate is None:
        return found
    evidence = (*(one for one in found.evidence if one.check != "usage"), mail_usage(found.certificate, purpose))
    return Judgement(headline(evidence), evidence, found.certificate, found.chain)


def mail_usage(certificate: CardCertificate, purpose: str) -> Evidence:
    """What a KeyUsage and an EKU must allow where they are there (RFC 8550 §4.4.2, §4.4.4).

    To sign, digitalSignature or nonRepudiation; to encrypt, keyAgreement for a curve, else keyEncipherment.
    """
    parsed = asn1.Certificate.load(certificate.der)
    usage, extended = parsed.key_usage_value, parsed.extended_key_usage_value
    bits = None if usage is None else set(usage.native)
    purposes = None if extended is None else {one.dotted for one in extended}
    enciphers = {"key_agreement"} if certificate.key_type in AGREEMENTS else {"key_encipherment"}
    wanted = enciphers if purpose == "encrypt" else {"digital_signature", "non_repudiation"}
    if bits is not None and not bits & wanted:
        does = "ne chiffre pas" if purpose == "encrypt" else "ne signe pas"
        return Evidence("usage", Verdict.WRONG_USAGE, f"ce certificat {does} (KeyUsage)", {"usage": _list(bits)})
    if purposes is not None and not purposes & {EMAIL_PROTECTION, ANY}:
        return Evidence("usage", Verdict.WRONG_USAGE, "ce certificat n'est pas pour le courriel (EKU)")
    return Evidence("usage", None, "chiffrement de courriel" if purpose == "encrypt" else "signature de courriel")


def _list(bits: set[str]) -> str:
    return ",".join(sorted(bits))
