"""Why a reader cannot go on; every text is free of personal data."""

from __future__ import annotations


class SmimeError(Exception):
    """Root of this room's exceptions."""


class Malformed(SmimeError):
    """The bytes are not what their label says (RFC 5652, RFC 5322, RFC 2045)."""


class LimitPassed(SmimeError):
    """A limit of `Limits` was reached; `limit` is the field's name."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"limit passed: {limit}")
        self.limit = limit


class Ambiguous(SmimeError):
    """Two readers could see two different things in it; `rule` is the rule's name (R-FROM, R-ECONTENT, …)."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"ambiguous: {rule}")
        self.rule = rule


class NotForUs(SmimeError):
    """No recipient of the message is a key of ours."""


class NotOpened(SmimeError):
    """Something failed after a recipient was selected; nobody outside learns what (R-ORACLE, RFC 3218)."""


class NotEnabled(SmimeError):
    """A post-quantum algorithm that is known and switched off; `name` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"not enabled: {name}")
        self.name = name


class Unsupported(SmimeError):
    """An algorithm or structure that is recognised and not accepted; `name` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"unsupported: {name}")
        self.name = name
