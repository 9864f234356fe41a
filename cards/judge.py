"""Is this certificate good today, for this purpose: every check made, every reason told (facts: cards §6, §11)."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.crl import CrlStore
from dcc.cards.errors import Unparseable
from dcc.cards.holder import specialty_labels
from dcc.cards.identifiers import TEST_ONLY, idnps
from dcc.cards.nomenclature import TEST_BIT
from dcc.cards.opposition import LISTS_ALONE, Beside, listed_anyway, revocation, same_card
from dcc.cards.path import PathResult, find_path, readable
from dcc.cards.publickey import POST_QUANTUM
from dcc.cards.signature import TRUSTED_HASHES
from dcc.cards.trust import TrustStore
from dcc.cards.usage import PURPOSES
from dcc.cards.verdict import Evidence, Judgement, Verdict, headline

RSA_BITS = 2048
EC_BITS = 256  # ANSSI, RGS annexe B1: curves of at least 256 bits after 2020
MOST_CACHED = 10_000  # paths
MOST_RECENT = 256  # judgements: each holds its chain, and is worth nothing after a second
NOTHING, SAME = timedelta(0), timedelta(seconds=1)  # how long one judgement stands for the next


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
    beside: Beside = LISTS_ALONE,
) -> Judgement:
    """Judge one certificate (DER or PEM) at a time. `purpose`: "sign", "encrypt" or "server".

    Every check is made and told; the headline is the first failure in the order of `Verdict`. `beside`: what
    a responder or an operator says beside the lists.
    """
    try:
        certificate = read_certificate(data)
    except Unparseable as error:
        return Judgement(Verdict.UNPARSEABLE, (Evidence("read", Verdict.UNPARSEABLE, str(error)),), None)
    path = find_path(certificate, trust, extra_certificates, at)
    where = environment or trust.environment
    question = _Question(trust, crls, at, purpose, revocation, where, extra_certificates, beside)
    return _judge(certificate, path, question)


@dataclass(frozen=True, slots=True)
class _Question:
    trust: TrustStore
    crls: CrlStore
    at: datetime
    purpose: str
    revocation: bool
    environment: str
    extra: Sequence[bytes]
    beside: Beside


def _judge(certificate: CardCertificate, path: PathResult, question: _Question) -> Judgement:
    at, crls = question.at, question.crls
    evidence = [
        _environment(certificate, question.environment),
        _path(path, at),
        _dates(certificate, at),
        _usage(certificate, question.purpose),
        _strength(certificate, path),
        _profile(certificate),
    ]
    if not question.revocation:
        evidence.append(Evidence("revocation", None, "opposition non vérifiée, à la demande", {"skipped": "yes"}))
    elif path.problem is None:
        evidence.extend(revocation(certificate, path.chain, crls, at, question.beside))
        beside = (*question.trust.intermediates, *readable(question.extra))
        evidence.extend(same_card(certificate, path.chain, beside, crls, at))
    else:
        evidence.extend(listed_anyway(certificate, question.trust, crls, at))
    return Judgement(headline(tuple(evidence)), tuple(evidence), certificate, tuple(one.der for one in path.chain))


def _environment(certificate: CardCertificate, environment: str) -> Evidence:
    details = {
        "product": "" if certificate.product is None else f"{certificate.product:02x}",  # G01
        "test_bit": "yes" if (certificate.product or 0) & TEST_BIT else "no",
        "test_authority": "yes" if certificate.test_authority else "no",
    }
    if certificate.environment == "test" and environment == "production":
        text = "certificat de test sur une plateforme de production"
        return Evidence("environment", Verdict.TEST_CARD_IN_PROD, text, details)
    return Evidence("environment", None, f"certificat {certificate.environment}, plateforme {environment}", details)


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
        if one.signature_hash not in TRUSTED_HASHES or _short(one):
            details = {"hash": one.signature_hash, "key": f"{one.key_type} {one.key_bits}"}
            return Evidence("strength", Verdict.WEAK_KEY, "clé ou algorithme trop faible", details)
    return Evidence("strength", None, f"{certificate.key_type} {certificate.key_bits}, {certificate.signature_hash}")


def _short(certificate: CardCertificate) -> bool:
    if certificate.key_type in {"rsa", "rsassa_pss"}:
        return certificate.key_bits < RSA_BITS
    if certificate.key_type == "ec":
        return certificate.key_bits < EC_BITS
    # Whether the gateway speaks a post-quantum algorithm is another question, which smime's switch answers
    return certificate.key_type not in {"ed25519", "ed448", *POST_QUANTUM.values()}


def _profile(certificate: CardCertificate) -> Evidence:
    """Recorded, not required: several policy identifiers of production are unconfirmed (facts: cards §1.3)."""
    details = {"policies": " ".join(certificate.policies), "crl_locations": " ".join(certificate.crl_urls)}
    holder = certificate.holder
    if holder is not None and holder.specialties:
        details["specialties"] = ", ".join(specialty_labels(holder))
    if holder is not None and holder.kind == "person" and holder.idnps is None:
        details["identifier"] = idnps(holder.common_name or "").reason or TEST_ONLY
    return Evidence("profile", None, "politiques et lieux de publication relevés", details)


class Judge:
    """`judge` for one trust store and one set of lists; paths are cached, dates and lists are looked at each time."""

    def __init__(self, trust: TrustStore, crls: CrlStore) -> None:
        self.trust = trust
        self.crls = crls
        self._paths: dict[str, PathResult] = {}
        self._recent: dict[tuple[bytes, str], tuple[datetime, int, Judgement]] = {}
        self._lock = threading.Lock()

    def __call__(
        self,
        data: bytes,
        *,
        at: datetime,
        purpose: str = "sign",
        extra_certificates: Sequence[bytes] = (),
        beside: Beside = LISTS_ALONE,
    ) -> Judgement:
        """Judge one certificate at a time."""
        try:
            certificate = read_certificate(data)
        except Unparseable as error:
            return Judgement(Verdict.UNPARSEABLE, (Evidence("read", Verdict.UNPARSEABLE, str(error)),), None)
        known = self._paths.get(certificate.sha256)
        if known is None or known.problem is not None or not _in_dates(known, at):  # a renewed authority may be known
            known = find_path(certificate, self.trust, extra_certificates, at)
            with self._lock:
                if len(self._paths) >= MOST_CACHED:
                    self._paths.clear()
                self._paths[certificate.sha256] = known
        where = self.trust.environment
        question = _Question(self.trust, self.crls, at, purpose, True, where, extra_certificates, beside)
        return _judge(certificate, known, question)

    def recent(self, data: bytes, *, at: datetime, purpose: str) -> Judgement:
        """The same by the lists alone, where a judgement of the same second and the same lists may stand for it.

        A mail asks the same of each reader's certificates at filing and at sending, one after the other.
        """
        key, generation = (data, purpose), self.crls.generation
        known = self._recent.get(key)
        if known is not None and known[1] == generation and NOTHING <= at - known[0] < SAME:
            return known[2]
        found = self(data, at=at, purpose=purpose)
        with self._lock:
            if len(self._recent) >= MOST_RECENT:
                self._recent.clear()
            self._recent[key] = (at, generation, found)
        return found


def _in_dates(path: PathResult, at: datetime) -> bool:
    return all(one.not_before <= at <= one.not_after for one in path.chain)
