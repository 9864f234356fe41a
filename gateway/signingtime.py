"""The signer's certificate at the time the signer claims (R-TIME): beside the judgement at reception, never instead."""

from __future__ import annotations

from datetime import datetime, timedelta

from dcc.cards.certificate import CardCertificate
from dcc.cards.verdict import Evidence, Judgement, Verdict, headline

CLOCK_SKEW = timedelta(minutes=5)
SPREAD = timedelta(days=7)  # R-REPLAY: further from reception is flagged, not refused


def at_signing_too(found: Judgement, signing_time: datetime | None) -> Judgement:
    """The same judgement with one check more: the certificate's dates at the claimed signing time."""
    if found.certificate is None or signing_time is None:
        return found
    evidence = (*found.evidence, _dates(found.certificate, signing_time))
    return Judgement(headline(evidence), evidence, found.certificate, found.chain)


def _dates(certificate: CardCertificate, at: datetime) -> Evidence:
    details = {"signing_time": at.isoformat()}
    if at > certificate.not_after + CLOCK_SKEW:
        return Evidence("dates at signing", Verdict.EXPIRED, "périmé à la date de signature annoncée", details)
    if at < certificate.not_before - CLOCK_SKEW:
        return Evidence("dates at signing", Verdict.NOT_YET_VALID, "pas encore valable à la date annoncée", details)
    return Evidence("dates at signing", None, "dans ses dates à la signature annoncée", details)
