"""Receipts, bounces and automatic replies (acceptance 41): recognised, matched, never answered."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcc.mailbox import outbox
from dcc.mailbox.records import Delivery, DeliveryState
from dcc.router.decide import decide_report
from dcc.router.reports import recognise
from dcc.router.request import Report
from dcc.smime.limits import Limits

MDN = b"""From: drb@rca.test\r
Content-Type: multipart/report; report-type=disposition-notification; boundary=r\r
\r
--r\r
Content-Type: text/plain\r
\r
lu\r
--r\r
Content-Type: message/disposition-notification\r
\r
Reporting-UA: x\r
Final-Recipient: rfc822; DrB@rca.test\r
Original-Message-ID: <our@gateway.test>\r
Disposition: %s\r
%s\r
--r--\r
"""
DSN = b"""From: MAILER-DAEMON@x\r
Content-Type: multipart/report; report-type=delivery-status; boundary=r\r
\r
--r\r
Content-Type: text/plain\r
\r
failed\r
--r\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; x\r
\r
Final-Recipient: rfc822; drb@rca.test\r
Action: %s\r
Status: 5.1.1\r
\r
--r\r
Content-Type: text/rfc822-headers\r
\r
From: gateway@x\r
Message-ID: <our@gateway.test>\r
\r
--r--\r
"""


def seen(mail: bytes, mail_from: str = "drb@rca.test") -> Report | None:
    return recognise(io.BytesIO(mail), len(mail), limits=Limits(), mail_from=mail_from)


def mdn(disposition: bytes, extra: bytes = b"") -> Report:
    found = seen(MDN % (disposition, extra))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("disposition", "extra", "outcome", "error"),
    [
        (b"manual-action/MDN-sent-manually; displayed", b"", "displayed", None),
        (b"automatic-action/MDN-sent-automatically; processed", b"", "processed", None),
        (
            b"automatic-action/MDN-sent-automatically; processed/error",
            b"Error: 902^Identifiant de patient inconnu^applicationErrorCondition\r\n",
            "error",
            "902",
        ),
        (b"automatic-action/MDN-sent-automatically; processed/Error: 902^x", b"", "error", "902"),
        (b"garbage", b"", "none", None),
    ],
)
def test_receipts_are_read(disposition: bytes, extra: bytes, outcome: str, error: str | None) -> None:
    """The new and the old form of a KO receipt are both understood (facts §3.2)."""
    found = mdn(disposition, extra)
    assert (found.kind, found.outcome, found.error) == ("mdn", outcome, error)
    assert found.original_message_ids == ("<our@gateway.test>",)
    assert found.final_recipient == "drb@rca.test"


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (b"failed", "failed"), (b"delayed", "delayed"), (b"delivered", "delivered"), (b"relayed", "none"),
        (b"x", "none"),
    ],
)  # fmt: skip
def test_bounces_are_read(action: bytes, outcome: str) -> None:
    """A DSN names our mail by the returned headers (RFC 3464)."""
    found = seen(DSN % action, "")
    assert found is not None
    assert (found.kind, found.outcome, found.final_recipient) == ("dsn", outcome, "drb@rca.test")
    assert found.original_message_ids == ("<our@gateway.test>",)


@pytest.mark.parametrize(
    ("headers", "mail_from", "is_report"),
    [
        (b"Auto-Submitted: auto-replied\r\nIn-Reply-To: <our@gateway.test>\r\n", "a@b", True),
        (b"Precedence: bulk\r\n", "a@b", True),
        (b"Subject: x\r\n", "", True),
        (b"Subject: x\r\n", "a@b", False),
        (b"Auto-Submitted: no\r\n", "a@b", False),
        (b"Auto-Submitted: auto-generated\r\n", "a@b", False),
        (b"Auto-Submitted: auto-replied\r\nContent-Type: application/pkcs7-mime\r\n", "a@b", False),
        (b"broken", "", False),
    ],
)
def test_automatic_replies(headers: bytes, mail_from: str, is_report: bool) -> None:
    """RFC 3834: automatic replies and the null sender are recognised; a sealed mail is opened first."""
    assert (seen(headers + b"\r\nbody", mail_from) is not None) is is_report


def delivery(kit: Any, state: DeliveryState, now: Any, *, started: bool = True) -> None:
    row = Delivery(
        id="o1",
        dedupe_key="k",
        kind="report",
        mailbox="drb@rca.test",
        account="a-drb",
        folder="f0",
        message="m",
        documents=(),
        reason=None,
        state=state,
        created_at=now,
        due=now,
        message_id="<our@gateway.test>",
        started_at=now if started else None,
    )
    kit.write(lambda conn: outbox.enqueue(conn, row))


@pytest.mark.parametrize(
    ("disposition", "sender", "state", "receipt"),
    [
        (b"x; displayed", "drb@rca.test", DeliveryState.SENT, "read"),
        (b"x; processed", "DrB@rca.test", DeliveryState.SENT, "delivered"),
        (b"x; processed", "drb@rca.test", DeliveryState.READ, None),
        (b"x; displayed", "drb@rca.test", DeliveryState.WITHHELD, None),
    ],
)
def test_receipt_of_the_recipient_counts(
    kit: Any, constants: Any, disposition: bytes, sender: str, state: DeliveryState, receipt: str | None
) -> None:
    """A receipt from the delivery's recipient moves its state forward, never back."""
    delivery(kit, state, constants["now"])
    with kit.database.read() as conn:
        done = decide_report(mdn(disposition), conn=conn, from_address=sender)
    assert (done.reason.code, done.delivery, done.receipt) == ("D2R-REP01", "o1", receipt)
    assert not done.authenticated


def test_receipt_of_somebody_else_does_not_count(kit: Any, constants: Any) -> None:
    """A receipt from another address, or for an unknown mail, is done and matched to nothing."""
    delivery(kit, DeliveryState.SENT, constants["now"])
    with kit.database.read() as conn:
        done = decide_report(mdn(b"x; displayed"), conn=conn, from_address="dra@rca.test")
        assert (done.reason.code, done.delivery) == ("D2R-REP02", None)
        unknown = Report("mdn", ("<other@x>",), "drb@rca.test", "displayed")
        assert decide_report(unknown, conn=conn, from_address="drb@rca.test").delivery is None


def test_receipt_in_clear_comes_from_its_from_field(kit: Any, constants: Any) -> None:
    """A receipt has the null sender (RFC 8098 §3): its From says whose it is, two addresses in it say nothing."""
    delivery(kit, DeliveryState.SENT, constants["now"])
    raw = MDN % (b"x; displayed", b"")
    for mail_from in ("", "somebody@x"):
        found = seen(raw, mail_from)
        assert found is not None
        assert found.from_address == "drb@rca.test"
    with kit.database.read() as conn:
        assert decide_report(found, conn=conn, from_address=found.from_address).receipt == "read"
    ambiguous = seen(raw.replace(b"From: drb@rca.test", b"From: drb@rca.test, dra@rca.test"), "")
    assert ambiguous is not None
    assert ambiguous.from_address is None


def test_bounce_marks_the_delivery_failed(kit: Any, constants: Any) -> None:
    """A DSN counts by the recipient it speaks of."""
    delivery(kit, DeliveryState.SENT, constants["now"])
    found = seen(DSN % b"failed", "")
    assert found is not None
    with kit.database.read() as conn:
        assert decide_report(found, conn=conn, from_address="mailer-daemon@x").receipt == "failed"


@pytest.mark.parametrize(
    ("state", "started", "receipt"),
    [
        (DeliveryState.QUEUED, True, "failed"),
        (DeliveryState.QUEUED, False, None),
        (DeliveryState.WITHHELD, True, None),
    ],
)
def test_bounce_quicker_than_our_own_record(
    kit: Any, constants: Any, state: DeliveryState, started: bool, receipt: str | None
) -> None:
    """A bounce of a mail that is being handed over counts; one of a mail that has not begun to leave cannot be."""
    delivery(kit, state, constants["now"], started=started)
    found = seen(DSN % b"failed", "")
    assert found is not None
    with kit.database.read() as conn:
        assert decide_report(found, conn=conn, from_address=None).receipt == receipt


def test_receipt_after_a_bounce(kit: Any, constants: Any) -> None:
    """A reader's receipt for a mail that had been given back says that it has arrived after all."""
    delivery(kit, DeliveryState.FAILED, constants["now"])
    with kit.database.read() as conn:
        assert decide_report(mdn(b"x; displayed"), conn=conn, from_address="drb@rca.test").receipt == "read"


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 500), piece=st.binary(max_size=30), cut=st.integers(0, 600))
def test_damaged_reports_never_crash(place: int, piece: bytes, cut: int) -> None:
    """Damaged reports are a value or nothing."""
    for whole in (MDN % (b"a; displayed", b""), DSN % b"failed"):
        seen((whole[:place] + piece + whole[place + len(piece) :])[: max(cut, 50)])
