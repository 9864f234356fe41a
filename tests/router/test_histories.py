"""Whatever happens in whatever order: nothing is filed or sent against the rules in force at that moment (I4)."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from dcc.mailbox import delegations, documentrules, folders, people, rights
from dcc.mailbox.database import Database
from dcc.mailbox.records import (
    Account,
    AccountState,
    ConsentState,
    Delegation,
    Delivery,
    DocumentRules,
    Mandate,
    MandateOrigin,
)
from dcc.mailbox.snapshot import Snapshot
from dcc.router.decision import Filed, Refused
from dcc.router.distribute import plan_deliveries, still_allowed
from dcc.router.networkrules import GATEWAY

RCP, SECRET_TYPE = "34794-8", "ATTEST-RESID"
WHO = ("dra", "drb", "drc", "nurse", "secretary")
PROFESSIONS = {"dra": "10", "drb": "10", "drc": "10", "nurse": "60", "secretary": None}
HOSPITAL_STAFF = ("dra", "nurse", "secretary", "lab")
NETWORKS = {"rca": ("f0", "dossier+aaaa@rca.test"), "rcb": ("g0", "dossier+cccc@rcb.test")}
HEAD = "group,label,feed,read\n"
# A network's own rules, and who may feed and read an RCP sheet by them, as the sentence of each says
ONLY_DOCTORS, BARRED = "no reader but doctors", "nothing of the kind"
RULES: dict[str | None, tuple[str, frozenset[str], frozenset[str]]] = {
    None: ("", frozenset({"10", "staff", "organisation"}), frozenset({"10", "60", "staff", "organisation"})),
    ONLY_DOCTORS: (
        "10,médecins,*,*\nother,autres,class:10,-34794-8\n",
        frozenset({"10", "60", "staff", "organisation"}), frozenset({"10"}),
    ),
    "nurses feed, doctors read only": (
        "10,médecins,* -class:10,*\n60,infirmiers,34794-8,*\nother,autres,* -34794-8,class:10\n",
        frozenset({"60"}), frozenset({"10", "60", "staff", "organisation"}),
    ),
    BARRED: ("other,toutes,* -34794-8,* -class:10\n", frozenset(), frozenset()),
}  # fmt: skip
START = datetime(2026, 6, 1, 12, tzinfo=UTC)
someone = st.sampled_from(WHO)
steps = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 20)),
    st.tuples(st.just("account"), someone, st.sampled_from(list(AccountState))),
    st.tuples(st.just("consent"), st.sampled_from(list(ConsentState))),
    st.tuples(st.just("close")),
    st.tuples(st.just("grant"), someone, st.integers(-2, 5), st.none() | st.integers(1, 30)),
    st.tuples(st.just("revoke"), st.integers(0, 8)),
    st.tuples(st.just("oppose"), someone | st.none()),
    st.tuples(st.just("delegate"), st.sampled_from(("dra", "drb", "drc")), st.none() | st.integers(1, 30)),
    st.tuples(st.just("deposit"), someone),
    st.tuples(st.just("deposit"), someone),
    st.tuples(st.just("rules"), st.sampled_from(list(RULES))),
    st.tuples(st.just("rules"), st.sampled_from(list(RULES))),
    st.tuples(st.just("plan")),
    st.tuples(st.just("send")),
)
histories = st.lists(st.tuples(st.sampled_from(list(NETWORKS)), steps), min_size=3, max_size=30)


def good(_certificate: bytes, _purpose: str, _mailbox: str | None = None) -> str:
    """Every card is valid."""
    return "VALID"


@dataclass
class Given:
    """A right with its start, end and revocation, as the oracle remembers it."""

    id: str
    who: str | None  # None: the hospital
    start: datetime
    until: datetime | None
    revoked: datetime | None = None

    def holds(self, at: datetime) -> bool:
        return (
            self.start <= at and (self.until is None or at < self.until) and (self.revoked is None or at < self.revoked)
        )


@dataclass
class World:
    """What the oracle knows: written from the notice, not from the code."""

    at: datetime = START
    states: dict[str, AccountState] = field(
        default_factory=lambda: dict.fromkeys((*WHO, "lab"), AccountState.VALIDATED)
    )
    consent: ConsentState = ConsentState.GIVEN
    closed: bool = False
    mandates: list[Given] = field(default_factory=list)
    opposed: set[str] = field(default_factory=set)
    type_opposed: bool = False
    lent: list[tuple[Given, str]] = field(default_factory=list)  # to the secretary, by whom
    rules: str | None = None  # of the network

    def mandated(self, who: str) -> bool:
        mine = [one for one in self.mandates if one.who == who or (one.who is None and who in HOSPITAL_STAFF)]
        return any(one.holds(self.at) for one in mine)

    def open_to(self, who: str) -> bool:
        """Consent, account, opposition: everything but the mandate."""
        consented = self.consent is ConsentState.GIVEN and not self.closed
        return (
            consented
            and self.states[who] is AccountState.VALIDATED
            and who not in self.opposed
            and not self.type_opposed
        )

    def may_read(self, who: str) -> bool:
        return self.open_to(who) and self.mandated(who) and group(who) in RULES[self.rules][2]

    def lender(self, who: str) -> str | None:
        if who != "secretary":
            return None
        lent = [by for given, by in self.lent if given.holds(self.at)]
        return next((by for by in lent if any(one.who == by and one.holds(self.at) for one in self.mandates)), None)

    def may_feed(self, who: str) -> bool:
        """Of an RCP sheet written by DrA of the hospital: by the network's rules; a secretary may for DrA."""
        if not self.open_to(who) or group(who) not in RULES[self.rules][1]:
            return False
        return self.mandated(who) or self.lender(who) is not None


def group(who: str) -> str:
    """The line of a table."""
    return "organisation" if who == "lab" else PROFESSIONS[who] or "staff"


class Life:
    """The history of one network, lived by the code under test and by the oracle."""

    def __init__(self, kit: Any, network: str, accounts: dict[str, Any]) -> None:
        self.kit = kit
        self.network = network
        self.folder, self.address = NETWORKS[network]
        self.accounts = accounts
        self.world = World()
        self.numbers = (f"{network}{number}" for number in itertools.count(1))
        self.owed: list[Delivery] = []
        self.planned: tuple[int, datetime, list[Delivery]] = (0, START, [])
        with kit.database.read() as conn:
            holders = {one.id: key for key, one in accounts.items()}
            for one in folders.mandates_of(conn, self.folder):
                self.world.mandates.append(Given(one.id, holders.get(one.account or ""), one.start, one.until))

    def live(self, step: tuple[Any, ...]) -> None:
        getattr(self, step[0])(*step[1:])

    def wait(self, days: int) -> None:
        self.world.at += timedelta(days=days)

    def account(self, who: str, state: AccountState) -> None:
        self.world.states[who] = state
        self.kit.write(lambda conn: people.set_account_state(conn, self.accounts[who].id, state))

    def consent(self, state: ConsentState) -> None:
        self.world.consent = state
        self.kit.write(lambda conn: folders.record_consent(conn, self.folder, state=state, at=self.world.at))

    def close(self) -> None:
        self.world.closed = True
        self.kit.write(lambda conn: folders.close_folder(conn, self.folder, at=self.world.at))

    def grant(self, who: str, begins: int, lasts: int | None) -> None:
        start = self.world.at + timedelta(days=begins)
        until = None if lasts is None else start + timedelta(days=lasts)
        given = Given(f"m-{next(self.numbers)}", who, start, until)
        self.world.mandates.append(given)
        mandate = Mandate(given.id, self.folder, self.accounts[who].id, None, MandateOrigin.GRANTED, start, until)
        self.kit.write(lambda conn: folders.add_mandate(conn, mandate))

    def revoke(self, number: int) -> None:
        if number < len(self.world.mandates) and self.world.mandates[number].revoked is None:
            self.world.mandates[number].revoked = self.world.at
            self.kit.write(lambda conn: folders.revoke_mandate(conn, self.world.mandates[number].id, at=self.world.at))

    def oppose(self, who: str | None) -> None:
        account = None if who is None else self.accounts[who].id
        code = RCP if who is None else None
        if who is None:
            self.world.type_opposed = True
        else:
            self.world.opposed.add(who)
        self.kit.write(
            lambda conn: folders.add_opposition(
                conn, folder=self.folder, account=account, type_code=code, at=self.world.at
            )
        )

    def delegate(self, by: str, lasts: int | None) -> None:
        until = None if lasts is None else self.world.at + timedelta(days=lasts)
        given = Given(f"g-{next(self.numbers)}", "secretary", self.world.at, until)
        self.world.lent.append((given, by))
        delegation = Delegation(
            given.id, self.network, self.accounts["secretary"].id, self.accounts[by].id, self.world.at, until
        )
        self.kit.write(lambda conn: delegations.add(conn, delegation))

    def rules(self, name: str | None) -> None:
        before, self.world.rules = self.world.rules, name
        known = {one: None if one is None else documentrules.digest(HEAD + RULES[one][0]) for one in (before, name)}
        sha256 = known[name]
        if sha256 is None or name == before:
            self.kit.write(lambda conn: documentrules.leave(conn, self.network, before=known[before]))
            self.world.rules = None
            return
        content = HEAD + RULES[name][0]
        own = DocumentRules(self.network, sha256, content, self.world.at, "A. Martin")
        self.kit.write(lambda conn: documentrules.choose(conn, own, before=known[before]))

    def deposit(self, who: str) -> None:
        """A report by DrA, signed by somebody: filed exactly where the rules of this moment let it be."""
        account = replace(self.accounts[who], state=self.world.states[who])
        decision = self.kit.decide(self.kit.deposit(), account, to=[self.address], now=self.world.at)
        assert isinstance(decision, Filed) == self.world.may_feed(who), (who, decision)
        if isinstance(decision, Refused):
            assert decision.reason.sender_fr
            return
        said = dict(decision.evidence)
        assert {"consent", "mandate"} <= set(said), "what it rests on is said"
        assert (said["rules"] == GATEWAY) is (self.world.rules is None)
        self._announce(decision)

    def _announce(self, decision: Any) -> None:
        documents = self.kit.settle(decision)
        with self.kit.database.read() as conn:
            planned = plan_deliveries(
                decision, documents, conn=conn, message_id=f"p-{next(self.numbers)}", now=self.world.at,
                new_id=lambda: f"o{next(self.numbers)}", judge=good,
            )  # fmt: skip
        for one in planned:
            if one.kind == "acknowledgement" or one.state.value == "withheld":
                continue
            assert self.world.may_read(self._who(one)), "a mail is owed to somebody without a right"
            self.owed.append(one)

    def plan(self) -> None:
        """What a batch rests on: who may be sent to now, and the number under which that was found out."""
        with self.kit.database.read() as conn:
            found = [one for one in self.owed if self.world.may_read(self._who(one))]
            self.planned = (rights.revision(conn), self.world.at, found)

    def send(self) -> None:
        """Everything that is owed: sent exactly where the rules of this moment still allow it.

        A plan whose number and time are still those of now allows nothing that the rules of now forbid.
        """
        with self.kit.database.read() as conn:
            number, at, planned = self.planned
            if (rights.revision(conn), self.world.at) == (number, at):
                assert all(self.world.may_read(self._who(one)) for one in planned)
            store = Snapshot(conn)
            for one in self.owed:
                why = still_allowed(one, store=store, now=self.world.at, judge=good, rules=self.kit.rules)
                goes = why is None or why.outcome == "notice"
                assert goes == self.world.may_read(self._who(one)), (self._who(one), why)
        self.owed = []

    def _who(self, delivery: Delivery) -> str:
        return next(key for key, one in self.accounts.items() if one.id == delivery.account)


def twin(account: Account) -> Account:
    """The same person in the second network."""
    mailbox = account.mailbox.replace("@rca.", "@rcb.")
    return replace(account, id=f"b-{account.id}", network="rcb", mailbox=mailbox)


def second_network(conn: Connection, accounts: dict[str, Account]) -> None:
    """The first network's folder and mandates once more, in the second."""
    first = folders.folder(conn, "f0")
    assert first is not None
    folder, address = NETWORKS["rcb"]
    folders.add_folder(conn, replace(first, id=folder, reference="D-2222-2222", address=address, network="rcb"))
    for one in accounts.values():
        people.add_account(conn, twin(one))
    for mandate in folders.mandates_of(conn, "f0"):
        holder = None if mandate.account is None else f"b-{mandate.account}"
        folders.add_mandate(conn, replace(mandate, id=f"b-{mandate.id}", folder=folder, account=holder))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(histories)
@example([("rcb", ("rules", BARRED)), ("rca", ("deposit", "dra")), ("rcb", ("deposit", "dra"))])
@example(
    [("rca", ("deposit", "dra")), ("rca", ("plan",)), ("rca", ("rules", BARRED)), ("rca", ("send",))],
)
@example(
    [("rca", ("deposit", "dra")), ("rca", ("rules", ONLY_DOCTORS)), ("rca", ("send",)), ("rcb", ("deposit", "dra"))]
)
def test_any_history(kit: Any, people_of: Any, tmp_path: Path, history: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Two networks, each with its people, consents, mandates, oppositions, delegations, document rules and deposits.

    In any order they agree with a second reading of the rules, and what is done in one changes nothing in the other.
    """
    source = Path(str(kit.database.engine.url.database))
    copy = tmp_path / "history.sqlite"
    for leftover in tmp_path.glob("history.sqlite*"):
        leftover.unlink()
    with closing(sqlite3.connect(source)) as outside:  # not inside a transaction
        outside.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(source, copy)
    database = Database(f"sqlite:///{copy}")
    try:
        copied = replace(kit, database=database)
        copied.write(lambda conn: second_network(conn, people_of))
        twins = {key: twin(one) for key, one in people_of.items()}
        lives = {"rca": Life(copied, "rca", people_of), "rcb": Life(copied, "rcb", twins)}
        for network, step in (*history, *((network, ("send",)) for network in NETWORKS)):
            lives[network].live(step)
    finally:
        database.close()
