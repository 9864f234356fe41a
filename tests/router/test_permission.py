"""The rules of rights: every combination has an answer, and the answers are those of a second, independent reading."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcc.mailbox.records import Account, AccountState
from dcc.router.permission import Act, Assurance, FolderState, Mandated, Opposed, Permitted, Situation, permitted
from dcc.router.reasons import table
from dcc.router.roles import Role, role_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> Any:
    """docs/make_rights.py as a module."""
    spec = importlib.util.spec_from_file_location("make_rights", ROOT / "docs" / "make_rights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_rights"] = module
    spec.loader.exec_module(module)
    return module


# What must hold, written a second time from the notice and the law; independent of the order.
CONDITIONS: dict[str, Callable[[Act, Situation], bool]] = {
    "card": lambda act, on: on.card == "VALID",
    "network": lambda act, on: on.same_network,
    "account": lambda act, on: on.account is AccountState.VALIDATED,
    "role": lambda act, on: on.role not in {Role.ADMINISTRATOR, Role.IDENTITY_OFFICER, Role.OPERATOR},
    "assurance": lambda act, on: (
        on.assurance is Assurance.CARD or (on.assurance is Assurance.NOMAD and act is Act.READ and on.nomad_reads)
    ),
    "consent": lambda act, on: on.folder is FolderState.GIVEN,
    "opposition": lambda act, on: on.opposed is Opposed.NO,
    "mandate": lambda act, on: on.mandated is Mandated.IN_FORCE,
    "type": lambda act, on: on.type_allowed,
}
BLAMES = {
    "D2R-ACC01": ("network", "account"), "D2R-ROL01": ("role",), "D2R-ASR01": ("assurance",),
    "D2R-ASR02": ("assurance",), "D2R-CNS01": ("consent",), "D2R-CNS02": ("consent",), "D2R-FLD01": ("consent",),
    "D2R-OPP01": ("opposition",), "D2R-OPP02": ("opposition",), "D2R-MAN01": ("mandate",), "D2R-MAN02": ("mandate",),
    "D2R-MAN03": ("mandate",),
    "D2R-TYP02": ("type",), "D2R-TYP03": ("type",),
}  # fmt: skip


def test_every_combination(pages: Any) -> None:
    """Permitted exactly where every condition holds; otherwise a reason of the table that blames what is missing."""
    answers: Counter[str] = Counter()
    told = {}
    for act, on in pages.situations():
        answer = permitted(act, on)
        if isinstance(answer, Permitted):
            assert all(holds(act, on) for holds in CONDITIONS.values()), (act, on)
            answers["yes"] += 1
            continue
        told[answer.code] = answer
        answers[answer.code] += 1
        blamed = BLAMES.get(answer.code, ("card",))
        assert not all(CONDITIONS[one](act, on) for one in blamed), (act, on, answer.code)
    assert set(told) <= set(table())
    # one professional role of four that see content, two nomad settings with the card, one nomad reading: 3 ways to read
    assert answers["yes"] == 4 * 2 + 4 * 3
    assert sum(answers.values()) == 2 * 11 * 2 * 5 * 7 * 3 * 2 * 4 * 3 * 4 * 2


@pytest.mark.parametrize("act", list(Act))
def test_an_opposition_beats_a_mandate(pages: Any, act: Act) -> None:
    """With a mandate in force and consent given, an opposition still says no."""
    from dataclasses import replace

    for opposed in (Opposed.PERSON, Opposed.TYPE):
        answer = permitted(act, replace(pages.BEST, opposed=opposed))
        assert not isinstance(answer, Permitted)
        assert answer.code.startswith("D2R-OPP")


def test_what_could_not_be_found_out_is_not_yes(pages: Any) -> None:
    """I10: a card whose opposition is unknown is deferred, never permitted."""
    from dataclasses import replace

    answer = permitted(Act.READ, replace(pages.BEST, card="REVOCATION_UNKNOWN"))
    assert not isinstance(answer, Permitted)
    assert answer.outcome == "deferred"


def test_the_page_is_what_the_rules_answer(pages: Any) -> None:
    """docs/rights.md is what docs/make_rights.py writes."""
    assert (ROOT / "docs" / "rights.md").read_text(encoding="utf-8") == pages.page()


def account(**changes: Any) -> Account:
    values: dict[str, Any] = {
        "id": "a", "network": "rca", "kind": "person", "national_id": "899700523527", "family_name": None,
        "given_name": None, "profession": "10", "structure": None, "mailbox": "a@x.example", "role": "oncologist",
        "state": AccountState.VALIDATED,
    }  # fmt: skip
    return Account(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "role"),
    [
        ({}, Role.PROFESSIONAL),
        ({"role": "coordinator"}, Role.COORDINATOR),
        ({"role": "administrator", "profession": None}, Role.ADMINISTRATOR),
        ({"role": "stagiaire", "profession": None}, Role.SECRETARY),
        ({"role": "results", "kind": "organisation", "profession": None}, Role.AUTOMATON),
    ],
)
def test_role_of_an_account(changes: dict[str, Any], role: Role) -> None:
    """The account's own role where rules know it, else what its card makes it."""
    assert role_of(account(**changes)) is role


def test_the_page_shows_both_networks(pages: Any) -> None:
    """The same type is accepted in one network and refused in the other, for whoever deposits and for whoever reads."""
    rows = [line.split(" | ") for line in pages.page().partition("réseau par réseau")[2].splitlines()]
    answers = {(row[0].lstrip("| "), row[1]): [one.rstrip(" |") for one in row[2:]] for row in rows if len(row) == 6}
    assert answers["médecin (10)", "57833-6"] == ["oui", "oui", "D2R-TYP02", "oui"]
    assert answers["infirmier (60)", "34794-8"] == ["D2R-TYP02", "oui", "D2R-TYP02", "D2R-TYP03"]
    assert answers["médecin (10)", "ATTEST-RESID"] == ["D2R-TYP02", "D2R-TYP03", "oui", "oui"]
    assert len(answers) == len(pages.WHO) * len(pages.TYPES) + 1  # and the head
