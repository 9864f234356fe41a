"""The reasons a message, a deposit or a delivery ends with: stable codes and their sentences."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

UNKNOWN_PARAMETER = "?"  # a sentence never fails because a detail is missing


@dataclass(frozen=True, slots=True)
class ReasonEntry:
    """One row of the table: what the code does, its sentences, and the source of the rule."""

    code: str
    outcome: str  # refused | held | deferred | withheld | filed | done
    fr: str
    en: str
    operator: str
    source: str
    ans: str  # ANS application error 900-906 (volet LPS/MSS §3.2)


@dataclass(frozen=True, slots=True)
class Reason:
    """A code with its parameters, and the sentences made of them; no identity, no clinical content."""

    code: str
    outcome: str
    sender_fr: str
    sender_en: str
    operator: str
    ans: str
    parameters: tuple[tuple[str, str], ...] = field(default=())

    def parameter(self, name: str) -> str | None:
        """The value of one parameter, or None."""
        return dict(self.parameters).get(name)


class UnknownReasonError(KeyError):
    """The code is not in the table: a fault of the program, never of a message."""


class _Parameters(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return UNKNOWN_PARAMETER


@cache
def table() -> Mapping[str, ReasonEntry]:
    """Every reason by its code, read once from `data/reasons.toml`."""
    text = files(__package__).joinpath("data", "reasons.toml").read_text(encoding="utf-8")
    return {
        code: ReasonEntry(
            code=code,
            outcome=row["outcome"],
            fr=row["fr"],
            en=row["en"],
            operator=row["operator"],
            source=row["source"],
            ans=row.get("ans", code if code.isdigit() else "906"),
        )
        for code, row in tomllib.loads(text).items()
    }


def reason(code: str, **parameters: str) -> Reason:
    """The reason with this code and these parameters.

    Raises UnknownReasonError for a code outside the table.
    """
    entry = table().get(code)
    if entry is None:
        raise UnknownReasonError(code)
    values = _Parameters(parameters)
    return Reason(
        code=code,
        outcome=parameters.get("outcome", entry.outcome),
        sender_fr=entry.fr.format_map(values),
        sender_en=entry.en.format_map(values),
        operator=entry.operator.format_map(values),
        ans=entry.ans,
        parameters=tuple(sorted(parameters.items())),
    )
