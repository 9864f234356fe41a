"""Mails of a deposit are sealed side by side, in order, and no more of them than at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcc.gateway.sealers import Job, Sealers
from dcc.gateway.services import Services
from dcc.mailbox.records import Delivery, DeliveryState
from dcc.router.compose import Composed
from dcc.smime.headerprotection import HeaderInjection
from dcc.smime.seal import MailHeaders, Profile

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


def job(number: int, subject: str = "essai") -> Job:
    """One mail that is only signed."""
    delivery = Delivery(
        id=f"mail{number}", dedupe_key=f"key{number}", kind="notice", mailbox="a.b@example.test", account=None, folder=None,
        message="m", documents=(), reason=None, state=DeliveryState.QUEUED, created_at=NOW, due=NOW, attempts=1,
    )  # fmt: skip
    headers = MailHeaders("g@example.test", "a.b@example.test", subject, NOW, f"<mail{number}@example.test>")
    return Job(delivery, Composed(headers, [b"texte\r\n"], (("Content-Type", "text/plain"),), None), Profile())


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_files_come_in_order_and_what_is_not_sealed_stays_none(services: Services, at_once: int) -> None:
    """Each mail's file is its own, in the order asked; a mail without words has none."""
    jobs = [job(1), None, job(2), job(3), None]
    found = [None if one is None else one() for one in Sealers(services, at_once=at_once).in_turn(jobs)]
    assert [one and one.name for one in found] == ["mail1.eml", None, "mail2.eml", "mail3.eml", None]
    for path in found:
        if path is not None:
            assert f"<{path.stem}@example.test>".encode() in path.read_bytes()
    assert list(services.outbox_directory.glob("*.part")) == []


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_no_more_are_begun_than_at_a_time(services: Services, at_once: int) -> None:
    """What is sealed lies on the disk until it is sent: the next ones are begun only as the first are taken."""
    asked = []

    def jobs() -> Iterator[Job]:
        for number in range(6):
            asked.append(number)
            yield job(number)

    for place, finish in enumerate(Sealers(services, at_once=at_once).in_turn(jobs())):
        assert len(asked) <= place + at_once
        if finish is not None:
            finish()
    assert asked == list(range(6))


def test_one_that_fails_does_not_touch_the_others(services: Services) -> None:
    """A mail that cannot be sealed raises where its file is asked for, and leaves nothing half written."""
    first, second, third = Sealers(services, at_once=2).in_turn([job(1), job(2, "a\r\nBcc: x"), job(3)])
    assert first is not None
    assert second is not None
    assert third is not None
    assert first().exists()
    with pytest.raises(HeaderInjection):
        second()
    assert third().exists()
    assert sorted(one.name for one in services.outbox_directory.iterdir()) == ["mail1.eml", "mail3.eml"]


def test_two_are_really_sealed_side_by_side(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two at a time the second begins before the first has ended."""
    both = threading.Barrier(2, timeout=20)
    sealers = Sealers(services, at_once=2)
    write = sealers._write

    def together(*arguments: object) -> Path:
        both.wait()  # broken, and raised, where only one is being sealed
        return write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(sealers, "_write", together)
    began = time.monotonic()
    assert [one().name for one in sealers.in_turn([job(1), job(2)]) if one is not None] == ["mail1.eml", "mail2.eml"]
    assert time.monotonic() - began < 20
