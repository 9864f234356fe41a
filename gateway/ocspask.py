"""Asking OCSP responders about a signer and its authorities, where the settings want it; answers are kept while good."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from itertools import pairwise

import structlog

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.crl import Revocation
from dcc.cards.ocsp import question, read_answer
from dcc.cards.verdict import Judgement, Verdict
from dcc.gateway.fetch import Fetcher, FetchRefused, place_of
from dcc.gateway.settings_trust import TrustSettings

REQUEST, MOST_ANSWER = "application/ocsp-request", 64 << 10
MOST_KEPT = 10_000
SILENCE = timedelta(minutes=1)  # else each mail would wait ten seconds for a responder that is down
log = structlog.get_logger("dcc.ocsp")


class OcspAsker:
    """Asks listed hosts only, over HTTP, within the time of all fetching; safe to use from several threads."""

    def __init__(self, settings: TrustSettings, fetcher: Fetcher) -> None:
        self._settings = settings
        self._fetcher = Fetcher(fetcher.hosts, fetcher.tls, MOST_ANSWER, fetcher.seconds)
        self._kept: dict[str, bytes] = {}
        self._silent: dict[str, datetime] = {}  # responders that did not answer, and until when they are left alone
        self._lock = threading.Lock()

    @property
    def age(self) -> timedelta:
        """The oldest answer taken of those that do not say until when they are good."""
        return timedelta(seconds=self._settings.ocsp_age_seconds)

    def wanted(self, found: Judgement) -> bool:
        """Whether this judgement calls for a question: the lists do not tell, or the settings ask each time."""
        if self._settings.ocsp == "never" or found.certificate is None or not found.chain:
            return False
        if found.verdict is Verdict.REVOCATION_UNKNOWN:
            return True
        return self._settings.ocsp == "always" and found.verdict is Verdict.VALID

    def ask(self, found: Judgement, at: datetime) -> tuple[bytes, ...]:
        """The answers about the certificate of this judgement and its authorities, DER; nothing when nobody answers.

        The authorities of IGC-Santé name lists and no responder (facts: cards §1.4); one that names a responder is
        asked about there, never at `ocsp_url`, which answers for cards.
        """
        if found.certificate is None or not found.chain:
            return ()
        above = [read_certificate(one) for one in found.chain]
        answers = [
            self._answer(found.certificate, above[0], self._settings.ocsp_url or self._named(found.certificate), at)
        ]
        answers += [self._answer(one, issuer, self._named(one), at) for one, issuer in pairwise(above)]
        return tuple(one for one in answers if one is not None)

    def _answer(
        self, certificate: CardCertificate, issuer: CardCertificate, url: str | None, at: datetime
    ) -> bytes | None:
        with self._lock:
            kept = self._kept.get(certificate.sha256)
        if kept is not None and self._counts(kept, certificate, issuer, at):
            return kept
        if url is None or at < self._silent.get(url, at):
            return None
        try:
            der = self._fetcher.post(url, question(certificate, issuer), REQUEST)
        except (FetchRefused, OSError) as error:
            log.warning("ocsp_no_answer", host=_host(url), error=type(error).__name__)
            with self._lock:
                self._silent[url] = at + SILENCE
            return None
        with self._lock:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[certificate.sha256] = der
        return der

    def _counts(self, der: bytes, certificate: CardCertificate, issuer: CardCertificate, at: datetime) -> bool:
        answer = read_answer(der, certificate, issuer, at, age=self.age)
        return answer.problem is None and answer.status is not Revocation.UNKNOWN

    def _named(self, certificate: CardCertificate) -> str | None:
        return next((one for one in certificate.ocsp_urls if _host(one) in self._fetcher.hosts), None)


def _host(url: str) -> str:
    try:
        return place_of(url).host
    except FetchRefused:
        return ""  # a certificate may name anything; nothing is asked of it
