"""What a person asks for with a form: the words, the lines, the secret, the machine form; whatever arrives."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcc.router.petition import MACHINE, MACHINE_LIMIT, VALUE, Petition, blank, blanks, forms, read_petition
from dcc.router.request import Attachment, Envelope
from dcc.router.words import Words
from dcc.templates.render import to_copy

ROOT = Path(__file__).resolve().parents[2]


class Kept:
    """Octets that an attachment reads."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets

    def view(self, start: int, size: int) -> io.BytesIO:
        return io.BytesIO(self.octets[start : start + size])


def machine(octets: bytes) -> Attachment:
    """The attachment of a software."""
    return Attachment(MACHINE, "application/json", len(octets), "", "attachment", Kept(octets))


def read(text: str, subject: str | None = None, *attached: Attachment) -> Petition | None:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return read_petition(Envelope(None, subject, None), Words(first, text), attached)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("VALIDER", "validate"),
        ("  Valider.\n", "validate"),
        ("Refuser : hors du réseau", "refuse"),
        ("ouvrir un dossier\nINS : 1", "open"),
        ("Révoquer le mandat", "revoke"),
        ("Délégation", None),
        ("Validerons-nous ?", None),
        ("Bonjour,\nVALIDER", None),
        ("", None),
    ],
)
def test_first_words_say_what_is_asked(text: str, kind: str | None) -> None:
    """Whole words at the beginning, whatever their case and accents; nothing further down counts."""
    found = read(text)
    assert (None if found is None else found.kind) == kind


def test_subject_says_it_where_the_text_does_not() -> None:
    """A reply whose subject begins with the words, after any number of Re:, asks as well."""
    found = read("Merci.", "RE: Re: MANDATER")
    assert found is not None
    assert found.kind == "mandate"


def test_lines_are_fields_and_quoted_mail_is_not() -> None:
    """Labels match without accents and case; a placeholder is empty; what is quoted is somebody else's words."""
    text = (
        "OUVRIR DOSSIER\nprenoms :  ROSE  \nSEXE: F\nNom de naissance : (voir)\nINS : (15 caractères, clé comprise)\n"
        "> Formulaire : 1999\nLe 3 mai 2026, le réseau a écrit :\nLieu de naissance : 75056\n"
    )
    found = read(text)
    assert found is not None
    assert found.fields == {"given_names": "ROSE", "sex": "F", "birth_name": "(voir)"}
    assert "INS" in found.missing()
    assert "Formulaire" in found.missing()


def test_refusal_keeps_its_motive() -> None:
    """What stands behind REFUSER is the reason."""
    found = read("REFUSER : pas dans la région")
    assert found is not None
    assert found.fields["motive"] == "pas dans la région"


def test_secret_is_found_in_subject_or_text() -> None:
    """The secret of the mail that is answered, in its subject or quoted in the text."""
    secret = "AB3DE-FGH12-KMNPQ-RSTVW-XYZ01-2"
    for text, subject in (("VALIDER", f"Re: Compte [{secret}]"), (f"VALIDER\n\n> [{secret.lower()}]", None)):
        found = read(text, subject)
        assert found is not None
        assert found.secret == secret


def test_machine_form_is_read_within_bounds() -> None:
    """Only known names are taken, values are cut; anything else is no form."""
    told = {"demande": "oppose", "champs": {"folder": "D-2222-2222", "person": "x" * 2000, "autre": "1"}}
    found = read("Bonjour", None, machine(json.dumps(told).encode()))
    assert found is not None
    assert found.fields == {"folder": "D-2222-2222", "person": "x" * VALUE}
    for octets in (
        b"",
        b"[]",
        b"{}",
        b'{"demande": "inconnu"}',
        b'{"demande": []}',
        b"[" * 5000,
        b" " * (MACHINE_LIMIT + 1),
    ):
        assert read("Bonjour", None, machine(octets)) is None


@given(st.text(), st.none() | st.text(), st.binary(max_size=200))
def test_whatever_is_written(text: str, subject: str | None, octets: bytes) -> None:
    """No text, subject or attachment raises; a petition is always one of the forms, its values bounded."""
    found = read(text, subject, machine(octets))
    if found is not None:
        assert found.kind in forms()
        assert all(len(value) <= VALUE for value in found.fields.values())


@pytest.mark.parametrize("language", ["fr", "en"])
@pytest.mark.parametrize("kind", sorted(forms()))
def test_blank_form_reads_as_itself(kind: str, language: str) -> None:
    """A form that is sent back as it came is recognised, and every required line is missing."""
    text = blank(kind, language)
    found = read(text)
    assert found is not None
    assert found.kind == kind
    required = [one for one in forms()[kind].fields.values() if one[2]]
    assert len(found.missing()) == len(required)
    if kind not in {"register", "confirm", "validate", "refuse", "help"}:
        assert to_copy(text) in blanks(language)
        assert read(to_copy(text)) == found


def test_the_page_is_what_the_forms_are() -> None:
    """docs/forms.md is what docs/make_forms.py writes."""
    spec = importlib.util.spec_from_file_location("make_forms", ROOT / "docs" / "make_forms.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "forms.md").read_text(encoding="utf-8") == module.page()
