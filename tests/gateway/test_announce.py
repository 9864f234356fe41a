"""Mails to their readers: every right checked again, one mail each, the same Message-ID for ever, nothing in clear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from dcc.gateway.relaying import Rejected, Sent, TryLater, Uncertain
from dcc.mailbox import documents, folders, outbox, people
from dcc.mailbox.database import DatabaseGone
from dcc.mailbox.records import AccountState, ConsentState, Delivery, DeliveryState, DocumentStatus
from dcc.smime.keys import KeyPair
from dcc.smime.limits import Limits
from dcc.smime.open import open_message
from inprocess import Recorder, Rooms, failing
from terminal import dcc

READERS = ("oncologist", "secretary", "gp", "pathologist", "no_encryption", "automaton")


def account_of(rooms: Rooms, person: str) -> str:
    found = rooms.delivery(person).account
    assert found is not None
    return found


def folder_of(rooms: Rooms) -> str:
    return str(rooms.cast.folder("main")["id"])


def outbox_files(rooms: Rooms) -> list[str]:
    return sorted(path.name for path in rooms.services.outbox_directory.iterdir())


def owed(rooms: Rooms) -> list[Delivery]:
    """The mails of the deposit, without those that tell what became of others."""
    return [one for one in rooms.deliveries() if one.kind != "uncertain"]


def test_one_mail_for_each_reader(rooms: Rooms) -> None:
    """Everyone mandated is owed exactly one mail of a deposit, and gets it once, however often work is looked for."""
    host = Recorder()
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass
    boxes = [rooms.cast.person(one)["mailbox"] for one in (*READERS, "coordinator")]
    assert Counter(box for box, _ in host.mails) == Counter(boxes)
    assert len({one.dedupe_key for one in rooms.deliveries()}) == len(boxes)
    assert {one.state for one in rooms.deliveries()} == {DeliveryState.SENT}
    assert outbox_files(rooms) == []
    assert len(rooms.audited("gateway:delivery:sent")) == len(boxes)


def test_same_deposit_again_tells_nobody_twice(rooms: Rooms) -> None:
    """The same document deposited again owes its sender an answer, and the readers nothing."""
    before = len(rooms.deliveries())
    with rooms.services.spool.open(rooms.deliveries()[0].message or "") as kept:
        mail = kept.read().partition(b"\r\n\tid ")[2].partition(b"\r\n")[2]  # without our own Received
    again = rooms.take(mail, rooms.cast.person("coordinator")["mailbox"], rooms.cast.folder("main")["address"])
    rooms.work()
    assert rooms.message(again).state.value == "filed"
    assert len(rooms.deliveries()) == before + 1
    assert len(rooms.deliveries("coordinator")) == 2


def revoke(rooms: Rooms) -> None:
    account = account_of(rooms, "gp")
    with rooms.services.database.begin() as conn:
        (mandate,) = [one for one in folders.mandates_of(conn, folder_of(rooms)) if one.account == account]
        folders.revoke_mandate(conn, mandate.id, at=rooms.clock.at)


def end(rooms: Rooms) -> None:
    rooms.clock.later(days=701)  # the doctor's mandate was given for 700 days


def oppose_person(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        folders.add_opposition(
            conn, folder=folder_of(rooms), account=account_of(rooms, "gp"), type_code=None, at=rooms.clock.at
        )


def oppose_type(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        folders.add_opposition(conn, folder=folder_of(rooms), account=None, type_code="34794-8", at=rooms.clock.at)


def withdraw(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        folders.record_consent(conn, folder_of(rooms), state=ConsentState.WITHDRAWN, at=rooms.clock.at)


def suspend(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        people.set_account_state(conn, account_of(rooms, "gp"), AccountState.SUSPENDED)


def delete(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        documents.mark(conn, rooms.delivery("gp").documents[0], DocumentStatus.DELETED)


def oppose_card(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        people.set_card(conn, account_of(rooms, "gp"), rooms.cast.pair("opposed_card").certificate)


RIGHTS_ENDED: list[tuple[Callable[[Rooms], None], str]] = [
    (revoke, "D2R-MAN02"),
    (end, "D2R-MAN02"),
    (oppose_person, "D2R-OPP01"),
    (oppose_type, "D2R-OPP02"),
    (withdraw, "D2R-CNS02"),
    (suspend, "D2R-ACC04"),
    (delete, "D2R-DEL01"),
    (oppose_card, "D2R-CRL02"),
]


@pytest.mark.parametrize(("change", "code"), RIGHTS_ENDED, ids=[change.__name__ for change, _ in RIGHTS_ENDED])
@pytest.mark.parametrize("sealed_before", [False, True])
def test_right_that_ended_meanwhile(
    rooms: Rooms, change: Callable[[Rooms], None], code: str, sealed_before: bool
) -> None:
    """A right that ends between filing and sending: nothing leaves, the reason is kept and audited (I4, I2).

    It makes no difference that the mail was sealed already and only waited for the next host.
    """
    host = Recorder()
    announcer = rooms.announcer(host)
    if sealed_before:
        host.outcomes.extend([TryLater("450")] * 7)
        announcer.run_once()
        assert len(outbox_files(rooms)) == 7
        rooms.clock.later(hours=1)
    change(rooms)
    while announcer.run_once():
        pass
    found = rooms.delivery("gp")
    assert (found.state, found.reason) == (DeliveryState.WITHHELD, code)
    assert host.to(found.mailbox) == []
    assert code in rooms.audited("gateway:delivery:withheld")
    assert f"{found.id}.eml" not in outbox_files(rooms)


def expire_card(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        people.set_card(conn, account_of(rooms, "gp"), rooms.cast.pair("expired_card").certificate)


def lose_certificate(rooms: Rooms) -> None:
    with rooms.services.database.begin() as conn:
        people.set_encryption_certificate(conn, account_of(rooms, "gp"), None)


@pytest.mark.parametrize("change", [expire_card, lose_certificate])
@pytest.mark.parametrize("sealed_before", [False, True])
def test_notice_instead_of_the_report(rooms: Rooms, change: Callable[[Rooms], None], sealed_before: bool) -> None:
    """A card that expired, or a certificate that is gone: the reader gets the notice, which says nothing (I3)."""
    host = Recorder()
    announcer = rooms.announcer(host)
    if sealed_before:
        host.outcomes.extend([TryLater("450")] * 7)
        announcer.run_once()
        rooms.clock.later(hours=1)
    change(rooms)
    while announcer.run_once():
        pass
    (mail,) = host.to(rooms.cast.person("gp")["mailbox"])
    assert rooms.delivery("gp").state is DeliveryState.SENT
    assert b"enveloped-data" not in mail
    assert len(mail) < 30_000
    _neutral(rooms, mail)
    told = message_from_bytes(mail, policy=policy.default).as_string()
    patient = rooms.cast.patient("main")
    for secret in (patient.birth_name, patient.ins, f"{patient.birth_date:%d/%m/%Y}"):
        assert secret not in told


def test_card_that_cannot_be_judged(rooms: Rooms) -> None:
    """Opposition lists too old to say: nothing leaves to the readers and nothing is given up; it waits (I10)."""
    rooms.clock.later(days=60)
    host = Recorder()
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass
    found = rooms.delivery("gp")
    assert (found.state, host.to(found.mailbox)) == (DeliveryState.QUEUED, [])
    assert found.due > rooms.clock.at


def _neutral(rooms: Rooms, mail: bytes) -> None:
    head = mail.partition(b"\r\n\r\n")[0].decode("ascii")
    patient = rooms.cast.patient("main")
    secrets = [patient.birth_name, *patient.given_names, patient.ins, patient.birth_place, "XDM/1.0", "X-MSS", "RCP"]
    for secret in (*secrets, f"{patient.birth_date:%d/%m/%Y}", f"{patient.birth_date:%Y%m%d}"):
        assert secret.lower() not in head.lower(), secret
    assert "Auto-Submitted: auto-generated" in head


def test_outside_is_neutral(rooms: Rooms) -> None:
    """No outer header of any mail tells who the patient is, nor what it is about (I3)."""
    host = Recorder()
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass
    assert len(host.mails) == 7
    for _, mail in host.mails:
        _neutral(rooms, mail)


def test_sealed_for_one_reader_alone(rooms: Rooms) -> None:
    """A report opens with its reader's key, intact and signed by the gateway, and with nobody else's."""
    host = Recorder()
    rooms.announcer(host).run_once()
    (mail,) = host.to(rooms.cast.person("gp")["mailbox"])
    path = rooms.services.settings.directory / "mail"
    path.write_bytes(mail)
    for person, opens in (("gp", True), ("oncologist", False)):
        with path.open("rb") as source:
            found = open_message(
                source, keys=(rooms.cast.pair(person, "encryption"),), limits=Limits(),
                random_bytes=rooms.services.random_bytes, workdir=None,
            )  # fmt: skip
        assert (found.problem is None) == opens
        if opens:
            assert found.signers[0].certificate == rooms.services.keys.signing.certificate
        found.close()


def test_not_sent_unless_it_verifies(rooms: Rooms) -> None:
    """A mail whose own signature does not verify never enters the outbox: told in the log, tried again (I2)."""
    true = rooms.services.keys
    wrong = KeyPair(true.signing.certificate, true.decryption[0].key, true.signing.chain)
    rooms.services.keys = replace(true, signing=wrong)
    host = Recorder()
    rooms.announcer(host).run_once()
    assert host.mails == []
    assert outbox_files(rooms) == []
    assert {one.state for one in rooms.deliveries()} == {DeliveryState.QUEUED}
    rooms.services.keys = true
    rooms.clock.later(hours=1)
    rooms.announcer(host).run_once()
    assert len(host.mails) == 7


def test_told_to_come_later(rooms: Rooms) -> None:
    """4xx: the same octets under the same Message-ID again, after delays that double, with jitter."""
    host = Recorder()
    announcer = rooms.announcer(host)
    sealed: dict[str, bytes] = {}
    delays: list[float] = []
    for _ in range(4):
        host.outcomes.extend([TryLater("450 4.2.1")] * 7)
        assert announcer.run_once() == 7
        files = {name: (rooms.services.outbox_directory / name).read_bytes() for name in outbox_files(rooms)}
        sealed = sealed or files
        assert files == sealed
        due = [(one.due - rooms.clock.at).total_seconds() for one in rooms.deliveries()]
        assert len(set(due)) > 1, "all at once would be a storm"
        delays.append(max(due))
        assert announcer.run_once() == 0
        rooms.clock.later(seconds=max(due))
    base = rooms.services.settings.relay.retry_seconds
    for doubling, delay in enumerate(delays):
        assert 0.75 * base * 2**doubling <= delay <= 1.25 * base * 2**doubling
    assert announcer.run_once() == 7
    assert Counter(octets for _, octets in host.mails) == Counter(sealed.values())


def test_expires(rooms: Rooms) -> None:
    """A mail that the next host does not take for five days is failed, with the last code, and audited."""
    host = Recorder(*[TryLater("451 4.3.0")] * 1000)
    announcer = rooms.announcer(host)
    for _ in range(60):
        announcer.run_once()
        rooms.clock.later(hours=4)
    # The opposition lists are too old by then to send to readers; the answer to the depositor needs none
    (found,) = [one for one in rooms.deliveries("coordinator") if one.kind == "acknowledgement"]
    assert (found.state, found.reason) == (DeliveryState.FAILED, "451 4.3.0")
    assert "451 4.3.0" in rooms.audited("gateway:delivery:failed")
    assert host.mails == []


def test_refused_for_good(rooms: Rooms) -> None:
    """5xx: failed with the code, at once; the others are sent."""
    host = Recorder(Rejected("550 5.1.1"))
    announcer = rooms.announcer(host)
    announcer.run_once()
    states = Counter(one.state for one in rooms.deliveries())
    assert states == {DeliveryState.FAILED: 1, DeliveryState.SENT: 6, DeliveryState.QUEUED: 1}
    assert [one.kind for one in rooms.deliveries() if one.state is DeliveryState.QUEUED] == ["undelivered"]
    assert rooms.audited("gateway:delivery:failed") == ["550 5.1.1"]
    assert announcer.run_once() == 1
    assert announcer.run_once() == 0


@pytest.mark.parametrize("outcome", [Uncertain(), Rejected("554")])
def test_a_person_sends_it_again(rooms: Rooms, outcome: Uncertain | Rejected) -> None:
    """Uncertain or failed: never again by itself; `dcc outbox retry` sends the same octets under the same id."""
    host = Recorder(outcome)
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass
    (stuck,) = [one for one in rooms.deliveries() if one.state in {DeliveryState.UNCERTAIN, DeliveryState.FAILED}]
    rooms.clock.later(days=1)
    announcer.run_once()  # whoever waits for the mail is told
    assert announcer.run_once() == 0
    (kept,) = outbox_files(rooms)
    octets = (rooms.services.outbox_directory / kept).read_bytes()
    assert [one for _, one in host.mails].count(octets) <= 1
    config = rooms.services.settings.directory / "dcc.toml"
    assert dcc("outbox", "retry", stuck.id, "-c", config, "--operator", "a.martin").code == 0
    assert announcer.run_once() == 1
    assert host.mails[-1] == (stuck.mailbox, octets)
    assert f"Message-ID: {stuck.message_id}".encode() in octets
    assert rooms.audited("operator:delivery:retried") == [None]
    assert {one.state for one in rooms.deliveries()} == {DeliveryState.SENT}


def test_interrupted_sending_is_told(rooms: Rooms) -> None:
    """A process that died after DATA may have begun leaves an uncertain mail with its audit record (I1, I2)."""
    with rooms.services.database.begin() as conn:
        (claimed,) = outbox.claim_due(conn, now=rooms.clock.at, lease=timedelta(minutes=1), limit=1)
        outbox.mark_started(conn, claimed.id, now=rooms.clock.at)
    rooms.clock.later(minutes=2)
    host = Recorder()
    announcer = rooms.announcer(host)
    while announcer.run_once():
        pass
    assert host.to(claimed.mailbox) == []
    assert Counter(one.state for one in owed(rooms)) == {DeliveryState.UNCERTAIN: 1, DeliveryState.SENT: 6}
    assert rooms.audited("gateway:delivery:uncertain") == ["interrupted"]


def test_slower_than_the_lease(rooms: Rooms) -> None:
    """A worker that was slower than its lease does not send what another has sent meanwhile (I1)."""
    slow, quick = Recorder(), Recorder()
    other = rooms.announcer(quick)

    def stall() -> None:
        slow.asked = lambda: None
        rooms.clock.later(hours=1)
        while other.run_once():
            pass

    slow.asked = stall
    rooms.announcer(slow).run_once()
    received = Counter(box for box, _ in slow.mails + quick.mails)
    assert set(received.values()) == {1}
    assert len(received) == 7
    assert {one.state for one in owed(rooms)} == {DeliveryState.SENT}


def test_finishing_gives_the_rest_back(rooms: Rooms) -> None:
    """At the end of the gateway the mail being sent is finished, and those that were only claimed are due at once."""
    host = Recorder()
    announcer = rooms.announcer(host)
    host.asked = announcer.finish
    announcer.run_once()
    assert Counter(one.state for one in rooms.deliveries()) == {DeliveryState.SENT: 1, DeliveryState.QUEUED: 6}
    rest = Recorder()
    assert rooms.announcer(rest).run_once() == 6
    assert len(rest.mails) == 6


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("committed", [False, True])
def test_store_fails_at_any_moment(rooms: Rooms, tmp_path: Path, idempotent: bool, committed: bool) -> None:
    """Whichever transaction fails, and whether or not it took effect, each mail is told once; what the next host said
    is written when the store is back, so that nothing stays uncertain for it (I1).
    """
    number = 0
    failed = True
    while failed:
        number += 1
        rooms.deposit()
        rooms.work()
        host = Recorder(idempotent=idempotent)
        announcer = rooms.announcer(host)
        failed = False
        with failing(rooms.services.database, number, committed=committed):
            try:
                announcer.run_once(limit=3)
            except DatabaseGone:
                failed = True
        if not (committed and number == 2):  # the claim, after the sweep: we never learned which mails are ours
            while announcer.run_once():  # everything that was not begun goes on at once, not after a lease
                pass
            assert {one.state for one in owed(rooms) if one.started_at is None} <= {DeliveryState.SENT}
        rooms.clock.later(hours=1)
        while announcer.run_once():
            pass
        received = Counter((box, octets) for box, octets in host.mails)
        if not idempotent:
            assert len({(box, _id(octets)) for box, octets in received}) == sum(received.values())
        states = Counter(one.state for one in owed(rooms))
        uncertain = {} if states[DeliveryState.UNCERTAIN] == 0 else states
        # A beginning that was written while we were told that it failed is honestly uncertain
        assert not uncertain or (committed and not idempotent), states
        assert states[DeliveryState.QUEUED] == 0
    assert number > (2 if idempotent else 6)
    assert rooms.audited("gateway:delivery:failed") == []


def _id(octets: bytes) -> str:
    return str(message_from_bytes(octets)["Message-ID"])


def test_disk_full_while_sealing(rooms: Rooms, small_disk: Callable[[str], Path]) -> None:
    """No room in the outbox folder: the mails wait, nothing half written stays, and they leave once there is room."""
    disk = small_disk("64k")
    (disk / "filler").write_bytes(b"x" * 60_000)
    services = rooms.services
    storage = services.settings.storage.model_copy(update={"outbox": disk})
    services.settings = services.settings.model_copy(update={"storage": storage})
    host = Recorder()
    announcer = rooms.announcer(host)
    announcer.run_once()
    assert host.to(rooms.cast.person("gp")["mailbox"]) == []
    assert rooms.delivery("gp").state is DeliveryState.QUEUED
    assert [path.name for path in disk.iterdir() if path.suffix == ".part"] == []
    (disk / "filler").unlink()
    for _ in range(6):  # not all of them have room at once
        rooms.clock.later(hours=1)
        announcer.run_once()
    assert {one.state for one in rooms.deliveries()} == {DeliveryState.SENT}
    assert Sent() not in host.outcomes
    assert len(host.mails) == 7
