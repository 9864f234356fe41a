"""Which headers count: those inside the seal, in either of the two ways of protecting them (facts/smime.md §7)."""

from __future__ import annotations

from dcc.router.reasons import Reason, reason
from dcc.smime import mime
from dcc.smime.address import lowered, single_from
from dcc.smime.errors import Ambiguous, LimitPassed, Malformed
from dcc.smime.fields import check_single
from dcc.smime.headers import Headers, read_headers
from dcc.smime.limits import Limits
from dcc.smime.verdict import Content

COMPARED = ("To", "Cc", "Subject", "Date", "Message-ID", "Reply-To")  # a differing From is refused
NEUTRAL = frozenset({"[...]", "..."})  # what stands outside for a confidential Subject (RFC 9788 §3.2.2)


def are_protected(headers: Headers) -> bool:
    """Whether the payload's root carries the mail's own header fields (RFC 9788 §2)."""
    return "hp" in mime.content_type(headers)[1] or headers.get("From") is not None


def protected_headers(content: Content, limits: Limits) -> Headers | None:
    """The mail's headers inside the signed content: of the wrapped message/rfc822, or of the root; None: neither.

    Raises Malformed, LimitPassed, Ambiguous (doubled fields). Reads the header blocks only.
    """
    file = content.open()
    headers, body = read_headers(file, limits, content.size)
    if is_wrapped(headers):
        file.seek(body)
        wrapped = read_headers(file, limits, content.size)[0]
        check_single(wrapped)  # those of the root were checked when it was opened
        return wrapped
    return headers if are_protected(headers) else None


def is_wrapped(headers: Headers) -> bool:
    """Whether a payload's root is a whole mail wrapped for its header fields (RFC 8551 §3.1), and not one that the author
    forwards, whose own fields stand beside it (RFC 9788 §2.1.1)."""
    kind, parameters = mime.content_type(headers)
    return kind == "message/rfc822" and "hp" not in parameters


def differing(inner: Headers, outer: Headers, *, encrypted: bool) -> tuple[str, ...]:
    """The fields that stand outside otherwise than the author left them there: as HP-Outer says, or else as inside."""
    left = [one.partition(":") for one in inner.get_all("HP-Outer")]
    outside = {name.strip().lower(): value.strip() for name, _, value in left}
    found = []
    for name in COMPARED:
        stands = outer.get(name)
        meant = outside.get(name.lower()) if left else inner.get(name)
        said = left or (meant is not None and stands is not None)
        hidden = encrypted and not left and name == "Subject" and stands in NEUTRAL
        if said and not hidden and _words(stands) != _words(meant):
            found.append(name)
    return tuple(found)


def _words(value: str | None) -> str | None:
    """A value whatever its folds."""
    return None if value is None else " ".join(value.split())


def from_address(content: Content, outer: Headers, limits: Limits) -> str | Reason:
    """The one From address, in lower case; the protected one counts, and a differing outer one is refused.

    Returns a reason (D2R-MAL01, D2R-MAL02, D2R-LIM01) when there is no single address (R-FROM).
    """
    try:
        inner = protected_headers(content, limits)
        inside = None if inner is None or inner.get("From") is None else lowered(single_from(inner, limits))
        outside = None if outer.get("From") is None else lowered(single_from(outer, limits))
    except Ambiguous as ambiguous:
        return reason("D2R-MAL02", detail=ambiguous.rule)
    except LimitPassed as passed:
        return reason("D2R-LIM01", limit=passed.limit)
    except Malformed:
        return reason("D2R-MAL01", detail="headers")
    if inside is not None and outside is not None and inside != outside:
        return reason("D2R-MAL02", detail="R-FROM")
    return inside or outside or reason("D2R-MAL02", detail="R-FROM")
