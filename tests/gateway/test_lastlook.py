"""A right that ends while a batch is under way: whoever has not been written to yet is not (I4), on both engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, update

from dcc.gateway.outcomes import Outcomes
from dcc.gateway.relaying import TryLater
from dcc.gateway.services import load_crls, open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import documents, folders, outbox, people, rights
from dcc.mailbox.records import DeliveryState, DocumentStatus
from dcc.mailbox.schema import metadata, networks
from dcc.mailbox.schema import outbox as table
from dcc.mailbox.snapshot import Snapshot
from dcc.router.distribute import CONTENT_KINDS, still_allowed
from dcc.router.reasons import reason
from demoinstance import DemoInstance, read_demo_instance
from inprocess import Recorder, Rooms
from instancecopy import copied
from postgres import PostgresServer, onto_postgresql
from terminal import dcc

READER = "gp"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer("postgresql"))])
def rooms(request: pytest.FixtureRequest, filed: Path, tmp_path: Path) -> Iterator[Rooms]:
    """One filed deposit whose mails are due, that to the reader last."""
    directory = tmp_path / "instance"
    copied(filed, directory)
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        onto_postgresql(directory, server)
    with open_services(load_settings(directory / "dcc.toml")) as services:
        made = Rooms(services)
        with services.database.begin() as conn:
            conn.execute(
                update(table)
                .where(table.c.id == made.delivery(READER).id)
                .values(due=made.clock.at + timedelta(seconds=1))
            )
        made.clock.later(seconds=2)
        yield made


class SlowHost(Recorder):
    """Takes the first mail only after something has happened, by another connection to the store."""

    def __init__(self, happens: Callable[[], None], *, idempotent: bool = False) -> None:
        super().__init__(idempotent=idempotent)
        self.happens = happens
        self.asked = self._first

    def _first(self) -> None:
        self.asked = lambda: None
        self.happens()


def command(rooms: Rooms, *arguments: str) -> None:
    """What an operator does meanwhile, as a program of its own would."""
    done = dcc(*arguments, "-c", rooms.services.settings.directory / "dcc.toml")
    assert done.code == 0, done.err


def folder_of(rooms: Rooms) -> str:
    return str(rooms.cast.folder("main")["id"])


def mailbox_of(rooms: Rooms) -> str:
    return str(rooms.cast.person(READER)["mailbox"])


def account_of(rooms: Rooms) -> str:
    found = rooms.delivery(READER).account
    assert found is not None
    return found


def withdraw(rooms: Rooms) -> None:
    command(rooms, "consent", "withdraw", folder_of(rooms))


def close(rooms: Rooms) -> None:
    command(rooms, "folder", "close", folder_of(rooms))


def revoke(rooms: Rooms) -> None:
    with rooms.services.database.read() as conn:
        (mandate,) = [one for one in folders.mandates_of(conn, folder_of(rooms)) if one.account == account_of(rooms)]
    command(rooms, "mandate", "revoke", mandate.id, "--folder", folder_of(rooms))


def end(rooms: Rooms) -> None:
    """Nobody writes anything: the doctor's mandate was given for 700 days."""
    rooms.clock.later(days=701)


def oppose_person(rooms: Rooms) -> None:
    command(rooms, "opposition", "add", folder_of(rooms), "--person", mailbox_of(rooms))


def oppose_type(rooms: Rooms) -> None:
    command(rooms, "opposition", "add", folder_of(rooms), "--type", "34794-8")


def suspend(rooms: Rooms) -> None:
    command(rooms, "account", "suspend", mailbox_of(rooms))


def mask(rooms: Rooms) -> None:
    command(rooms, "document", "mask", rooms.delivery(READER).documents[0])


def delete(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        documents.mark(conn, rooms.delivery(READER).documents[0], DocumentStatus.DELETED)


def other_card(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        people.set_card(conn, account_of(rooms), rooms.cast.pair("opposed_card").certificate)


def list_card(rooms: Rooms) -> None:
    """An authority publishes that the reader's card is opposed, and this process reads the list."""
    world = read_demo_instance(rooms.services.settings.directory / "world")
    world.issued.pki.revoke(world.issued.people[READER]["card"], world.now)
    lists = world.lists(age=timedelta(minutes=1), life=timedelta(days=6), number=9)
    for place, der in enumerate(lists):
        (rooms.services.settings.directory / f"demo/crls/new{place}.crl").write_bytes(der)
    load_crls(rooms.services.settings, rooms.services.judge.crls)


def set_rules(rooms: Rooms, read: str = "* -34794-8") -> None:
    """The network sets document rules of its own, under which nobody reads such a report."""
    table = rooms.services.settings.directory / "regles.csv"
    table.write_text(f"group,label,feed,read\nother,tous,*,{read}\n", encoding="utf-8")
    command(rooms, "network", "rules", "rca", "--set", str(table))


ENDED: list[tuple[Callable[[Rooms], None], str]] = [
    (withdraw, "D2R-CNS02"),
    (close, "D2R-FLD01"),
    (revoke, "D2R-MAN02"),
    (end, "D2R-MAN02"),
    (oppose_person, "D2R-OPP01"),
    (oppose_type, "D2R-OPP02"),
    (suspend, "D2R-ACC04"),
    (mask, "D2R-MSK01"),
    (delete, "D2R-DEL01"),
    (set_rules, "D2R-TYP03"),
    (other_card, "D2R-CRL02"),
    (list_card, "D2R-CRL02"),
]


@pytest.mark.parametrize("idempotent", [False, True], ids=["smarthost", "sink"])
@pytest.mark.parametrize(("change", "code"), ENDED, ids=[change.__name__ for change, _ in ENDED])
def test_right_that_ends_in_the_middle_of_a_batch(
    rooms: Rooms, demo: DemoInstance, change: Callable[[Rooms], None], code: str, idempotent: bool
) -> None:
    """The mail that was planned and sealed with the others does not leave; its file goes, the reason stays (I2)."""
    (rooms.services.settings.directory / "world").symlink_to(demo.directory.parent)
    box = mailbox_of(rooms)

    def happens() -> None:
        rooms.clock.later(seconds=0.5)  # a slow host
        change(rooms)

    host = SlowHost(happens, idempotent=idempotent)
    rooms.announcer(host).run_once()
    assert host.mails
    assert host.to(box) == []
    found = rooms.delivery(READER)
    assert (found.state, found.reason) == (DeliveryState.WITHHELD, code)
    assert code in rooms.audited("gateway:delivery:withheld")
    assert not list(rooms.services.outbox_directory.glob(f"{found.id}*"))


@pytest.mark.parametrize("idempotent", [False, True], ids=["smarthost", "sink"])
def test_certificate_that_is_gone(rooms: Rooms, idempotent: bool) -> None:
    """The reader's encryption certificate is taken away meanwhile: the notice goes instead of what was sealed."""

    def happens() -> None:
        rooms.clock.later(seconds=0.5)
        with rooms.services.database.begin() as conn:
            people.set_encryption_certificate(conn, account_of(rooms), None)

    host = SlowHost(happens, idempotent=idempotent)
    rooms.announcer(host).run_once()
    (mail,) = host.to(mailbox_of(rooms))
    assert b"enveloped-data" not in mail
    assert rooms.delivery(READER).state is DeliveryState.SENT


@pytest.mark.parametrize("idempotent", [False, True], ids=["smarthost", "sink"])
def test_change_that_is_not_about_this_mail(rooms: Rooms, idempotent: bool) -> None:
    """Somebody else's right has ended: the mails are looked at again, and what was sealed goes, once and as it was."""
    sealed: dict[str, tuple[int, bytes]] = {}
    outside = rooms.services.outbox_directory

    def happens() -> None:
        rooms.clock.later(seconds=0.5)
        sealed.update({path.name: (path.stat().st_ino, path.read_bytes()) for path in outside.glob("*.eml")})
        command(rooms, "account", "suspend", str(rooms.cast.person("administrator")["mailbox"]))

    host = SlowHost(happens, idempotent=idempotent)
    rooms.announcer(host).run_once()
    assert len(host.mails) == len({box for box, _ in host.mails}) == 7
    assert {one.state for one in rooms.deliveries() if one.kind != "account_decided"} == {DeliveryState.SENT}
    assert {octets for _, octets in sealed.values()} <= {octets for _, octets in host.mails}


def test_network_speaks_otherwise(rooms: Rooms) -> None:
    """Words of the network that have changed are those of the mail that leaves after it."""

    def happens() -> None:
        with rooms.services.database.begin() as conn:
            conn.execute(update(networks).values(name="Reseau rebaptise"))

    host = SlowHost(happens)
    rooms.announcer(host).run_once()
    (mail,) = host.to(mailbox_of(rooms))
    assert b"Reseau rebaptise" in mail.partition(b"\r\n\r\n")[0]


def test_sealed_long_ago(rooms: Rooms) -> None:
    """What waited for the next host from an earlier batch is looked at as late, and goes as it is where nothing ended."""
    host = Recorder(*[TryLater("450")] * 7)
    announcer = rooms.announcer(host)
    announcer.run_once()
    kept = {path.read_bytes() for path in rooms.services.outbox_directory.iterdir()}
    rooms.clock.later(hours=1)

    def happens() -> None:
        host.asked = lambda: None
        revoke(rooms)

    host.asked = happens
    while announcer.run_once():
        pass
    taken = {octets for _, octets in host.mails}
    assert taken <= kept
    assert len(taken) in {6, 7}  # the reader's may have been the first
    withheld = [one for one in rooms.deliveries() if one.state is DeliveryState.WITHHELD]
    assert len(withheld) == 7 - len(taken)
    assert all(one.mailbox == mailbox_of(rooms) for one in withheld)


def test_changes_without_end(rooms: Rooms) -> None:
    """Changes that come quicker than a mail can be planned: it is given up for now, and told, after a few looks (I8)."""
    announcer = rooms.announcer(Recorder())
    plans = announcer._plans
    made = []

    def overtaken(mails, before=None):  # type: ignore[no-untyped-def]
        found = plans(mails, before)
        made.append(len(mails))
        with rooms.services.database.begin() as conn:
            people.set_language(conn, account_of(rooms), "fr")
        return found

    announcer._plans = overtaken  # type: ignore[method-assign]
    announcer.run_once()
    assert {one.state for one in rooms.deliveries()} == {DeliveryState.QUEUED}
    assert all(one.due > rooms.clock.at for one in rooms.deliveries())
    assert made[0] == 7
    assert len(made) == 1 + 7 * 5
    announcer._plans = plans  # type: ignore[method-assign]
    rooms.clock.later(hours=1)
    while announcer.run_once():
        pass
    assert {one.state for one in rooms.deliveries()} == {DeliveryState.SENT}


def test_costs_no_statement_of_its_own(rooms: Rooms) -> None:
    """Where nothing has changed, each mail is read for once: one more statement a message, none a mail."""
    told: list[str] = []

    def note(_conn, _cursor, statement, *_rest) -> None:  # type: ignore[no-untyped-def]
        told.append(statement)

    reader = rooms.services.database._reader
    event.listen(reader, "before_cursor_execute", note)
    rooms.announcer(Recorder()).run_once()
    event.remove(reader, "before_cursor_execute", note)
    assert {one.state for one in rooms.deliveries()} == {DeliveryState.SENT}
    assert len([one for one in told if "FROM rights" in one and not one.startswith("UPDATE")]) == 1


def test_whatever_decides_is_watched(rooms: Rooms) -> None:
    """Every table that is read to find out whether a mail may still be sent raises the number when it changes."""
    read: set[str] = set()

    def note(_conn, _cursor, statement, *_rest) -> None:  # type: ignore[no-untyped-def]
        read.update(
            name for name in metadata.tables if f" {name} " in f"{statement} ".replace("\n", " ").replace(",", " ")
        )

    set_rules(rooms, "*")
    owed = [one for one in rooms.deliveries() if one.kind in CONTENT_KINDS]
    assert owed
    rules = rooms.services.rules
    with rooms.services.database.read() as conn:
        event.listen(conn, "before_cursor_execute", note)
        judge = rooms.services.judge_stored(rooms.clock)
        for one in owed:
            why = still_allowed(one, store=Snapshot(conn), now=rooms.clock.at, judge=judge, rules=rules)
            assert why is None or why.outcome == "notice"
    parts = {"parts"}  # written with their document, and rewrapped under another key: no right rests on them
    assert {"accounts", "folders", "mandates", "oppositions", "documents", "networks"} <= read
    assert "document_rules" in read
    assert read - parts <= set(rights.WATCHED)


def test_slower_than_the_lease_and_overtaken(rooms: Rooms) -> None:
    """A right ends, and another worker has taken the mail meanwhile: it is that one's, and nobody sends it twice (I1)."""
    other = Recorder()

    def happens() -> None:
        rooms.clock.later(hours=1)
        command(rooms, "account", "suspend", str(rooms.cast.person("administrator")["mailbox"]))
        quick = rooms.announcer(other)
        while quick.run_once():
            pass

    host = SlowHost(happens)
    rooms.announcer(host).run_once()
    boxes = [box for box, _ in (*host.mails, *other.mails)]
    assert len(boxes) == len(set(boxes))


def test_slower_than_the_lease_and_withheld(rooms: Rooms) -> None:
    """A slow worker that finds a right ended leaves the sealed file alone once another has the mail; that one's word counts."""
    host = Recorder(*[TryLater("450")] * 50)
    rooms.clock.later(seconds=2)
    rooms.announcer(host).run_once()
    rooms.clock.later(hours=1)
    lease = timedelta(minutes=1)
    claims = []
    for _ in range(2):
        with rooms.services.database.begin() as conn:
            found = outbox.claim_due(conn, now=rooms.clock.at, lease=lease, limit=50)
        claims.append(next(one for one in found if one.id == rooms.delivery(READER).id))
        rooms.clock.later(minutes=2)
    slow, quick = claims
    assert slow.sealed_file is not None
    file = rooms.services.outbox_directory / slow.sealed_file
    outcomes, why = Outcomes(rooms.services, rooms.clock, None), reason("D2R-MAN02")
    outcomes.withhold(slow, why, rooms.clock.at)
    assert (file.exists(), rooms.delivery(READER).state) == (True, DeliveryState.QUEUED)
    assert rooms.audited("gateway:delivery:withheld") == []
    outcomes.withhold(quick, why, rooms.clock.at)
    assert (file.exists(), rooms.delivery(READER).state) == (False, DeliveryState.WITHHELD)
    assert rooms.audited("gateway:delivery:withheld") == ["D2R-MAN02"]
