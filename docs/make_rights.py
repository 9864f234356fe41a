"""Writes docs/rights.md: who may do what in a folder, as the rules answer it, in full.

Run `python docs/make_rights.py`; a test fails when the page is not what this writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

from dcc.cards.verdict import Verdict
from dcc.mailbox.records import AccountState
from dcc.router.permission import Act, Assurance, FolderState, Mandated, Opposed, Permitted, Situation, permitted
from dcc.router.reasons import Reason
from dcc.router.roles import Role

ROOT = Path(__file__).resolve().parents[1]
BEST = Situation(
    same_network=True, card="VALID", account=AccountState.VALIDATED, role=Role.PROFESSIONAL, assurance=Assurance.CARD,
    nomad_reads=True, folder=FolderState.GIVEN, opposed=Opposed.NO, mandated=Mandated.IN_FORCE, type_allowed=True,
    type_code="34794-8",
)  # fmt: skip
VALUES: dict[str, tuple[object, ...]] = {
    "card": tuple(verdict.value for verdict in reversed(Verdict)),
    "same_network": (True, False),
    "account": tuple(AccountState),
    "role": tuple(Role),
    "assurance": tuple(Assurance),
    "nomad_reads": (True, False),
    "folder": tuple(FolderState),
    "opposed": tuple(Opposed),
    "mandated": tuple(Mandated),
    "type_allowed": (True, False),
}
TITLES = {
    "card": "carte", "same_network": "réseau du dossier", "account": "compte", "role": "rôle",
    "assurance": "niveau de certitude", "nomad_reads": "lecture en mode nomade permise", "folder": "consentement et état du dossier",
    "opposed": "opposition", "mandated": "mandat", "type_allowed": "type permis à la profession",
}  # fmt: skip
HEAD = """# Who may feed and read a folder (droits)

This page is written by `docs/make_rights.py` from the rules themselves (`router/permission.py`); a test compares the two, and
another asks the rules about every combination ({count} of them). The rules are asked in the order of the sections below: the
first that says no is the reason that is told. Where everything else is as it must be, each value gives:

"""


def situations() -> Iterator[tuple[Act, Situation]]:
    """Every act in every situation."""
    for act, card, same_network, *others in product(Act, *VALUES.values()):
        yield act, Situation(same_network, card, *others, BEST.type_code)  # type: ignore[arg-type]  # in its own order


def page() -> str:
    """The page as it must be."""
    count = 2
    for values in VALUES.values():
        count *= len(values)
    blocks = [HEAD.format(count=f"{count:,}".replace(",", " "))]
    for name, values in VALUES.items():
        rows = [f"## {TITLES[name].capitalize()}\n", "| valeur | déposer | lire |", "|---|---|---|"]
        rows += [
            f"| {_value(value)} | {_answer(Act.FEED, name, value)} | {_answer(Act.READ, name, value)} |"
            for value in values
        ]
        blocks.append("\n".join(rows) + "\n")
    return "\n".join(blocks)


def _answer(act: Act, name: str, value: object) -> str:
    on = replace(BEST, **{name: value})
    if name == "nomad_reads":
        on = replace(on, assurance=Assurance.NOMAD)
    found = permitted(act, on)
    return "oui" if isinstance(found, Permitted) else _reason(found)


def _reason(found: Reason) -> str:
    return f"{found.code} : {found.sender_fr}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "oui" if value else "non"
    return f"`{getattr(value, 'value', value)}`"


if __name__ == "__main__":
    (ROOT / "docs" / "rights.md").write_text(page(), encoding="utf-8")
