"""Asking an OCSP responder about the card that signed a mail, where the settings want it; answers are kept while good."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

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
        """The answer about the certificate of this judgement, DER; nothing when nobody answers."""
        certificate = found.certificate
        if certificate is None or not found.chain:
            return ()
        issuer = read_certificate(found.chain[0])
        with self._lock:
            kept = self._kept.get(certificate.sha256)
        if kept is not None and self._counts(kept, certificate, issuer, at):
            return (kept,)
        url = self._url(certificate)
        if url is None or at < self._silent.get(url, at):
            return ()
        try:
            der = self._fetcher.post(url, question(certificate, issuer), REQUEST)
        except (FetchRefused, OSError) as error:
            log.warning("ocsp_no_answer", host=_host(url), error=type(error).__name__)
            with self._lock:
                self._silent[url] = at + SILENCE
            return ()
        with self._lock:
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[certificate.sha256] = der
        return (der,)

    def _counts(self, der: bytes, certificate: CardCertificate, issuer: CardCertificate, at: datetime) -> bool:
        answer = read_answer(der, certificate, issuer, at, age=self.age)
        return answer.problem is None and answer.status is not Revocation.UNKNOWN

    def _url(self, certificate: CardCertificate) -> str | None:
        if self._settings.ocsp_url is not None:
            return self._settings.ocsp_url
        return next((one for one in certificate.ocsp_urls if _host(one) in self._fetcher.hosts), None)


def _host(url: str) -> str:
    try:
        return place_of(url).host
    except FetchRefused:
        return ""  # a certificate may name anything; nothing is asked of it
