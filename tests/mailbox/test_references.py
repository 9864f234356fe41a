"""Folder references that people type: a wrong sign or two swapped ones never name another folder."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.mailbox.references import ALPHABET, find_reference, is_valid, new_folder_address, new_reference

made = st.integers(0, 2**32).map(lambda seed: new_reference(random.Random(seed).randbytes))
PLACES = [2, 3, 4, 5, 7, 8, 9, 10]  # of the signs in D-XXXX-XXXX


@given(made)
def test_a_new_reference_is_valid(reference: str) -> None:
    """Every reference that is made is valid, in small letters too, and found in a subject."""
    assert is_valid(reference)
    assert is_valid(reference.lower())
    assert find_reference(f"Re: [{reference}] compte rendu") == reference


@given(made, st.sampled_from(PLACES), st.sampled_from(ALPHABET + "01OI?"))
def test_any_wrong_sign_is_seen(reference: str, place: int, sign: str) -> None:
    """One wrong sign anywhere, whatever it is, is always found."""
    wrong = reference[:place] + sign + reference[place + 1 :]
    assert is_valid(wrong) == (wrong == reference)


@given(made, st.sampled_from(range(len(PLACES) - 1)))
def test_any_two_swapped_neighbours_are_seen(reference: str, first: int) -> None:
    """Two neighbours that changed places are always found, across the dash too."""
    signs = list(reference)
    one, two = PLACES[first], PLACES[first + 1]
    signs[one], signs[two] = signs[two], signs[one]
    assert is_valid("".join(signs)) == (signs[one] == signs[two])


@given(st.text(max_size=200))
def test_any_subject_is_read(subject: str) -> None:
    """Whatever the subject, the answer is a valid reference or none."""
    found = find_reference(subject)
    assert found is None or is_valid(found)


@pytest.mark.parametrize("text", ["", "D-", "D-2222-222", "D-2222-22222", "E-2222-2222", "D-0000-0000", "XD-2222-2222"])
def test_others_are_not_references(text: str) -> None:
    """Text of another form is no reference."""
    assert not is_valid(text)
    assert find_reference(text) is None


def test_the_first_valid_one_counts() -> None:
    """A mistyped reference before a good one does not hide it."""
    good = new_reference(random.Random(3).randbytes)
    wrong = good[:-1] + next(sign for sign in ALPHABET if sign != good[-1])
    assert find_reference(f"{wrong} {good}") == good


@given(st.integers(0, 2**32))
def test_folder_addresses_are_opaque(seed: int) -> None:
    """A folder's address is made of random signs that read alike in any type, and fits a local part."""
    address = new_folder_address(random.Random(seed).randbytes, "rca.example.test")
    local, _, domain = address.partition("@")
    assert domain == "rca.example.test"
    assert local.startswith("dossier+")
    assert len(local) == 28
    assert address == address.lower()
