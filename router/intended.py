"""Whether a mail was meant for us, and who carried it: the envelope beside the signed fields (R-INTENDED).

MAIL FROM is not an identity (R-FROM): what differs is recorded, and nothing is decided on it unless the settings say so.
"""

from __future__ import annotations

from collections.abc import Iterable

from dcc.smime.address import addresses, lowered
from dcc.smime.errors import SmimeError
from dcc.smime.headers import Headers
from dcc.smime.limits import Limits

FORWARDED = "forwarded"  # we are not among the signed recipients: somebody passed it on (Davis 2001)
UNPROTECTED = "unprotected"  # To and Cc are claims of the transport, nobody signed them
OTHER_SENDER = "other-sender"  # MAIL FROM is another mailbox than the signed From


def flags(
    protected: Headers | None, *, mail_from: str, recipients: Iterable[str], from_address: str, limits: Limits
) -> tuple[str, ...]:
    """What is to be noted of one mail; `from_address` is the one that counts, in lower case."""
    found = []
    named = None if protected is None else _named(protected, limits)
    if named is None:
        found.append(UNPROTECTED)
    elif not named & {lowered(one) for one in recipients}:
        found.append(FORWARDED)
    if mail_from and lowered(mail_from) != from_address:
        found.append(OTHER_SENDER)
    return tuple(found)


def _named(headers: Headers, limits: Limits) -> set[str] | None:
    """The signed To and Cc, in lower case; None when there are neither, or they cannot be read."""
    values = [value for name in ("To", "Cc") for value in headers.raw_all(name)]
    try:
        return {lowered(one) for one in addresses(values, limits)} if values else None
    except SmimeError:
        return None
