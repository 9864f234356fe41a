"""What becomes of a document that readers already have: deleted or replaced, they are told, if they still may know."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import Message as Mail
from io import BytesIO

from dcc.gateway.announce import Announcer
from dcc.gateway.relaying import TryLater
from dcc.mailbox import folders, people
from dcc.mailbox.records import Delivery, Message
from dcc.smime.open import open_message
from desk import DR_A, DR_B, Desk, end
from hl7make import Hl7
from inprocess import Recorder


def new_version(desk: Desk) -> bytes:
    new = desk.cda(unique_id="2.25.6", replaces="2.25.5")
    return new.replace(b'<versionNumber value="1"/>', b'<versionNumber value="2"/>')


def deleted(desk: Desk, unique_id: str = "2.25.5") -> Message:
    asked = Hl7([], kind="MDM^T04^MDM_T02", order=None, parent_id=unique_id)
    message = desk.send(desk.entity(("message.hl7", "application/hl7-v2", asked.data())))
    assert end(message) == ("done", "D2R-DEL00")
    return message


def changes(desk: Desk, message: Message) -> dict[str, Delivery]:
    return {key: one for key, one in desk.deliveries(message).items() if one.kind == "change"}


def text_of(mail: Mail) -> str:
    part = next(one for one in mail.walk() if one.get_content_type() == "text/plain")
    return part.get_payload(decode=True).decode()  # type: ignore[union-attr]


def seen(mail: Mail) -> str:
    """Every field and every text of a mail, decoded; a signature's base64 may spell any short word by chance."""
    texts = [one.get_payload(decode=True).decode() for one in mail.walk() if one.get_content_maintype() == "text"]  # type: ignore[union-attr]
    return "\n".join([*(f"{name}: {value}" for one in mail.walk() for name, value in one.items()), *texts])


def test_deletion_is_told_to_who_was_sent_the_document(desk: Desk) -> None:
    """Every reader is told once, under a seal which document; who has no certificate only that something changed (I3)."""
    filed = desk.deposit(desk.cda(unique_id="2.25.5"))
    desk.announce()
    readers = set(desk.deliveries(filed)) - {DR_A}
    message = deleted(desk)
    assert set(changes(desk, message)) == readers
    outer, inner = desk.mail_to(DR_B, message)
    words = text_of(inner)
    assert "a été supprimé par son auteur" in words
    assert "- CR de réunion de concertat" in words
    assert desk.folder().reference in words
    assert outer["Subject"] == "[...]"
    plain = changes(desk, message)["no_encryption"]
    raw = (desk.sink / plain.mailbox / "new" / f"{plain.id}.dcc").read_bytes()
    shown = seen(message_from_bytes(raw, policy=policy.default))
    assert "a été supprimé" in shown or "a changé" in shown, "the words are really looked at"
    for name in ("PAT-TROIS", "DOMINIQUE", "279035121518989", "RCP", "concertation"):
        assert name not in shown
        assert len(name) < 8 or name.encode() not in raw
    again = deleted(desk)
    assert changes(desk, again) == {}


def test_who_has_no_right_any_more_is_told_nothing(desk: Desk) -> None:
    """A mandate that ended, an opposition, an account suspended: told nothing of a document that they had (I4)."""
    desk.deposit(desk.cda(unique_id="2.25.5"))
    desk.announce()
    folder = desk.folder().id
    box = desk.cast.person(DR_B)["mailbox"]
    with desk.services.database.begin() as conn:
        (account,) = people.by_mailbox(conn, desk.folder().network, box)
        (mandate,) = [one for one in folders.mandates_of(conn, folder) if one.account == account.id]
        folders.revoke_mandate(conn, mandate.id, at=desk.now)
        (other,) = people.by_mailbox(conn, desk.folder().network, desk.cast.person("pathologist")["mailbox"])
        folders.add_opposition(conn, folder=folder, account=other.id, type_code=None, at=desk.now)
    told = changes(desk, deleted(desk))
    assert DR_B not in told
    assert "pathologist" not in told
    assert "secretary" in told


def test_right_that_ends_before_it_is_sent(desk: Desk) -> None:
    """The right is looked at again when the mail leaves (I4)."""
    desk.deposit(desk.cda(unique_id="2.25.5"))
    desk.announce()
    message = deleted(desk)
    box = desk.cast.person(DR_B)["mailbox"]
    with desk.services.database.begin() as conn:
        (account,) = people.by_mailbox(conn, desk.folder().network, box)
        folders.add_opposition(conn, folder=desk.folder().id, account=account.id, type_code=None, at=desk.now)
    desk.announce()
    one = changes(desk, message)[DR_B]
    assert (one.state.value, one.reason) == ("withheld", "D2R-OPP01")


def test_expired_card_is_told_without_content(desk: Desk) -> None:
    """contract.md: who has an expired card is told that something changed, and not what, also where it could be sealed."""
    desk.deposit(desk.cda(unique_id="2.25.5"))
    desk.announce()
    message = deleted(desk)
    with desk.services.database.begin() as conn:
        (account,) = people.by_mailbox(conn, desk.folder().network, desk.cast.person(DR_B)["mailbox"])
        people.set_card(conn, account.id, desk.cast.pair("expired_card").certificate)
    desk.announce()
    one = changes(desk, message)[DR_B]
    raw = (desk.sink / one.mailbox / "new" / f"{one.id}.dcc").read_bytes()
    assert b"enveloped-data" not in raw
    assert one.state.value == "sent"


def test_replaced_by_what_readers_are_not_sent(desk: Desk) -> None:
    """A new version that is masked: its readers learn that theirs is not in force any more, and nothing of the new one."""
    desk.deposit(desk.cda(unique_id="2.25.5"))
    desk.announce()
    new = new_version(desk)
    message = desk.deposit(new, masks=("MASQUE_PS",))
    assert end(message) == ("filed", None)
    told = changes(desk, message)
    assert DR_B in told
    assert DR_A not in told
    _, inner = desk.mail_to(DR_B, message)
    assert "n'est plus la version en vigueur" in text_of(inner)
    assert [part.get_filename() for part in inner.walk() if part.get_filename()] == []


def test_replaced_by_what_readers_are_sent(desk: Desk) -> None:
    """A new version that is sent says itself that it replaces: nobody gets a second mail."""
    desk.deposit(desk.cda(unique_id="2.25.5"))
    desk.announce()
    new = new_version(desk)
    message = desk.deposit(new)
    assert end(message) == ("filed", None)
    assert changes(desk, message) == {}
    assert desk.deliveries(message)[DR_B].kind == "report"


def test_old_version_does_not_arrive_behind_the_new_one(desk: Desk) -> None:
    """A report that still waits when its document is replaced is not sent: the reader gets the version in force only."""
    first = desk.deposit(desk.cda(unique_id="2.25.5"))
    new = new_version(desk)
    second = desk.deposit(new)
    desk.announce()
    old = desk.deliveries(first)[DR_B]
    assert (old.state.value, old.reason) == ("withheld", "D2R-OLD01")
    assert desk.deliveries(second)[DR_B].state.value == "sent"


def test_sealed_mail_with_a_deleted_document_is_sealed_again(desk: Desk) -> None:
    """Two documents in one mail that is sealed and waits; one is deleted: what leaves holds the other alone (I4)."""
    filed = desk.deposit(desk.cda(unique_id="2.25.5"), desk.cda(type_code="11488-4", unique_id="2.25.7"))
    assert end(filed) == ("filed", None)
    host = Recorder(*[TryLater("450")] * 10)
    announcer = Announcer(desk.services, host, lambda: desk.now)
    announcer.run_once()
    host.outcomes.clear()
    waiting = desk.deliveries(filed)[DR_B]
    assert waiting.sealed_file is not None
    before = (desk.services.outbox_directory / waiting.sealed_file).read_bytes()
    deleted(desk)
    desk.later(hours=2)
    while announcer.run_once():
        pass
    mails = host.to(waiting.mailbox)
    assert before not in mails
    keys = [desk.cast.pair(DR_B, "encryption")]
    for raw in mails:
        opened = open_message(BytesIO(raw), keys=keys)
        assert opened.content is not None
        inside = opened.content.open().read()
        opened.close()
        if b"X-MSS-CODECDA" in inside:
            assert b"X-MSS-CODECDA: 11488-4\r\n" in inside
    assert sum(b"enveloped-data" in raw for raw in mails) == 2, "the report, and what became of the other document"
