"""Opposition lists of a running gateway: fetched when their moment comes, measured, and said to be old at 36 hours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

import structlog

from dcc.gateway.crlfetch import Fetched, ListFetcher, refreshed, silent, states
from dcc.gateway.crlupdate import WARNING, in_force, wants_look
from dcc.gateway.fetch import place_of
from dcc.gateway.metrics import Metrics
from dcc.gateway.services import Services, load_crls
from dcc.mailbox import overrides

ROUND_SECONDS = 60.0
SAY_AGAIN_SECONDS = 3600.0
log = structlog.get_logger("dcc.crl")


class ListRounds:
    """Fetches each list when its moment has come, for as long as the gateway runs."""

    def __init__(
        self, services: Services, fetcher: ListFetcher, metrics: Metrics, clock: Callable[[], datetime]
    ) -> None:
        self._services = services
        self._fetcher = fetcher
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.fetch_due)
            except Exception as error:  # noqa: BLE001
                # A full disk or a folder that cannot be written: the next round tries again.
                log.error("crl_fetch_failed", error=type(error).__name__)  # noqa: TRY400
            left = (self._fetcher.next_due(self._clock()) - self._clock()).total_seconds()
            await asyncio.sleep(min(ROUND_SECONDS, max(1.0, left)))

    def fetch_due(self) -> tuple[Fetched, ...]:
        """Fetch what is due; new lists count at once."""
        done = self._fetcher.fetch(self._fetcher.due(self._clock()), self._clock)
        for one in done:
            self._metrics.crl_fetches.labels(result=one.result).inc()
            host = place_of(one.url).host
            if one.reason is None:
                log.info("crl_fetched", host=host)
            else:
                log.warning("crl_not_fetched", host=host, result=one.result, reason=one.reason)
        if any(one.reason is None for one in done):
            load_crls(self._services.settings, self._services.judge.crls)
        return done


class ListWatch:
    """The gauges, and the warning when lists grow old."""

    def __init__(self, services: Services, metrics: Metrics) -> None:
        self._services = services
        self._metrics = metrics
        self._names = {
            one.subject_der.hex(): one.subject
            for one in (*services.judge.trust.anchors, *services.judge.trust.intermediates)
        }
        self._said: tuple[str, ...] = ()
        self._said_at = 0.0

    def measure(self, now: datetime) -> None:
        """Ages by authority, the host that is silent longest, whether an override is in force; warn at 36 hours."""
        metrics, settings = self._metrics, self._services.settings
        lists = in_force(self._services.judge.crls.infos())
        ages = [(now - one.this_update).total_seconds() / 3600 for one in lists]
        metrics.crl_age.set(max(ages, default=0))
        metrics.crl_ages.clear()  # an authority that left the settings leaves the metrics
        for one, age in zip(lists, ages, strict=True):
            name = self._names.get(one.issuer, "")
            metrics.crl_ages.labels(authority=name, kind="delta" if one.is_delta else "base").set(age)
        since = [one.success_at or one.at for one in states(settings)]
        metrics.crl_silence.set(max(((now - one).total_seconds() / 3600 for one in since), default=0))
        with self._services.database.read() as conn:
            metrics.crl_override.set(0 if overrides.in_force(conn, now) is None else 1)
        seen = refreshed(settings)
        old = [self._names.get(one.issuer, "") for one in lists if wants_look(one, seen.get(one.sha256), now)]
        self._warn(tuple(sorted({*old, *silent(settings, now, WARNING)})))

    def _warn(self, old: tuple[str, ...]) -> None:
        """Once when it begins or changes, then once an hour: alert operators (facts: cards §6)."""
        if not old or (old == self._said and time.monotonic() - self._said_at < SAY_AGAIN_SECONDS):
            self._said = old
            return
        self._said, self._said_at = old, time.monotonic()
        log.warning("crl_old", hours=int(WARNING.total_seconds() // 3600), sources=list(old))
