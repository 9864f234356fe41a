"""Fetching opposition lists, each once a day at a moment of its own; what came of it is kept beside the lists."""

from __future__ import annotations

import fcntl
import json
import os
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from dcc.cards.trust import TrustStore
from dcc.gateway.crlupdate import folder_of, settings_cache, take_octets
from dcc.gateway.fetch import Fetcher, FetchRefused, hosts_of, place_of
from dcc.gateway.settings import ConfigurationError, Settings

STATE = ".releves.json"  # hidden files of the folder are not read as lists
LOCK = ".releves.lock"
UNREACHABLE = "hôte injoignable"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of fetching one list. `reason` None: it was taken, or is the one held already."""

    url: str
    at: datetime
    due: datetime  # when it is fetched again
    success_at: datetime | None
    reason: str | None
    lists: tuple[str, ...] = ()  # SHA-256 of what the host has

    @property
    def result(self) -> str:
        """For the metric: "taken", "refused" or "unreachable"."""
        if self.reason is None:
            return "taken"
        return "unreachable" if self.reason.startswith(UNREACHABLE) else "refused"


class ListFetcher:
    """Fetches the lists of `trust.crl_urls` into the first folder of `trust.crls`."""

    def __init__(
        self,
        settings: Settings,
        trust: TrustStore,
        random_bytes: Callable[[int], bytes],
        fetcher: Fetcher | None = None,
    ) -> None:
        self._settings = settings
        self._trust = trust
        self._random = random_bytes
        self._fetcher = fetcher or fetcher_of(settings)
        self._folder = folder_of(settings)

    def due(self, now: datetime) -> tuple[str, ...]:
        """The lists whose moment has come, those never fetched first of all."""
        known = {one.url: one for one in states(self._settings)}
        return tuple(url for url in self._settings.trust.crl_urls if url not in known or known[url].due <= now)

    def next_due(self, now: datetime) -> datetime:
        """When `due` will next give something, at the latest in a day."""
        known = {one.url: one.due for one in states(self._settings)}
        return min((known.get(url, now) for url in self._settings.trust.crl_urls), default=now + timedelta(days=1))

    def fetch(self, urls: Sequence[str], clock: Callable[[], datetime]) -> tuple[Fetched, ...]:
        """Fetch these, one after another; nothing when another process of this machine is at it."""
        if self._folder is None or not urls:
            return ()
        with _alone(self._folder) as alone:
            if not alone:
                return ()
            done = []
            for url in urls:
                done.append(self._one(url, clock()))
                _save(self._folder, [*(one for one in states(self._settings) if one.url != url), done[-1]])
            return tuple(done)

    def _one(self, url: str, now: datetime) -> Fetched:
        before = next((one for one in states(self._settings) if one.url == url), None)
        success = None if before is None else before.success_at
        trust = self._settings.trust
        again = now + timedelta(seconds=trust.fetch_retry_seconds)
        lists = () if before is None else before.lists
        found: tuple[str, ...] = ()
        try:
            for data in self._fetcher.get(url):
                taken = take_octets(data, self._folder or Path(), self._trust, settings_cache(self._settings))
                if isinstance(taken, str):
                    return Fetched(url, now, again, success, taken, lists)
                found += tuple(info.sha256 for info in taken)
        except FetchRefused as error:
            return Fetched(url, now, again, success, str(error), lists)
        except ssl.SSLError:
            return Fetched(url, now, again, success, "le certificat TLS de l'hôte n'est pas reconnu", lists)
        except TimeoutError as error:
            return Fetched(url, now, again, success, f"{UNREACHABLE} : {error}", lists)
        except OSError as error:
            return Fetched(url, now, again, success, f"{UNREACHABLE} ({type(error).__name__})", lists)
        return Fetched(url, now, self._tomorrow(now), now, None, found)

    def _tomorrow(self, now: datetime) -> datetime:
        """Once a day at a randomised hour, once the day's lists are out (facts: cards §6)."""
        trust = self._settings.trust
        start = now.replace(hour=trust.fetch_hour, minute=0, second=0, microsecond=0)
        if start <= now:
            start += timedelta(days=1)
        share = int.from_bytes(self._random(4), "big") / 2**32
        return start + timedelta(hours=trust.fetch_spread_hours) * share


def fetcher_of(settings: Settings) -> Fetcher:
    """The hosts, bounds and TLS of the settings. Raises ConfigurationError."""
    trust = settings.trust
    problems: list[str] = []
    hosts = frozenset(trust.hosts)
    try:
        hosts |= hosts_of(one for one in (*trust.crl_urls, *([trust.ocsp_url] if trust.ocsp_url else [])))
    except FetchRefused as error:
        problems.append(f"trust.crl_urls : {error}")
    tls = None
    if trust.authorities is not None:
        try:
            tls = ssl.create_default_context(cafile=str(settings.path(trust.authorities)))
        except (OSError, ssl.SSLError):
            problems.append(f"trust.authorities : {trust.authorities} est absent ou illisible")
    if trust.crl_urls and folder_of(settings) is None:
        problems.append("trust.crls ne nomme aucun dossier où ranger les listes de trust.crl_urls")
    if problems:
        raise ConfigurationError(problems)
    return Fetcher(hosts, tls, trust.fetch_bytes, trust.fetch_seconds)


def states(settings: Settings) -> tuple[Fetched, ...]:
    """What came of the last fetching of each list; nothing where nothing was fetched yet."""
    folder = folder_of(settings)
    if folder is None:
        return ()
    try:
        kept = json.loads((folder / STATE).read_bytes())
        found = [_from_json(one) for one in kept]
    except (OSError, ValueError, KeyError, TypeError):
        return ()  # absent or damaged: everything is fetched anew
    return tuple(one for one in found if one.url in settings.trust.crl_urls)


def refreshed(settings: Settings) -> dict[str, datetime]:
    """When each list (by SHA-256) was last seen at its host."""
    return {sha256: one.success_at for one in states(settings) if one.success_at for sha256 in one.lists}


def silent(settings: Settings, now: datetime, limit: timedelta) -> tuple[str, ...]:
    """The hosts of the lists that were not fetched with success for this long."""
    told = states(settings)
    late = (one.url for one in told if one.reason and (one.success_at is None or now - one.success_at > limit))
    return tuple(dict.fromkeys(place_of(url).host for url in late))


def _save(folder: Path, found: Sequence[Fetched]) -> None:
    aside = folder / f"{STATE}.{os.getpid()}"
    aside.write_text(json.dumps([_to_json(one) for one in found], indent=1) + "\n", encoding="utf-8")
    aside.replace(folder / STATE)


def _to_json(one: Fetched) -> dict[str, Any]:
    return {
        "url": one.url, "at": one.at.isoformat(), "due": one.due.isoformat(),
        "success_at": None if one.success_at is None else one.success_at.isoformat(), "reason": one.reason,
        "lists": list(one.lists),
    }  # fmt: skip


def _from_json(kept: dict[str, Any]) -> Fetched:
    success = kept["success_at"]
    return Fetched(
        kept["url"], datetime.fromisoformat(kept["at"]), datetime.fromisoformat(kept["due"]),
        None if success is None else datetime.fromisoformat(success), kept["reason"], tuple(kept["lists"]),
    )  # fmt: skip


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether no other process of this machine is fetching; held until the end."""
    with (folder / LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
