"""Receipts of deposits: MDN with the ANS error field, their subjects, and the original mail (facts/clinical.md §3.2).

A receipt is made only where it was asked for and may be sent by itself; anything else is a plain mail, an item for the
mailbox of errors of the sender's software. All of it stands inside the seal: the subjects name the patient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dcc.mailbox.records import Delivery, Message
from dcc.router.names import without_accents
from dcc.router.reasons import reason
from dcc.smime.segments import Body

DEPOSIT_SUBJECT = "XDM/1.0/DDM"  # volet LPS/MSS: what software sends and looks for
ENCLOSED = 10 << 20  # octets of an original that are sent back; above, its headers (RFC 6522 §4)
FAILED = "processed/error"
OTHER = "906"  # facts/clinical.md §3.2


@dataclass(frozen=True, slots=True)
class Original:
    """The mail that is answered: its own subject, its header block, and the whole of it; None: it is too large."""

    subject: str | None
    headers: bytes
    mail: Body | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The machine part of a receipt, and its third part; empty: none."""

    fields: bytes
    original: Body


Originals = Callable[[Message], Original | None]


def is_about_a_deposit(delivery: Delivery) -> bool:
    """Whether an answer says what became of documents: filed, or not with an ANS code."""
    parameters = dict(delivery.parameters)
    return delivery.kind in {"acknowledgement", "refusal"} and ("mdn" in parameters or "ans" in parameters)


def wants_receipt(delivery: Delivery) -> bool:
    """Whether a receipt was asked for that may be sent by itself."""
    parameters = dict(delivery.parameters)
    original = parameters.get("original_message_id")
    return bool(parameters.get("mdn")) and bool(original) and not any(sign in (original or "") for sign in "\r\n")


def receipt_subject(delivery: Delivery, original: str | None) -> str | None:
    """What software looks for in the subject of an answer to its deposit; None: a person's mail, a person's subject."""
    if original is None or not original.startswith(DEPOSIT_SUBJECT):
        return None
    code = dict(delivery.parameters).get("ans")
    if dict(delivery.parameters).get("mdn") == FAILED:
        return f"[KO Intégration système !][{code or OTHER}] {original}"
    if wants_receipt(delivery):
        return original
    return f"[Erreur d'intégration !][{code or OTHER}] {original}" if delivery.kind == "refusal" else None


def machine_part(delivery: Delivery, gateway: str) -> bytes:
    """The second part: fields that software reads (RFC 8098 §3.1; volet LPS/MSS v1.1.3).

    No Original-Recipient: the way did not tell it to us (RFC 8098 §3.2.3).
    """
    parameters = dict(delivery.parameters)
    disposition = parameters["mdn"]
    lines = [
        f"Reporting-UA: {gateway.rpartition('@')[2]}; DCC gateway",
        f"Final-Recipient: rfc822;{gateway}",
        f"Original-Message-ID: {parameters['original_message_id']}",
        f"Disposition: automatic-action/MDN-sent-automatically; {disposition}",
    ]
    if disposition == FAILED and delivery.reason is not None:
        ans = parameters.get("ans", OTHER)
        # The ANS codes have a sentence each; "other" is told in the words of our own reason
        told = reason(ans) if ans != OTHER else reason(delivery.reason, **parameters)
        sentence = " ".join(without_accents(told.sender_fr).replace("^", " ").split())[:200]
        lines.append(f"Error: {ans}^{sentence}^applicationErrorCondition")
    head = b"Content-Type: message/disposition-notification\r\n\r\n"
    return head + ("\r\n".join(lines) + "\r\n\r\n").encode("ascii", "replace")


def original_part(original: Original) -> Body:
    """The third part: the whole mail, or its headers where it is large (RFC 6522 §3, §4)."""
    if original.mail is None:
        return (b"Content-Type: text/rfc822-headers\r\nContent-Disposition: attachment\r\n\r\n", original.headers)
    head = b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n"
    return (head, *original.mail)
