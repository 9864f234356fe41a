"""Masks put on and lifted by a person: what leaves afterwards, to whom, and what the trace says (facts/clinical.md §8)."""

from __future__ import annotations

from collections.abc import Callable
from email import message_from_bytes
from io import BytesIO

import pytest

from dcc.gateway.announce import Announcer
from dcc.gateway.masking import Masked, mask, unmask
from dcc.gateway.relaying import TryLater
from dcc.mailbox import folders, outbox, people
from dcc.mailbox.records import Delivery, Message
from dcc.router.oids import MASQUE_PS
from dcc.smime.open import open_message
from desk import DR_A, DR_B, Desk, end
from inprocess import Recorder
from terminal import Done, dcc


def run(desk: Desk, action: str, *options: str) -> Done:
    (document,) = desk.documents()
    config = desk.cast.directory / "dcc.toml"
    return dcc("document", action, document.id, "-c", config, "--operator", "a.martin", "--json", *options)


def put(desk: Desk, action: Callable[..., Masked]) -> Masked:
    """As the command does, under the desk's clock."""
    (document,) = desk.documents()
    return action(desk.services, document.id, {MASQUE_PS}, "a.martin", desk.now)


def reports(desk: Desk, message: Message) -> dict[str, Delivery]:
    return {key: one for key, one in desk.deliveries(message).items() if one.kind in {"report", "notice"}}


def test_unmasked_document_is_sent_to_its_readers(desk: Desk) -> None:
    """Filed masked, then unmasked: everyone who may read it is sent it, once, however often the mask comes and goes."""
    message = desk.deposit(masks=("MASQUE_PS",))
    desk.announce()
    assert reports(desk, message) == {}
    done = put(desk, unmask)
    assert MASQUE_PS not in done.document.confidentiality
    told = reports(desk, message)
    assert done.sent_to == len([one for one in told.values() if one.state.value == "queued"]) >= 5
    assert DR_A not in told, "who brought it has it"
    desk.announce()
    _, inner = desk.mail_to(DR_B, message)
    assert inner["X-MSS-CODECDA"] == "34794-8"
    put(desk, mask)
    assert put(desk, unmask).sent_to == 0
    desk.announce()
    assert reports(desk, message).keys() == told.keys()
    assert [one["tag"] for one in desk.records() if one["tag"].startswith("operator:document")] == [
        "operator:document:unmasked", "operator:document:masked", "operator:document:unmasked",
    ]  # fmt: skip
    assert desk.verified()


def test_masked_while_mails_wait(desk: Desk) -> None:
    """A mask put on by a person keeps back what has not left; lifted, it is sent; who had it is not sent it again."""
    message = desk.deposit()
    put(desk, mask)
    desk.announce()
    assert {one.state.value for one in reports(desk, message).values()} == {"withheld"}
    put(desk, unmask)
    desk.announce()
    with desk.services.database.read() as conn:
        sent = [one for one in outbox.deliveries(conn) if one.kind == "report" and one.state.value == "sent"]
    assert len({one.mailbox for one in sent}) == len(sent) >= 4


def test_one_of_two_documents_is_masked_while_the_mail_waits(desk: Desk) -> None:
    """A reader still gets the other document of the deposit, also where the mail had been sealed with both (I1, I4)."""
    message = desk.deposit(desk.cda(unique_id="2.25.5"), desk.cda(type_code="11488-4", unique_id="2.25.7"))
    host = Recorder(*[TryLater("450")] * 7)
    announcer = Announcer(desk.services, host, lambda: desk.now)
    announcer.run_once()
    first = next(one for one in desk.documents() if one.type_code == "34794-8")
    mask(desk.services, first.id, {MASQUE_PS}, "a.martin", desk.now)
    desk.later(hours=1)
    while announcer.run_once():
        pass
    one = desk.deliveries(message)[DR_B]
    assert one.state.value == "sent"
    (raw,) = host.to(one.mailbox)
    opened = open_message(BytesIO(raw), keys=[desk.cast.pair(DR_B, "encryption")])
    assert opened.content is not None
    inner = message_from_bytes(opened.content.open().read())
    opened.close()
    assert inner["X-MSS-CODECDA"] == "11488-4"


def test_rights_are_looked_at_when_it_is_unmasked(desk: Desk) -> None:
    """Whoever lost the right while the document was masked is sent nothing (I4)."""
    message = desk.deposit(masks=("MASQUE_PS",))
    with desk.services.database.begin() as conn:
        (account,) = people.by_mailbox(conn, desk.folder().network, desk.cast.person(DR_B)["mailbox"])
        folders.add_opposition(conn, folder=desk.folder().id, account=account.id, type_code=None, at=desk.now)
    put(desk, unmask)
    one = reports(desk, message).get(DR_B)
    assert one is None or one.state.value == "withheld"


def test_deposit_that_would_lift_a_mask_is_decided(desk: Desk) -> None:
    """D2R-MSK02: the same document comes again without its mask: a person unmasks it, and releases the mail."""
    cda = desk.cda()
    assert end(desk.deposit(cda, masks=("MASQUE_PS",))) == ("filed", None)
    again = desk.deposit(cda)
    assert end(again) == ("held", "D2R-MSK02")
    assert run(desk, "unmask").code == 0
    config = desk.cast.directory / "dcc.toml"
    assert dcc("held", "release", again.id, "-c", config, "--operator", "a.martin").code == 0
    desk.work(again)
    assert end(desk.message(again.id)) == ("filed", "D2R-DUP00")


@pytest.mark.parametrize(
    ("action", "options", "code"),
    [
        ("unmask", (), 1),
        ("mask", ("--from", "everybody"), 2),
        ("unmask", ("--from", "patient"), 1),
        ("mask", ("--from", "patient", "--from", "representatives"), 0),
    ],
)
def test_what_cannot_be_done(desk: Desk, action: str, options: tuple[str, ...], code: int) -> None:
    """A mask that is not there is not lifted; masks for the patient are put on like the others."""
    desk.deposit()
    done = run(desk, action, *options)
    assert done.code == code
    if code == 0:
        assert done.json["masks"] == ["INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX"]
    else:
        assert done.err
