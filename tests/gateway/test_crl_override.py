"""The operator's override of stale opposition lists: explicit, for a time, under a name, and told in every verdict."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dcc.gateway.demo_deposits import Draft
from dcc.gateway.held import recheck_due
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import overrides
from dcc.mailbox.database import Database
from dcc.mailbox.overrides import Override
from dcc.mailbox.records import MessageState
from demoinstance import DemoInstance
from inprocess import Rooms
from terminal import dcc


@pytest.fixture
def stale(demo: DemoInstance, tmp_path: Path) -> Path:
    """An instance whose lists all ended an hour ago."""
    directory = demo.copy(tmp_path / "instance")
    for path in (directory / "demo/crls").iterdir():
        path.unlink()
    for number, der in enumerate(demo.lists(age=timedelta(days=6, hours=1), life=timedelta(days=6), number=2)):
        (directory / "demo/crls" / f"{number}.crl").write_bytes(der)
    return directory


@pytest.fixture
def rooms(stale: Path) -> Iterator[Rooms]:
    """Its rooms."""
    with open_services(load_settings(stale / "dcc.toml")) as services:
        yield Rooms(services)


def override(directory: Path, *arguments: str) -> int:
    """The exit code of the command."""
    return dcc("crl", "override", *arguments, "-c", directory / "dcc.toml").code


def begin(directory: Path, hours: str = "12") -> None:
    """Begin one."""
    assert override(directory, "--hours", hours, "--because", "panne de l'annuaire") == 0


def test_a_held_mail_passes_while_it_lasts(rooms: Rooms, stale: Path) -> None:
    """Held for a stale list; judged again under an override it is filed, and its evidence, and the trace, say so."""
    held = rooms.deposit()
    rooms.work()
    assert (rooms.message(held).state, rooms.message(held).reason_code) == (MessageState.HELD, "D2R-CRL03")
    begin(stale)
    rooms.clock.later(minutes=20)
    recheck_due(rooms.services, rooms.clock())
    rooms.work()
    assert rooms.message(held).state is MessageState.FILED
    shown = dcc("message", "show", held, "-c", stale / "dcc.toml", "--json").json
    checks = [one for one in shown["evidence"]["card"]["checks"] if "override" in one]
    assert {one["check"] for one in checks} == {"revocation", "revocation of the authority"}
    assert all("débrayage" in one["text"] for one in checks)
    assert rooms.audited("operator:crl-override:began") == [None]
    proved = dcc("message", "reverify", held, "-c", stale / "dcc.toml", "--json")
    assert (proved.code, proved.json["override"]) == (0, checks[0]["override"])


def test_it_ends_by_itself(rooms: Rooms, stale: Path) -> None:
    """After its hours a mail is held again: nobody has to remember."""
    begin(stale, "2")
    rooms.clock.later(hours=2, seconds=30)
    late = rooms.deposit()
    rooms.work()
    assert rooms.message(late).reason_code == "D2R-CRL03"


def test_it_can_be_ended(rooms: Rooms, stale: Path) -> None:
    """`--end` ends it before its time, in the trace too."""
    begin(stale)
    assert override(stale) == 0
    assert override(stale, "--end") == 0
    assert override(stale) == 1
    rooms.clock.later(seconds=30)
    after = rooms.deposit()
    rooms.work()
    assert rooms.message(after).reason_code == "D2R-CRL03"
    assert rooms.audited("operator:crl-override:ended") == [None]


def test_an_opposed_card_stays_refused(rooms: Rooms, stale: Path) -> None:
    """I10: listed on a list of any age is opposed, whoever overrides what."""
    begin(stale)
    rooms.clock.later(seconds=30)
    opposed = rooms.deposit(Draft("opposed_card", "main"))
    rooms.work()
    assert (rooms.message(opposed).state, rooms.message(opposed).reason_code) == (MessageState.REFUSED, "D2R-CRL02")


def test_without_any_list_nothing_passes(demo: DemoInstance, tmp_path: Path) -> None:
    """An authority whose list was never there is not covered: nothing was ever known of its cards."""
    directory = demo.copy(tmp_path / "bare")
    shutil.rmtree(directory / "demo/crls")
    (directory / "demo/crls").mkdir()
    begin(directory)
    with open_services(load_settings(directory / "dcc.toml")) as services:
        own = Rooms(services)
        own.clock.later(seconds=30)
        message = own.deposit()
        own.work()
        assert own.message(message).reason_code == "D2R-CRL03"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--hours", "12"), ("--hours", "12", "--because", " "), ("--hours", "73", "--because", "x"),
        ("--hours", "1", "--because", "x", "--end"), ("--hours", "1", "--because", "x", "--operator", " "),
        ("--hours", "0", "--because", "x"), ("--end", "--operator", ""),
    ],
    ids=["no reason", "blank reason", "too long", "both", "nobody", "no time", "ended by nobody"],
)  # fmt: skip
def test_what_is_not_taken(arguments: tuple[str, ...], made: Path) -> None:
    """An override without a reason, a name or a bound, or longer than the settings allow, is a usage error."""
    assert override(made, *arguments) == 2


def test_the_list_of_overrides(stale: Path) -> None:
    """Who, why, from when until when: those that ended too, the newest first."""
    assert dcc("crl", "override", "-c", stale / "dcc.toml", "--json").json == {"in_force": False, "overrides": []}
    begin(stale)
    done = dcc("crl", "override", "-c", stale / "dcc.toml", "--json").json
    (one,) = done["overrides"]
    assert done["in_force"] is True
    assert (one["operator"], one["because"], one["ended_at"]) == ("a.martin", "panne de l'annuaire", None)
    told = dcc("crl", "override", "-c", stale / "dcc.toml").out
    assert "panne de l'annuaire" in told
    assert "en cours" in told


def test_the_longest_is_in_force(tmp_path: Path) -> None:
    """Of several the one that lasts longest counts, none before its start nor after its end."""
    now = datetime(2026, 6, 1, tzinfo=UTC)
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite'}")
    try:
        database.migrate()
        hour = timedelta(hours=1)
        with database.begin() as conn:
            for name, until in (("a", now + hour), ("b", now + 2 * hour)):
                overrides.add(conn, Override(name, now, until, None, "x", "y"))
        with database.read() as conn:
            found = [overrides.in_force(conn, now + place * hour / 2) for place in (-1, 0, 3, 4)]
        assert [None if one is None else one.id for one in found] == [None, "b", "b", None]
    finally:
        database.close()
