"""Is this certificate good today, for this purpose: every check made, every reason told (facts: cards §6, §11)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.crl import CrlStore, Revocation, RevocationStatus
from dcc.cards.errors import Unparseable
from dcc.cards.path import PathResult, find_path
from dcc.cards.trust import TrustStore
from dcc.cards.usage import PURPOSES, Usage
from dcc.cards.verdict import Evidence, Judgement, Verdict, headline

TRUSTED_HASHES = frozenset({"sha256", "sha384", "sha512"})
RSA_BITS = 2048
MOST_CACHED = 10_000


def judge(
    data: bytes,
    *,
    trust: TrustStore,
    crls: CrlStore,
    at: datetime,
    purpose: str = "sign",
    extra_certificates: Sequence[bytes] = (),
    revocation: bool = True,
    environment: str | None = None,
) -> Judgement:
    """Judge one certificate (DER or PEM) at a time. `purpose`: "sign", "encrypt" or "server".

    Every check is made and told; the headline is the first failure in the order of `Verdict`.
    """
    try:
        certificate = read_certificate(data)
    except Unparseable as error:
        return Judgement(Verdict.UNPARSEABLE, (Evidence("read", Verdict.UNPARSEABLE, str(error)),), None)
    path = find_path(certificate, trust, extra_certificates, at)
    return _judge(certificate, path, trust, crls, at, purpose, revocation, environment or trust.environment)


def _judge(
    certificate: CardCertificate,
    path: PathResult,
    trust: TrustStore,
    crls: CrlStore,
    at: datetime,
    purpose: str,
    revocation: bool,
    environment: str,
) -> Judgement:
    evidence = [
        _environment(certificate, environment),
        _path(path, at),
        _dates(certificate, at),
        _usage(certificate, purpose),
        _strength(certificate, path),
    ]
    if not revocation:
        evidence.append(Evidence("revocation", None, "opposition non vérifiée, à la demande", {"skipped": "yes"}))
    elif path.chain:
        evidence.extend(_revocation(certificate, path.chain, crls, at))
    else:
        evidence.extend(_listed_anyway(certificate, trust, crls, at))
    found = tuple(one for one in evidence if one is not None)
    return Judgement(headline(found), found, certificate, tuple(one.der for one in path.chain))


def _environment(certificate: CardCertificate, environment: str) -> Evidence:
    if certificate.environment == "test" and environment == "production":
        return Evidence("environment", Verdict.TEST_CARD_IN_PROD, "certificat de test sur une plateforme de production")
    return Evidence("environment", None, f"certificat {certificate.environment}, plateforme {environment}")


def _path(path: PathResult, at: datetime) -> Evidence:
    if path.problem is not None:
        verdict = Verdict.BAD_SIGNATURE if path.bad_signature else Verdict.UNTRUSTED_CHAIN
        return Evidence("path", verdict, path.problem)
    late = [one for one in path.chain if not one.not_before <= at <= one.not_after]
    if late:
        # An anchor or an authority past its own end vouches for nothing any more (RFC 5280 §6.1.3)
        return Evidence(
            "path", Verdict.UNTRUSTED_CHAIN, "une autorité n'est pas dans ses dates", {"subject": late[0].subject}
        )
    names = {f"authority_{place}": one.sha256 for place, one in enumerate(path.chain, 1)}
    return Evidence("path", None, "chaîne validée jusqu'à une racine de confiance", names)


def _dates(certificate: CardCertificate, at: datetime) -> Evidence:
    details = {"not_before": certificate.not_before.isoformat(), "not_after": certificate.not_after.isoformat()}
    if at > certificate.not_after:
        return Evidence("dates", Verdict.EXPIRED, "carte ou certificat périmé", details)
    if at < certificate.not_before:
        return Evidence("dates", Verdict.NOT_YET_VALID, "pas encore valable", details)
    return Evidence("dates", None, "dans ses dates", details)


def _usage(certificate: CardCertificate, purpose: str) -> Evidence:
    wanted = PURPOSES[purpose]
    details = {"usage": certificate.usage.value, "wanted": wanted.value}
    if certificate.usage is not wanted:
        return Evidence("usage", Verdict.WRONG_USAGE, f"usage {certificate.usage} au lieu de {wanted}", details)
    return Evidence("usage", None, f"usage {wanted}", details)


def _strength(certificate: CardCertificate, path: PathResult) -> Evidence:
    for one in (certificate, *path.chain[:-1]):  # an anchor's own signature is not relied on
        if one.signature_hash not in TRUSTED_HASHES or (one.key_type == "rsa" and one.key_bits < RSA_BITS):
            details = {"hash": one.signature_hash, "key": f"{one.key_type} {one.key_bits}"}
            return Evidence("strength", Verdict.WEAK_KEY, "clé ou algorithme trop faible", details)
    return Evidence("strength", None, f"{certificate.key_type} {certificate.key_bits}, {certificate.signature_hash}")


def _revocation(
    certificate: CardCertificate, chain: Sequence[CardCertificate], crls: CrlStore, at: datetime
) -> list[Evidence]:
    """The certificate against its issuer's list, then each authority against its own (facts: cards §6)."""
    found = []
    for place, (one, issuer) in enumerate(zip((certificate, *chain), chain, strict=False)):
        if one.self_issued and one.usage is Usage.CA:
            break
        status = crls.status(one, issuer, at)
        found.append(_revocation_evidence(status, authority=place > 0, at=at))
    return found


def _revocation_evidence(status: RevocationStatus, *, authority: bool, at: datetime) -> Evidence:
    check = "revocation of the authority" if authority else "revocation"
    details = list_details(status, at)
    if status.status is Revocation.REVOKED:
        verdict = Verdict.UNTRUSTED_CHAIN if authority else Verdict.OPPOSED
        text = "autorité émettrice révoquée" if authority else "carte opposée ou certificat révoqué"
        return Evidence(check, verdict, text, details)
    if status.status is Revocation.UNKNOWN:
        return Evidence(check, Verdict.REVOCATION_UNKNOWN, status.text, details)
    return Evidence(check, None, status.text, details)


def list_details(status: RevocationStatus, at: datetime) -> dict[str, str]:
    """Numbers, times and ages of the lists used, and of those refused for their number."""
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
    if status.revoked_at is not None:
        details["revoked_at"] = status.revoked_at.isoformat()
    return details


def _listed_anyway(certificate: CardCertificate, trust: TrustStore, crls: CrlStore, at: datetime) -> list[Evidence]:
    """Without a path the issuer may still be known, and its list may name the serial."""
    for issuer in (*trust.intermediates, *trust.anchors):
        if issuer.subject_der == certificate.issuer_der:
            status = crls.status(certificate, issuer, at)
            if status.status is Revocation.REVOKED:
                return [_revocation_evidence(status, authority=False, at=at)]
    return [Evidence("revocation", Verdict.REVOCATION_UNKNOWN, "sans chaîne, l'opposition ne peut être vérifiée")]


@dataclass(frozen=True, slots=True)
class _CachedPath:
    certificate: CardCertificate
    path: PathResult


class Judge:
    """`judge` for one trust store and one set of lists; paths are cached, dates and lists are looked at each time."""

    def __init__(self, trust: TrustStore, crls: CrlStore) -> None:
        self.trust = trust
        self.crls = crls
        self._paths: dict[str, _CachedPath] = {}
        self._lock = threading.Lock()

    def __call__(
        self, data: bytes, *, at: datetime, purpose: str = "sign", extra_certificates: Sequence[bytes] = ()
    ) -> Judgement:
        """Judge one certificate at a time."""
        try:
            certificate = read_certificate(data)
        except Unparseable as error:
            return Judgement(Verdict.UNPARSEABLE, (Evidence("read", Verdict.UNPARSEABLE, str(error)),), None)
        known = self._paths.get(certificate.sha256)
        if known is None or known.path.problem is not None:
            path = find_path(certificate, self.trust, extra_certificates, at)
            known = _CachedPath(certificate, path)
            with self._lock:
                if len(self._paths) >= MOST_CACHED:
                    self._paths.clear()
                self._paths[certificate.sha256] = known
        return _judge(known.certificate, known.path, self.trust, self.crls, at, purpose, True, self.trust.environment)
