"""Receipts and bounces that are sealed and not signed: matched to our mails, and no way to ask anything (R-ORACLE)."""

from __future__ import annotations

from io import BytesIO

import pytest

from dcc.mailbox.records import Message
from dcc.smime.open import open_message
from dcc.smime.verdict import Problem
from desk import DR_A, DR_B, Desk, end

MDN = """Content-Type: multipart/report; report-type=disposition-notification; boundary=r\r
\r
--r\r
Content-Type: text/plain\r
\r
lu\r
--r\r
Content-Type: message/disposition-notification\r
\r
Final-Recipient: rfc822; {mailbox}\r
Original-Message-ID: {message_id}\r
Disposition: manual-action/MDN-sent-manually; displayed\r
\r
--r--\r
"""
DSN = """Content-Type: multipart/report; report-type=delivery-status; boundary=r\r
\r
--r\r
Content-Type: message/delivery-status\r
\r
Reporting-MTA: dns; relay.example\r
\r
Final-Recipient: rfc822; {mailbox}\r
Action: failed\r
\r
--r\r
Content-Type: text/rfc822-headers\r
\r
Message-ID: {message_id}\r
\r
--r--\r
"""


def sent(desk: Desk) -> Message:
    """A deposit whose mails have left."""
    message = desk.deposit()
    desk.announce()
    return message


def report_on(desk: Desk, message: Message, form: str, reader: str = DR_B) -> bytes:
    one = desk.deliveries(message)[reader]
    return form.format(mailbox=one.mailbox, message_id=one.message_id).encode()


@pytest.mark.parametrize(("form", "state"), [(MDN, "read"), (DSN, "failed")])
def test_sealed_and_unsigned_report_counts(desk: Desk, form: str, state: str) -> None:
    """RFC 8098 §3: a receipt need not be signed; sealed, with the null sender, it is done, recorded and not answered."""
    message = sent(desk)
    raw = desk.seal(report_on(desk, message, form), DR_B, signed=False)
    found = desk.receive(raw, mail_from="")
    assert end(found) == ("done", "D2R-REP01")
    assert desk.deliveries(message)[DR_B].state.value == state
    assert '"authenticated": false' in found.evidence
    assert desk.deliveries(found) == {}
    assert desk.services.spool.path(found.id).exists(), "it came sealed: the received bytes stay as they are"


def test_of_somebody_else(desk: Desk) -> None:
    """A receipt from another mailbox than the one we wrote to is done, and changes nothing."""
    message = sent(desk)
    raw = desk.seal(report_on(desk, message, MDN), DR_A, signed=False)
    found = desk.receive(raw, mail_from="")
    assert end(found) == ("done", "D2R-REP02")
    assert desk.deliveries(message)[DR_B].state.value == "sent"


def test_with_a_sender_it_is_not_looked_at(desk: Desk) -> None:
    """Whoever can be answered is answered the same whatever the envelope holds: a report in it makes no difference."""
    message = sent(desk)
    box = desk.cast.person(DR_B)["mailbox"]
    ends = []
    for entity in (report_on(desk, message, MDN), desk.entity()):
        found = desk.receive(desk.seal(entity, DR_B, signed=False), mail_from=box)
        ends.append((end(found), '"report"' in found.evidence))
    assert ends == [(("refused", "D2R-SIG01"), False)] * 2
    assert desk.deliveries(message)[DR_B].state.value == "sent"


def test_anything_else_with_the_null_sender(desk: Desk) -> None:
    """A sealed and unsigned mail that is no report is refused as before, and nobody is told."""
    found = desk.receive(desk.seal(desk.entity(), DR_B, signed=False), mail_from="")
    assert end(found) == ("refused", "D2R-SIG01")
    assert desk.deliveries(found) == {}


def test_a_reply_by_a_program_is_not_answered(desk: Desk) -> None:
    """R-LOOP: a sealed mail that says outside that a program answers us gets no answer, signed or not, filed or not."""
    box = desk.cast.person(DR_B)["mailbox"]
    field = b"Auto-Submitted: auto-replied\r\n"
    for signed in (True, False):
        found = desk.receive(field + desk.seal(desk.entity(), DR_B, signed=signed), mail_from=box)
        assert desk.deliveries(found) == {}
    opposed = desk.cast.person("opposed_card")["mailbox"]
    found = desk.receive(field + desk.seal(desk.entity(), "opposed_card"), mail_from=opposed)
    assert end(found) == ("refused", "D2R-CRL02")
    assert desk.deliveries(found) == {}


def test_unsigned_content_is_kept_on_request_only(desk: Desk) -> None:
    """R-AUTH: what nobody signed is given to a caller that asks for it, and to no other; never what is signed badly."""
    raw = desk.seal(desk.entity(), DR_B, signed=False)
    keys = desk.services.keys.decryption
    for asked in (False, True):
        opened = open_message(BytesIO(raw), keys=keys, keep_unsigned=asked)
        assert opened.problem is Problem.NOT_SIGNED
        assert opened.content is None
        assert (opened.unsigned is not None) is asked
        opened.close()
    signed = desk.seal(desk.entity(), DR_B)
    opened = open_message(BytesIO(signed), keys=keys, keep_unsigned=True)
    assert opened.unsigned is None
    opened.close()
