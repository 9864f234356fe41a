"""Rules of each network: its own table where it has one, the gateway's elsewhere, in force from one mail to the next."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event, update

from dcc.mailbox import documentrules, folders, people
from dcc.mailbox.records import DocumentRules, Folder, Mandate, MandateOrigin
from dcc.mailbox.schema_people import document_rules
from dcc.mailbox.snapshot import Snapshot
from dcc.router import networkrules
from dcc.router.decision import Filed, Refused
from dcc.router.distribute import plan_deliveries, still_allowed
from dcc.router.networkrules import GATEWAY, NetworkRules
from dcc.router.typerules import matrix_of
from dcc.router.unmasked import plan_unmasked

HEAD = "group,label,feed,read\n"
NO_DOCTOR_FEEDS = HEAD + "10,médecins,,*\nother,autres,*,*\n"
NURSES_READ_NOTHING = HEAD + "60,infirmiers,,\nother,autres,*,*\n"
OTHER_ADDRESS = "dossier+cccc@rcb.test"


def good(_certificate: bytes, _purpose: str, _mailbox: str | None = None) -> str:
    return "VALID"


def put_in_force(kit: Any, network: str, content: str) -> None:
    def change(conn: Any) -> None:
        found = people.get_network(conn, network)
        assert found is not None
        made = DocumentRules(network, documentrules.digest(content), content, folder_of(conn).created_at, "A. Martin")
        assert documentrules.choose(conn, made, before=found.rules)

    kit.write(change)


def folder_of(conn: Any) -> Folder:
    found = folders.folder(conn, "f0")
    assert found is not None
    return found


@pytest.fixture
def twins(kit: Any, people_of: Any) -> dict[str, Any]:
    """The same patient, doctor and nurse in the second network, with a folder of their own there."""
    second = {
        key: replace(people_of[key], id=f"b-{key}", network="rcb", mailbox=f"{key}@rcb.test")
        for key in ("dra", "drb", "nurse")
    }

    def change(conn: Any) -> None:
        first = folder_of(conn)
        folders.add_folder(
            conn, replace(first, id="g0", reference="D-2222-2222", address=OTHER_ADDRESS, network="rcb")
        )  # fmt: skip
        for one in second.values():
            people.add_account(conn, one)
            folders.add_mandate(
                conn, Mandate(f"m-{one.id}", "g0", one.id, None, MandateOrigin.CREATOR, first.created_at, None)
            )  # fmt: skip

    kit.write(change)
    return second


def owed_for(kit: Any, decision: Any) -> list[Any]:
    """The mails of a deposit once its documents are kept."""
    documents = kit.settle(decision)
    with kit.database.read() as conn:
        return plan_deliveries(
            decision, documents, conn=conn, message_id="m", now=decision.folder.created_at,
            new_id=lambda: f"o{next(kit.numbers)}", judge=good,
        )  # fmt: skip


def planned(kit: Any, decision: Any) -> dict[str, str | None]:
    """Who is owed a mail: by account, the reason why it is kept back, or None."""
    owed = owed_for(kit, decision)
    return {one.account: one.reason if one.state.value == "withheld" else None for one in owed}


def test_filed_in_one_network_and_refused_in_the_other(kit: Any, people_of: Any, twins: Any) -> None:
    """The folder's network decides: the same report by the same doctor; the refusal names the network, the trace the table."""
    put_in_force(kit, "rcb", NO_DOCTOR_FEEDS)
    filed = kit.decide(kit.deposit())
    assert isinstance(filed, Filed)
    assert dict(filed.evidence)["rules"] == GATEWAY
    refused = kit.decide(kit.deposit(), of=twins["dra"], to=[OTHER_ADDRESS])
    assert isinstance(refused, Refused)
    assert refused.reason.code == "D2R-TYP02"
    assert refused.reason.sender_fr.endswith("(34794-8) dans le réseau « RCB ».")
    assert refused.reason.sender_en.endswith("(34794-8) in the network “RCB”.")
    assert refused.reason.parameter("rules") == documentrules.digest(NO_DOCTOR_FEEDS)[:12]
    assert "RCA" not in refused.reason.sender_fr


def test_a_network_rule_is_told_last(kit: Any, people_of: Any, twins: Any) -> None:
    """Whoever has no right in the folder learns nothing of its network's rules."""
    put_in_force(kit, "rca", NO_DOCTOR_FEEDS)
    refused = kit.decide(kit.deposit(), of=people_of["drc"])
    assert isinstance(refused, Refused)
    assert refused.reason.code == "D2R-MAN01"
    assert refused.reason.parameter("rules") is None


def test_a_reader_barred_in_one_network_only(kit: Any, twins: Any) -> None:
    """The nurse of both networks is sent the report in the first, and kept from it in the second, with the reason."""
    put_in_force(kit, "rcb", NURSES_READ_NOTHING)
    first = planned(kit, kit.decide(kit.deposit()))
    second = planned(kit, kit.decide(kit.deposit(), of=twins["dra"], to=[OTHER_ADDRESS]))
    assert first["a-nurse"] is None
    assert second["b-nurse"] == "D2R-TYP03"
    assert second["b-drb"] is None


def test_in_force_at_once(kit: Any, twins: Any) -> None:
    """A change counts for the next mail, also for those planned before it, and for the gateway's table put back."""
    decision = kit.decide(kit.deposit())
    owed = owed_for(kit, decision)
    mail = next(one for one in owed if one.account == "a-nurse")

    def why() -> Any:
        with kit.database.read() as conn:
            return still_allowed(
                mail, store=Snapshot(conn), now=decision.folder.created_at, judge=good, rules=kit.rules
            )  # fmt: skip

    assert why() is None or why().outcome == "notice"
    put_in_force(kit, "rcb", NURSES_READ_NOTHING)
    assert why() is None or why().outcome == "notice", "another network's rules"
    put_in_force(kit, "rca", NURSES_READ_NOTHING)
    assert (why().code, why().outcome) == ("D2R-TYP03", "withheld")
    assert "« RCA »" in why().sender_fr
    kit.write(
        lambda conn: documentrules.leave(conn, "rca", before=documentrules.digest(NURSES_READ_NOTHING))
    )  # fmt: skip
    assert why() is None or why().outcome == "notice"


def test_a_mask_that_is_lifted(kit: Any, twins: Any) -> None:
    """Whoever is sent a document because its mask is lifted may read it by the rules of its network."""
    put_in_force(kit, "rca", NURSES_READ_NOTHING)
    (document,) = kit.settle(kit.decide(kit.deposit()))
    with kit.database.read() as conn:
        mails = plan_unmasked(
            conn, document, now=folder_of(conn).created_at, new_id=lambda: f"o{next(kit.numbers)}", judge=good,
            rules=kit.rules,
        )  # fmt: skip
    assert {one.account: one.reason for one in mails if one.state.value == "withheld"} == {"a-nurse": "D2R-TYP03"}


def test_the_gateways_own_table_holds_elsewhere(kit: Any, twins: Any) -> None:
    """Where a network has set none, the table of the settings decides, not the shipped one."""
    kit.rules = NetworkRules(matrix_of(NO_DOCTOR_FEEDS))
    put_in_force(kit, "rcb", NURSES_READ_NOTHING)
    assert isinstance(kit.decide(kit.deposit()), Refused)
    assert isinstance(kit.decide(kit.deposit(), of=twins["dra"], to=[OTHER_ADDRESS]), Filed)


def test_rules_that_cannot_be_read_let_nothing_through(kit: Any, twins: Any) -> None:
    """A text that was changed behind the network's back is an error (the mail is held), never the gateway's table."""
    put_in_force(kit, "rca", NO_DOCTOR_FEEDS)
    kit.write(lambda conn: conn.execute(update(document_rules).values(content=HEAD + "other,x,*,*\n")))
    with pytest.raises(documentrules.RulesLost):
        kit.decide(kit.deposit())


def test_what_it_costs(kit: Any, twins: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table is read once a process, then one row says that it still holds; the row is not asked for twice in one moment."""
    put_in_force(kit, "rca", NURSES_READ_NOTHING)
    put_in_force(kit, "rcb", NO_DOCTOR_FEEDS)
    monkeypatch.setattr(networkrules, "KEPT", 1)
    asked: list[str] = []
    rules = NetworkRules()
    with kit.database.read() as conn:
        event.listen(conn, "before_cursor_execute", lambda _c, _cur, said, *_: asked.append(said))
        for network, statements in (("rca", 2), ("rca", 1), ("rcb", 2), ("rca", 2)):
            asked.clear()
            store = Snapshot(conn)
            first = rules.of(store, network)
            assert len(asked) == statements, asked
            assert rules.of(store, network) == first
            assert store.network(network) is not None
            assert len(asked) == statements
