"""Which header fields may stand once only, and which a mail must have (R-FROM, RFC 5322 §3.6)."""

from __future__ import annotations

from collections.abc import Iterable

from dcc.smime.errors import Ambiguous
from dcc.smime.headers import Headers

SINGLE = ("From", "Date", "To", "Subject", "Content-Type", "Content-Transfer-Encoding", "MIME-Version")


def check_single(headers: Headers) -> None:
    """Doubled fields are where two readers see two mails. Raises Ambiguous."""
    for name in SINGLE:
        if headers.count(name) > 1:
            raise Ambiguous("R-FROM" if name == "From" else "R-HEADERS")


def missing(names: Iterable[str], outer: Headers, protected: Headers | None) -> list[str]:
    """The fields of `names` that stand neither under the signature nor outside, in order."""
    inside = Headers() if protected is None else protected
    return [name for name in names if not outer.count(name) and not inside.count(name)]
