"""Opposition lists fetched on a schedule: checked before they count, kept beside each other, and said when they fail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cardworld import DAY, HOUR, NOW, crl, key, pem, trust
from dcc.cards.crl import CrlStore
from dcc.gateway.crlfetch import Fetched, ListFetcher, fetcher_of, refreshed, silent, states
from dcc.gateway.crlupdate import WARNING, in_force, left_indexes, wants_look
from dcc.gateway.services import load_crls
from dcc.gateway.settings import ConfigurationError, Settings, load_settings
from inprocess import Clock
from listhost import ListHost, http, list_host

TOML = """
[gateway]
address = "passerelle@dcc.example"
environment = "test"
[keys]
signing = "s.p12"
decryption = ["d.p12"]
[trust]
certificates = ["pki"]
crls = ["crls"]
crl_urls = [{urls}]
{more}
"""


@pytest.fixture
def host() -> Iterator[ListHost]:
    """Where the lists are published."""
    with list_host() as found:
        yield found


def settings_for(folder: Path, *urls: str, more: str = "") -> Settings:
    """An instance that fetches these lists."""
    (folder / "crls").mkdir(exist_ok=True)
    config = folder / "dcc.toml"
    config.write_text(TOML.format(urls=", ".join(f'"{one}"' for one in urls), more=more), encoding="utf-8")
    return load_settings(config, {})


def fetcher_for(settings: Settings) -> ListFetcher:
    """Its fetcher; the randomised moment is in the middle of the window."""
    return ListFetcher(settings, trust(), lambda count: b"\x80" + bytes(count - 1))


def fetch(settings: Settings, at: Clock | None = None) -> tuple[Fetched, ...]:
    """Fetch whatever is due."""
    clock = at or Clock(NOW)
    own = fetcher_for(settings)
    return own.fetch(own.due(clock()), clock)


def held(settings: Settings) -> set[int | None]:
    """The numbers of the lists that a gateway would read."""
    store = CrlStore()
    load_crls(settings, store)
    return {one.number for one in in_force(store.infos())}


def test_base_and_delta_of_each_issuer_are_fetched(host: ListHost, tmp_path: Path) -> None:
    """Each list named, PEM or DER, base or delta, is taken, and replaces an older one, which is kept aside."""
    urls = [host.url(one) for one in ("/PP.crl", "/PP-delta.crl", "/ORG.crl")]
    settings = settings_for(tmp_path, *urls)
    host.answers = {
        "/PP.crl": http(crl("FO-PP", [1], number=10)), "/PP-delta.crl": http(crl("FO-PP", [2], number=11, base=10)),
        "/ORG.crl": http(pem(crl("EL-ORG", number=12), "X509 CRL")),
    }  # fmt: skip
    done = fetch(settings)
    assert [(one.result, one.reason) for one in done] == [("taken", None)] * 3
    assert held(settings) == {10, 11, 12}
    host.answers["/PP.crl"] = http(crl("FO-PP", [1], number=20))
    assert fetch(settings, Clock(NOW + DAY))[0].result == "taken"
    assert held(settings) == {20, 11, 12}
    assert len(list((tmp_path / "crls/anciennes").iterdir())) == 1


def test_once_a_day_at_a_moment_of_its_own(host: ListHost, tmp_path: Path) -> None:
    """After a success the next fetching lies in tomorrow's window, at a random place; until then nothing is due."""
    settings = settings_for(tmp_path, host.url("/a"), more="fetch_hour = 6\nfetch_spread_hours = 3")
    host.answers["/a"] = http(crl("FO-PP"))
    (done,) = fetch(settings)
    assert done.due == NOW.replace(hour=7, minute=30) + DAY
    own = fetcher_for(settings)
    assert own.due(done.due - timedelta(seconds=1)) == ()
    assert own.due(done.due) == (host.url("/a"),)
    assert own.next_due(NOW) == done.due
    (again,) = fetch(settings, Clock(NOW.replace(hour=3) + DAY + DAY))
    assert again.due == NOW.replace(hour=7, minute=30) + 2 * DAY  # before the day's window: today


def test_a_failure_is_tried_again_soon(host: ListHost, tmp_path: Path) -> None:
    """A host that answers with an error is asked again after the retry delay; the list of before stays in force."""
    settings = settings_for(tmp_path, host.url("/a"), more="fetch_retry_seconds = 600")
    host.answers["/a"] = http(crl("FO-PP", number=5))
    fetch(settings)
    host.answers["/a"] = http(b"", "500 Oops")
    later = NOW + 2 * DAY
    (done,) = fetch(settings, Clock(later))
    assert (done.result, done.reason, done.success_at) == ("refused", "réponse HTTP 500", NOW)
    assert done.due == later + timedelta(minutes=10)
    assert held(settings) == {5}


def test_a_host_that_is_down(tmp_path: Path) -> None:
    """Nobody listens: unreachable, and nothing is raised."""
    with list_host() as gone:
        url = gone.url("/a")
    (done,) = fetch(settings_for(tmp_path, url))
    assert (done.result, done.success_at) == ("unreachable", None)


@pytest.mark.parametrize(
    ("published", "why"),
    [
        ({"number": 4}, "numéro inférieur à celui de la liste déjà connue (5)"),
        (
            {"number": 5, "this_update": NOW - 2 * HOUR},
            "plus ancienne que la liste déjà connue de même numéro (5)",
        ),
        ({"number": None}, "numéro inférieur à celui de la liste déjà connue (5)"),
        ({"number": 9}, None),
        (None, "ce n'est pas une CRL lisible"),
    ],
    ids=["rollback", "same number, older", "without number", "newer", "no list"],
)
def test_what_is_taken(host: ListHost, tmp_path: Path, published: dict[str, Any] | None, why: str | None) -> None:
    """A lower number is refused and named (facts: cards §6); what is refused leaves the list of before in force."""
    settings = settings_for(tmp_path, host.url("/a"))
    host.answers["/a"] = http(crl("FO-PP", number=5))
    fetch(settings)
    host.answers["/a"] = http(b"nothing" if published is None else crl("FO-PP", **published))
    (done,) = fetch(settings, Clock(NOW + DAY))
    assert done.reason == why
    assert held(settings) == ({9} if why is None else {5})


def test_a_forged_list_is_refused(host: ListHost, tmp_path: Path) -> None:
    """Another key's signature in the authority's name: refused before it is indexed, nothing is left in the cache."""
    settings = settings_for(tmp_path, host.url("/a"))
    host.answers["/a"] = http(crl("FO-PP", number=99, signer=key("leaf"), named_key=key("leaf")))
    (done,) = fetch(settings)
    assert done.reason == "aucune autorité connue ne l'a signée"
    assert not (tmp_path / "var/crl").exists()
    assert held(settings) == set()


def test_one_at_a_time(host: ListHost, tmp_path: Path) -> None:
    """While one process fetches, another on the same folder leaves the hosts alone."""
    settings = settings_for(tmp_path, host.url("/a"))
    inner: list[tuple[Fetched, ...]] = []
    host.answers["/a"] = http(crl("FO-PP"))

    def clock():  # type: ignore[no-untyped-def]
        inner.append(fetcher_for(settings).fetch((host.url("/a"),), lambda: NOW))
        return NOW

    fetcher_for(settings).fetch((host.url("/a"),), clock)
    assert inner == [()]
    assert len(host.asked) == 1


def test_what_came_of_it_is_kept(host: ListHost, tmp_path: Path) -> None:
    """The state outlives the process; a damaged one only means that everything is fetched anew."""
    settings = settings_for(tmp_path, host.url("/a"))
    host.answers["/a"] = http(crl("FO-PP"))
    done = fetch(settings)
    assert states(settings) == done
    assert set(refreshed(settings).values()) == {NOW}
    (tmp_path / "crls/.releves.json").write_bytes(b"{")
    assert states(settings) == ()
    assert fetcher_for(settings).due(NOW) == (host.url("/a"),)


def test_silence_of_36_hours_is_told(host: ListHost, tmp_path: Path) -> None:
    """A host that has not given its list for 36 hours is named, not one that failed an hour ago."""
    settings = settings_for(tmp_path, host.url("/a"))
    host.answers["/a"] = http(crl("FO-PP"))
    fetch(settings)
    host.answers["/a"] = http(b"", "404 Not Found")
    fetch(settings, Clock(NOW + 30 * HOUR))
    assert silent(settings, NOW + 30 * HOUR, WARNING) == ()
    assert silent(settings, NOW + 37 * HOUR, WARNING) == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("age", "life", "fetched", "look"),
    [
        (35, 6, None, False), (37, 6, None, True), (37, 6, 1, True),
        (200, 45, 1, False), (200, 45, 37, True), (200, 45, None, True), (200, 40_000, None, True),
    ],
)  # fmt: skip
def test_which_lists_want_a_look(age: int, life: int, fetched: int | None, look: bool) -> None:
    """36 hours: of a list made each day since it was made, of a root's monthly list since its host was heard."""
    made = NOW - age * HOUR
    (info,) = CrlStore().add(crl("FO", this_update=made, next_update=made + life * DAY))
    assert wants_look(info, None if fetched is None else NOW - fetched * HOUR, NOW) is look


def test_a_running_gateway_lets_go_of_replaced_lists(tmp_path: Path) -> None:
    """A list that a newer one replaced leaves the memory with its file; one that nothing replaces stays."""
    settings = settings_for(tmp_path)
    old, new, other = (tmp_path / "crls" / name for name in ("1.crl", "2.crl", "3.crl"))
    store = CrlStore()
    old.write_bytes(crl("FO-PP", number=1))
    other.write_bytes(crl("EL-PP", number=7))
    load_crls(settings, store)
    new.write_bytes(crl("FO-PP", number=2))
    old.unlink()
    other.unlink()
    load_crls(settings, store)
    assert {one.number for one in store.infos()} == {2, 7}


def test_indexes_of_lists_not_held_go(tmp_path: Path) -> None:
    """Once a list is let go its index goes with the hourly tidying, not before it is a day old, and no other does."""
    settings = settings_for(tmp_path)
    (tmp_path / "crls/1.crl").write_bytes(crl("FO-PP", number=1))
    before = CrlStore(tmp_path / "var/crl")
    before.add(crl("FO-PP", number=0))
    load_crls(settings, before)
    held = CrlStore(tmp_path / "var/crl")
    load_crls(settings, held)
    ahead = datetime.now(UTC) + HOUR
    assert left_indexes(settings, held, ahead - 2 * HOUR) == []
    left = left_indexes(settings, held, ahead)
    kept = {one.sha256 for one in held.infos()}
    assert len(left) == 2
    assert not {one.name.partition(".")[0] for one in left} & kept


def test_wrong_settings_are_said(tmp_path: Path) -> None:
    """URLs without a folder to put the lists, authorities that are no file, a URL that leads nowhere: one line each."""
    settings = settings_for(tmp_path, "http://127.0.0.1/a", "http:///b", more='authorities = "absent.pem"')
    (tmp_path / "crls").rmdir()
    with pytest.raises(ConfigurationError) as wrong:
        fetcher_of(settings)
    assert [one.partition(" ")[0] for one in wrong.value.problems] == [
        "trust.crl_urls",
        "trust.authorities",
        "trust.crls",
    ]
