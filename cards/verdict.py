"""What a certificate is worth today: one headline, and every reason as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dcc.cards.certificate import CardCertificate


class Verdict(StrEnum):
    """In the order of the headline: the first that applies is told (facts: cards §11)."""

    UNPARSEABLE = "UNPARSEABLE"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    TEST_CARD_IN_PROD = "TEST_CARD_IN_PROD"
    UNTRUSTED_CHAIN = "UNTRUSTED_CHAIN"
    OPPOSED = "OPPOSED"
    EXPIRED = "EXPIRED"
    NOT_YET_VALID = "NOT_YET_VALID"
    WRONG_USAGE = "WRONG_USAGE"
    WEAK_KEY = "WEAK_KEY"
    REVOCATION_UNKNOWN = "REVOCATION_UNKNOWN"
    VALID = "VALID"


ORDER = {verdict: place for place, verdict in enumerate(Verdict)}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One check and what it rested on. `verdict` None: the check passed."""

    check: str
    verdict: Verdict | None
    text: str
    details: Mapping[str, str] = field(default_factory=dict)
    rests_on: tuple[str, ...] = ()  # SHA-256 of the lists and OCSP answers that it was read from


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one certificate at one time."""

    verdict: Verdict
    evidence: tuple[Evidence, ...]
    certificate: CardCertificate | None
    chain: tuple[bytes, ...] = ()  # from the issuing authority to the root, DER


def headline(evidence: tuple[Evidence, ...]) -> Verdict:
    """The first failing verdict in the order of `Verdict`; VALID when no check failed."""
    failed = [one.verdict for one in evidence if one.verdict is not None]
    return min(failed, key=ORDER.__getitem__, default=Verdict.VALID)
