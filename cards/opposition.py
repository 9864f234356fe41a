"""What the lists say of a certificate, of the other certificate of its card, and of each authority above it.

Facts: cards §6. An authority that is itself revoked vouches for nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dcc.cards.certificate import CardCertificate
from dcc.cards.crl import CrlStore, Revocation, RevocationStatus
from dcc.cards.ocsp import DEFAULT_AGE, read_answer
from dcc.cards.signature import is_issuer, signed_by
from dcc.cards.trust import TrustStore
from dcc.cards.verdict import Evidence, Verdict

OVERRIDDEN = "liste d'opposition périmée, admise par débrayage de l'exploitant"
OPPOSED = "carte opposée ou certificat révoqué"


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known of a certificate beside the lists: a responder's answers, an operator's decision."""

    ocsp: tuple[bytes, ...] = ()  # answers about the certificate and the authorities above it, DER
    asked_at: datetime | None = None  # when; None: at the time of the judgement
    age: timedelta = DEFAULT_AGE  # of an answer that does not say until when it is good
    override: str | None = None  # the decision that lets stale lists count as fresh (facts: cards §6)


LISTS_ALONE = Beside()


def revocation(
    certificate: CardCertificate,
    chain: Sequence[CardCertificate],
    crls: CrlStore,
    at: datetime,
    beside: Beside = LISTS_ALONE,
) -> list[Evidence]:
    """The certificate against its issuer's lists, then each authority but the anchor against those above it."""
    if not chain:
        text = "racine de confiance elle-même : aucune liste ne peut la nommer"
        return [Evidence("revocation", Verdict.REVOCATION_UNKNOWN, text)]
    found = []
    for place, (one, issuer) in enumerate(zip((certificate, *chain), chain, strict=False)):
        status = _by_any_key(one, issuer, chain, crls, at)
        told = None
        if status.status is not Revocation.REVOKED:  # listed: opposed, whoever says what
            told = _asked(one, issuer, crls, beside, beside.asked_at or at, authority=place > 0)
        found.append(told or _evidence(status, authority=place > 0, at=at, override=beside.override))
    return found


def _by_any_key(
    certificate: CardCertificate,
    issuer: CardCertificate,
    chain: Sequence[CardCertificate],
    crls: CrlStore,
    at: datetime,
) -> RevocationStatus:
    """An authority that changed its key may sign its lists with the other: one of its name in the path vouches for it.

    RFC 5280 §6.3.3 (f): the signer of the list has the issuer's name and the same anchor.
    """
    status = crls.status(certificate, issuer, at)
    for other in chain:
        if other is issuer or other.subject_der != issuer.subject_der:
            continue
        found = crls.status(certificate, other, at)
        if status.status is Revocation.UNKNOWN or found.status is Revocation.REVOKED:
            status = found if found.status is not Revocation.UNKNOWN else status
    return status


def _asked(
    certificate: CardCertificate,
    issuer: CardCertificate,
    crls: CrlStore,
    beside: Beside,
    at: datetime,
    *,
    authority: bool,
) -> Evidence | None:
    """What the responder says, where it says something that counts: revoked always, good when it is fresh."""
    best = None
    for der in beside.ocsp:
        answer = read_answer(der, certificate, issuer, at, age=beside.age)
        if answer.problem is not None or answer.status is Revocation.UNKNOWN:
            continue  # unknown is not good (RFC 6960 §2.2): the lists decide
        if answer.responder is not None and _responder_revoked(answer.responder, issuer, crls, at):
            continue
        details = {
            "ocsp_this_update": iso(answer.this_update), "ocsp_next_update": iso(answer.next_update),
            "ocsp_produced_at": iso(answer.produced_at), "ocsp_responder": answer.responder_name,
        }  # fmt: skip
        rests_on = (hashlib.sha256(der).hexdigest(),)
        if answer.status is Revocation.REVOKED:
            return Evidence(_check(authority), *_revoked(authority), details, rests_on)
        best = Evidence(_check(authority), None, "non révoquée selon le répondeur OCSP", details, rests_on)
    return best


def _responder_revoked(responder: CardCertificate, issuer: CardCertificate, crls: CrlStore, at: datetime) -> bool:
    return crls.status(responder, issuer, at).status is Revocation.REVOKED


def iso(at: datetime | None) -> str:
    """A time as evidence tells it."""
    return "" if at is None else at.isoformat()


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
        verdict = Verdict.OPPOSED if revoked else None
        found.append(Evidence("revocation of the same card", verdict, text, details, _digests(status)))
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


def _evidence(status: RevocationStatus, *, authority: bool, at: datetime, override: str | None = None) -> Evidence:
    check, details = _check(authority), list_details(status, at)
    if status.status is Revocation.REVOKED:
        return Evidence(check, *_revoked(authority), details, _digests(status))
    if status.status is Revocation.UNKNOWN and status.stale and override is not None:
        # An operator's decision, not a fact: told as such, and only of a list that was fresh once (facts: cards §6)
        return Evidence(check, None, OVERRIDDEN, {**details, "override": override}, _digests(status))
    if status.status is Revocation.UNKNOWN:
        return Evidence(check, Verdict.REVOCATION_UNKNOWN, status.text, details, _digests(status))
    return Evidence(check, None, status.text, details, _digests(status))


def _check(authority: bool) -> str:
    return "revocation of the authority" if authority else "revocation"


def _revoked(authority: bool) -> tuple[Verdict, str]:
    return (Verdict.UNTRUSTED_CHAIN, "autorité émettrice révoquée") if authority else (Verdict.OPPOSED, OPPOSED)


def _digests(status: RevocationStatus) -> tuple[str, ...]:
    return tuple(info.sha256 for info in status.lists)


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
