"""The path from a certificate to an anchor, validated by pyhanko-certvalidator with explicit roots (RFC 5280 §6.1)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from asn1crypto import x509 as asn1
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import PathBuildingError, PathValidationError, ValidationError
from pyhanko_certvalidator.policy_decl import (
    CertRevTrustPolicy,
    DisallowWeakAlgorithmsPolicy,
    RevocationCheckingPolicy,
    RevocationCheckingRule,
)

from dcc.cards.certificate import BROKEN, CardCertificate, read_certificate
from dcc.cards.errors import Unparseable
from dcc.cards.signature import is_issuer, signed_by
from dcc.cards.trust import TrustStore
from dcc.cards.usage import Usage

MOST_CANDIDATES = 30  # R-PATH
MOST_AUTHORITIES = 6  # R-PATH: above the certificate, the root included
HIGHEST_BESIDE = 64 << 10  # octets of the candidates in all: thirty authorities have less, and each octet costs time
NO_PATH = "aucun chemin vers une racine de confiance"
MOST_KEPT = 128  # authorities of our own that a thread keeps read
# Revocation is judged by `crl` from indexed lists; weak algorithms have a verdict of their own.
NO_REVOCATION = CertRevTrustPolicy(
    RevocationCheckingPolicy(RevocationCheckingRule.NO_CHECK, RevocationCheckingRule.NO_CHECK)
)
ANY_ALGORITHM = DisallowWeakAlgorithmsPolicy(frozenset(), frozenset(), 0, 0)


class _Kept(threading.local):
    """Our own authorities, read: that and the preparation of their names are most of what a path costs.

    asn1crypto fills a certificate in as it is asked, so that no two threads may have the same one.
    """

    def __init__(self) -> None:
        self.read = lru_cache(MOST_KEPT)(asn1.Certificate.load)


_kept = _Kept()


@dataclass(frozen=True, slots=True)
class PathResult:
    """The authorities above a certificate, nearest first, when the path is good; else why not."""

    chain: tuple[CardCertificate, ...]
    problem: str | None
    bad_signature: bool = False


def find_path(certificate: CardCertificate, trust: TrustStore, extra: Sequence[bytes], at: datetime) -> PathResult:
    """Build and validate the path at `at`, or at the nearest time at which the certificate itself was in force.

    Expiry of the certificate itself is another question, asked by `judge`.
    """
    found = _find(certificate, trust, (), at)
    beside = [one for one in readable(extra) if one.usage is Usage.CA]
    if found.problem is None or not beside:
        return found
    # Only where our own authorities do not suffice: the certificates of a mail are not covered by its signature, and
    # a malformed one must not spoil a good path (RFC 5652 §5.1)
    anchored = _anchored(beside, trust)
    if anchored:
        return _find(certificate, trust, anchored, at)
    named = bool(trust.anchors) and any(is_issuer(certificate, one) for one in beside)
    return PathResult((), NO_PATH) if named else found


def _anchored(beside: Sequence[CardCertificate], trust: TrustStore) -> list[CardCertificate]:
    """Those of a mail's authorities whose signatures lead down from what is trusted; no others can be in a path.

    Among the rest no path is ever looked for: a dozen authorities that vouch for each other have millions (R-PATH, I8).
    """
    above: Sequence[CardCertificate] = (*trust.anchors, *trust.intermediates)
    rest, found = list(beside), list[CardCertificate]()
    for _ in range(MOST_AUTHORITIES):
        below = [one for one in rest if any(is_issuer(one, up) and signed_by(one, up) for up in above)]
        found += below
        rest = [one for one in rest if one not in below]
        above = below
    return found


def _find(
    certificate: CardCertificate, trust: TrustStore, beside: Sequence[CardCertificate], at: datetime
) -> PathResult:
    # By name and key identifier (facts: cards §1.1): another authority of the same name is another authority
    issuers = [one for one in (*trust.anchors, *trust.intermediates, *beside) if is_issuer(certificate, one)]
    if not issuers:
        return PathResult((), "autorité émettrice inconnue")
    answers = {signed_by(certificate, issuer) for issuer in issuers}
    if True not in answers:
        if False in answers:
            return PathResult((), "la signature du certificat est fausse", bad_signature=True)
        return PathResult((), "la signature du certificat ne peut être vérifiée")
    if not trust.anchors:
        return PathResult((), "aucune racine de confiance")
    try:
        moment = min(max(at, certificate.not_before), certificate.not_after - timedelta(seconds=1))
        path = _validate(certificate, trust, beside, moment)
    except PathBuildingError:
        return PathResult((), NO_PATH)
    except (PathValidationError, ValidationError) as error:
        return PathResult((), f"chemin refusé : {type(error).__name__}")
    except BROKEN as error:
        return PathResult((), f"chemin illisible : {type(error).__name__}")
    if len(path) > MOST_AUTHORITIES + 1:
        return PathResult((), "chemin trop long")
    chain = [read_certificate(one.dump()) for one in path if one.dump() != certificate.der]
    return PathResult(tuple(reversed(chain)), None)


def _validate(
    certificate: CardCertificate, trust: TrustStore, beside: Sequence[CardCertificate], moment: datetime
) -> Sequence[Any]:
    context = ValidationContext(
        trust_roots=[_kept.read(one.der) for one in trust.anchors],
        other_certs=[
            *(_kept.read(one.der) for one in trust.intermediates),
            *(asn1.Certificate.load(one.der) for one in beside),  # bounded by the mail, not by us: not kept
        ],
        moment=moment,
        allow_fetching=False,
        revinfo_policy=NO_REVOCATION,
        algorithm_usage_policy=ANY_ALGORITHM,
    )
    validator = CertificateValidator(asn1.Certificate.load(certificate.der), validation_context=context)
    path = asyncio.run(validator.async_validate_path())
    return list(path.iter_certs(include_root=True))


def readable(extra: Sequence[bytes]) -> list[CardCertificate]:
    """The certificates beside the one judged that may help: read, bounded, never anchors."""
    found = []
    room = HIGHEST_BESIDE
    for der in dict.fromkeys(extra[:MOST_CANDIDATES]):
        if len(der) > room:
            continue
        room -= len(der)
        try:
            found.append(read_certificate(der))
        except Unparseable:
            continue  # a certificate in a mail that nobody can read helps nobody
    return [one for one in found if not one.self_issued]
