"""The application acknowledgement of an HL7 v2 message: AA, or AE with the ANS code (facts/clinical.md §3.2, §5)."""

from __future__ import annotations

from datetime import UTC, datetime

from dcc.router.reasons import table
from dcc.router.request import Application

MEDIA_TYPE = "application/hl7-v2"
FILE_NAME = "acquittement.hl7"
SEPARATOR = "|"
OURS = "DCC"
ACCEPTED = frozenset({"filed", "done"})


def packed(application: Application) -> str:
    """What the acknowledgement answers, small enough for the row of a delivery."""
    fields = (application.control_id, application.event, application.version, application.sender, application.facility)
    return SEPARATOR.join(one.replace(SEPARATOR, " ") for one in fields)


def acknowledgement(kept: str, *, code: str | None, ans: str | None, control_id: str, at: datetime) -> bytes:
    """The ACK message; segments end with CR. `code` None: accepted without reserve.

    Raises ValueError when `kept` is not what `packed` made.
    """
    control, event, version, sender, facility = kept.split(SEPARATOR)
    entry = None if code is None else table().get(code)
    accepted = entry is None or entry.outcome in ACCEPTED
    moment = at.astimezone(UTC).strftime("%Y%m%d%H%M%S+0000")
    kind = f"ACK^{event}^ACK" if event else "ACK"
    head = (
        f"MSH|^~\\&|{OURS}|{OURS}|{sender}|{facility}|{moment}||{kind}|{control_id[:20]}|P|{version or '2.5'}"
        f"|||||FRA|UNICODE UTF-8"
    )
    lines = [head, f"MSA|{'AA' if accepted else 'AE'}|{control}"]
    if not accepted:
        number = ans or "906"
        told = table()[number].operator.split(":")[0]
        lines.append(
            f"ERR|||{number}^{_field(table()[number].fr)}^applicationErrorCondition|E||||{code} {_field(told)}"
        )
    return "".join(f"{line}\r" for line in lines).encode("utf-8")


def _field(text: str) -> str:
    """A value inside a field: no separators, no parameters that were left open."""
    plain = "".join(" " if sign in "|^~\\&" or ord(sign) < 32 else sign for sign in text)
    return plain.replace("{detail}", "").replace(" ()", "").strip()[:120]
