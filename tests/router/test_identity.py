"""The patient's identity (acceptance B): complete, of our domain, exactly the local one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcc.router.identity import check_form, check_match, differing_traits, key_is_right, normal
from dcc.router.request import PatientIdentity

READ = PatientIdentity(
    "279035121518989",
    "1.2.250.1.213.1.4.10",
    "Pat trois",
    "Dominique",
    ("DOMINIQUE", "MARIE", "LOUISE"),
    "F",
    "19790328",
    "51215",
)


@pytest.mark.parametrize(
    ("matricule", "right"),
    [
        ("279035121518989", True),
        ("255081416802538", True),
        ("297022A02077878", True),
        ("199012B99900163", True),
        ("299012A99900183", True),
        ("255081416802539", False),
        ("199012B99900162", False),
        ("181036322045660", False),
        ("27903512151898", False),
        ("2790351215189 89", False),
        ("", False),
        ("²79035121518989", False),
    ],
)
def test_key(matricule: str, right: bool) -> None:
    """The key is checked before any lookup; nothing is tidied."""
    assert key_is_right(matricule) is right


@pytest.mark.parametrize(
    ("changes", "environment", "code", "outcome", "detail"),
    [
        ({}, "test", None, None, None),
        ({"ins": None}, "test", "903", "held", None),
        ({"oid": None}, "test", "903", "held", None),
        ({}, "production", "904", "refused", "domain"),
        ({"oid": "1.2.250.1.213.1.4.8"}, "test", "904", "refused", "domain"),
        ({"ins": "279035121518988"}, "test", "904", "refused", "key"),
        ({"birth_place": None}, "test", "905", "held", "birth_place"),
        ({"first_given": None, "birth_date": None}, "test", "905", "held", "first_given,birth_date"),
        ({"given_names": ()}, "test", "905", "held", "given_names"),
    ],
)
def test_form(changes: dict[str, Any], environment: str, code: str | None, outcome: str | None, detail: Any) -> None:
    """Acceptance 13, 14, 16: no INS 903, another domain or a wrong key 904, a trait missing 905."""
    why = check_form(replace(READ, **changes), environment)
    if code is None:
        assert why is None
        return
    assert why is not None
    assert (why.code, why.outcome, why.parameter("detail")) == (code, outcome, detail)


def test_typography_is_not_a_difference(constants: Any) -> None:
    """Case, accents, hyphens, apostrophes and spaces are typography."""
    assert differing_traits(READ, constants["p0"]) == ()
    assert normal("  L’Hermitte-d'ÉPIS  ") == "l hermitte d epis"
    assert normal("Œuvré") == "oeuvre"


@pytest.mark.parametrize(
    ("changes", "trait"),
    [
        ({"birth_name": "PATTROIS"}, "birth_name"),
        ({"first_given": "MARIE-LOUISE"}, "first_given"),
        ({"given_names": ("DOMINIQUE",)}, "given_names"),
        ({"sex": "M"}, "sex"),
        ({"birth_date": "19790329"}, "birth_date"),
        ({"birth_date": "19790300"}, "birth_date"),
        ({"birth_place": "51216"}, "birth_place"),
        ({"oid": "1.2.250.1.213.1.4.11"}, "oid"),
    ],
)
def test_each_trait_counts(constants: Any, changes: dict[str, Any], trait: str) -> None:
    """One differing trait is 904; the reason names the trait, never its value."""
    why = check_match(replace(READ, **changes), constants["p0"])
    assert why is not None
    assert (why.code, why.outcome, why.parameter("detail")) == ("904", "held", trait)
    assert "PAT" not in repr(why)


@pytest.mark.parametrize("status", ["PROV", "RECUP", "VALI"])
def test_local_identity_must_be_qualified(constants: Any, status: str) -> None:
    """A local status below QUAL holds the deposit even when every trait is equal (facts §7)."""
    why = check_match(READ, replace(constants["p0"], status=status))
    assert why is not None
    assert (why.code, why.outcome, why.ans) == ("D2R-IDN01", "held", "906")


@settings(max_examples=500)
@given(st.text(max_size=30))
def test_normal_form_is_stable(text: str) -> None:
    """Normalising twice changes nothing."""
    assert normal(normal(text)) == normal(text)
