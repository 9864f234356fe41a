"""What the lists say of a certificate, of the other certificate of its card, and of each authority above it.

Facts: cards §6. An authority that is itself revoked vouches for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from dcc.cards.certificate import CardCertificate
from dcc.cards.crl import CrlStore, Revocation, RevocationStatus
from dcc.cards.signature import is_issuer, signed_by
from dcc.cards.trust import TrustStore
from dcc.cards.verdict import Evidence, Verdict

OPPOSED = "carte opposée ou certificat révoqué"


def revocation(
    certificate: CardCertificate, chain: Sequence[CardCertificate], crls: CrlStore, at: datetime
) -> list[Evidence]:
    """The certificate against its issuer's lists, then each authority but the anchor against those above it."""
    if not chain:
        text = "racine de confiance elle-même : aucune liste ne peut la nommer"
        return [Evidence("revocation", Verdict.REVOCATION_UNKNOWN, text)]
    found = []
    for place, (one, issuer) in enumerate(zip((certificate, *chain), chain, strict=False)):
        found.append(_evidence(crls.status(one, issuer, at), authority=place > 0, at=at))
    return found


def same_card(
    certificate: CardCertificate,
    chain: Sequence[CardCertificate],
    beside: Iterable[CardCertificate],
    crls: CrlStore,
    at: datetime,
) -> list[Evidence]:
    """One card, two certificates, two serials: opposition is looked up for both (facts: cards §3).

    `beside` may come from the mail: only a certificate that the same authority signed for the same card counts.
    """
    found = []
    for other in beside:
        if other.sha256 == certificate.sha256 or not chain or not _one_card(certificate, other):
            continue
        if not (is_issuer(other, chain[0]) and signed_by(other, chain[0])):
            continue
        status = crls.status(other, chain[0], at)
        revoked = status.status is Revocation.REVOKED
        text = "l'autre certificat de la même carte est opposé" if revoked else status.text
        details = {"serial": f"{other.serial:x}", "usage": other.usage.value, **list_details(status, at)}
        found.append(Evidence("revocation of the same card", Verdict.OPPOSED if revoked else None, text, details))
    return found


def _one_card(one: CardCertificate, other: CardCertificate) -> bool:
    number = None if one.holder is None else one.holder.card_number
    return number is not None and other.holder is not None and other.holder.card_number == number


def listed_anyway(certificate: CardCertificate, trust: TrustStore, crls: CrlStore, at: datetime) -> list[Evidence]:
    """Without a path the issuer may still be known, and its list may name the serial."""
    for issuer in (*trust.intermediates, *trust.anchors):
        if is_issuer(certificate, issuer):
            status = crls.status(certificate, issuer, at)
            if status.status is Revocation.REVOKED:
                return [_evidence(status, authority=False, at=at)]
    return [Evidence("revocation", Verdict.REVOCATION_UNKNOWN, "sans chaîne, l'opposition ne peut être vérifiée")]


def _evidence(status: RevocationStatus, *, authority: bool, at: datetime) -> Evidence:
    check = "revocation of the authority" if authority else "revocation"
    details = list_details(status, at)
    if status.status is Revocation.REVOKED:
        verdict = Verdict.UNTRUSTED_CHAIN if authority else Verdict.OPPOSED
        return Evidence(check, verdict, "autorité émettrice révoquée" if authority else OPPOSED, details)
    if status.status is Revocation.UNKNOWN:
        return Evidence(check, Verdict.REVOCATION_UNKNOWN, status.text, details)
    return Evidence(check, None, status.text, details)


def list_details(status: RevocationStatus, at: datetime) -> dict[str, str]:
    """Numbers, times and ages of the lists used, and of those refused for their number or their signature."""
    details: dict[str, str] = {}
    for place, info in enumerate(status.lists):
        name = "delta" if info.is_delta else "crl"
        suffix = f"_{place}" if place else ""
        details[f"{name}_number{suffix}"] = "" if info.number is None else str(info.number)
        details[f"{name}_this_update{suffix}"] = info.this_update.isoformat()
        details[f"{name}_next_update{suffix}"] = "" if info.next_update is None else info.next_update.isoformat()
        details[f"{name}_age_hours{suffix}"] = str(round((at - info.this_update).total_seconds() / 3600, 1))
        details[f"{name}_sha256{suffix}"] = info.sha256
    for place, info in enumerate(status.refused):
        details[f"refused_lower_number_{place}"] = f"{info.number} ({info.sha256})"
    if status.unverified:
        details["refused_not_signed_by_issuer"] = str(status.unverified)
    if status.revoked_at is not None:
        details["revoked_at"] = status.revoked_at.isoformat()
    return details
