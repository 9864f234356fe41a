"""The one sender of a mail (R-FROM, RFC 5322 §3.6.2, RFC 8550 §3)."""

from __future__ import annotations

from email.utils import getaddresses

from dcc.smime.errors import Ambiguous, LimitPassed
from dcc.smime.headers import Headers, unfold
from dcc.smime.limits import Limits


def addresses(values: list[bytes], limits: Limits) -> list[str]:
    """The addresses of raw address-list fields, domains in lower case. Raises LimitPassed."""
    texts = [unfold(value) for value in values]
    if sum(text.count(",") + 1 for text in texts) > limits.addresses or any("(" * 20 in text for text in texts):
        raise LimitPassed("addresses")
    try:
        found = [address for _, address in getaddresses(texts, strict=True) if address]
    except TypeError:  # Python before the `strict` parameter was added
        found = [address for _, address in getaddresses(texts) if address]
    return [normal(address) for address in found]


def normal(address: str) -> str:
    """Domain in lower-case ASCII; the local part as it is."""
    local, at, domain = address.strip().rpartition("@")
    return f"{local}{at}{domain.lower()}"


def single_from(headers: Headers, limits: Limits | None = None) -> str:
    """The one From address. Raises Ambiguous(R-FROM) for none, several fields or several addresses."""
    values = headers.raw_all("From")
    if len(values) != 1:
        raise Ambiguous("R-FROM")
    found = addresses(values, limits or Limits())
    if len(found) != 1 or found[0].count("@") != 1:
        raise Ambiguous("R-FROM")
    return found[0]
