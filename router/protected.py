"""Which headers count: those inside the seal, in either of the two ways of protecting them (facts/smime.md §7)."""

from __future__ import annotations

from dcc.router.reasons import Reason, reason
from dcc.smime import mime
from dcc.smime.address import single_from
from dcc.smime.errors import Ambiguous, LimitPassed, Malformed
from dcc.smime.fields import check_single
from dcc.smime.headers import Headers, read_headers
from dcc.smime.limits import Limits
from dcc.smime.verdict import Content


def are_protected(headers: Headers) -> bool:
    """Whether the payload's root carries the mail's own header fields (RFC 9788 §2)."""
    return "hp" in mime.content_type(headers)[1] or headers.get("From") is not None


def protected_headers(content: Content, limits: Limits) -> Headers | None:
    """The mail's headers inside the signed content: of the wrapped message/rfc822, or of the root; None: neither.

    Raises Malformed, LimitPassed, Ambiguous (doubled fields). Reads the header blocks only.
    """
    file = content.open()
    headers, body = read_headers(file, limits, content.size)
    if mime.content_type(headers)[0] == "message/rfc822":
        file.seek(body)
        wrapped = read_headers(file, limits, content.size)[0]
        check_single(wrapped)  # those of the root were checked when it was opened
        return wrapped
    return headers if are_protected(headers) else None


def from_address(content: Content, outer: Headers, limits: Limits) -> str | Reason:
    """The one From address, in lower case; the protected one counts, and a differing outer one is refused.

    Returns a reason (D2R-MAL01, D2R-MAL02, D2R-LIM01) when there is no single address (R-FROM).
    """
    try:
        inner = protected_headers(content, limits)
        inside = None if inner is None or inner.get("From") is None else single_from(inner, limits).lower()
        outside = None if outer.get("From") is None else single_from(outer, limits).lower()
    except Ambiguous as ambiguous:
        return reason("D2R-MAL02", detail=ambiguous.rule)
    except LimitPassed as passed:
        return reason("D2R-LIM01", limit=passed.limit)
    except Malformed:
        return reason("D2R-MAL01", detail="headers")
    if inside is not None and outside is not None and inside != outside:
        return reason("D2R-MAL02", detail="R-FROM")
    return inside or outside or reason("D2R-MAL02", detail="R-FROM")
