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
from dcc.router.doctypes import type_by_code
from dcc.router.permission import Act, Assurance, FolderState, Mandated, Opposed, Permitted, Situation, permitted
from dcc.router.reasons import Reason
from dcc.router.roles import Role
from dcc.router.typerules import default_text, matrix_of

ROOT = Path(__file__).resolve().parents[1]
# Two networks side by side: the first has set no rules of its own, the second forbids doctors prescriptions and nurses RCP sheets
OWN = """group,label,feed,read
10,médecins,* -class:42,*
60,infirmiers,34120-6 11506-3,* -34794-8
other,toutes les autres,,34794-8
"""
NETWORKS = {"A": default_text(), "B": OWN}
TYPES = ("34794-8", "57833-6", "11506-3", "ATTEST-RESID")
WHO = {"médecin (10)": "10", "infirmier (60)": "60", "sage-femme (50)": "50", "secrétaire (sans profession)": "staff",
       "automate d'établissement": "organisation"}  # fmt: skip
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
    blocks.append(_networks())
    return "\n".join(blocks)


def _networks() -> str:
    """The same deposits and readers in two networks: the rules of the folder's network decide."""
    rows = [
        "## Types de documents, réseau par réseau\n",
        "Each network may have its own table of types by profession (`dcc network rules`); the network of the folder decides, and the",
        "reason names it. Here network A has none, so that the gateway's table holds, and network B this one:\n",
        "```", OWN.rstrip(), "```\n",
        f"| profession | type | {' | '.join(f'{act}, réseau {name}' for name in NETWORKS for act in ('déposer', 'lire'))} |",
        f"|---|---|{'---|' * 2 * len(NETWORKS)}",
    ]  # fmt: skip
    for who, group in WHO.items():
        for code in TYPES:
            cells = [_by_type(act, name, group, code) for name in NETWORKS for act in (Act.FEED, Act.READ)]
            shown = ["oui" if isinstance(one, Permitted) else one.code for one in cells]
            rows.append(f"| {who} | {code} | {' | '.join(shown)} |")
    told = [_by_type(act, "B", "organisation", "57833-6") for act in Act]
    rows += ["", *(f"- {_reason(one)}" for one in told if isinstance(one, Reason))]
    return "\n".join(rows) + "\n"


def _by_type(act: Act, network: str, group: str, code: str) -> Permitted | Reason:
    matrix, kind = matrix_of(NETWORKS[network]), type_by_code(code)
    asked = matrix.may_feed if act is Act.FEED else matrix.may_read
    allowed = asked(group, code, None if kind is None else kind.class_code)
    return permitted(act, replace(BEST, type_allowed=allowed, type_code=code, network=network))


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
