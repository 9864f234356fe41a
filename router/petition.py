"""What a person asks for with a form: the words that begin the mail, `Champ : valeur` lines, or a JSON attachment."""

from __future__ import annotations

import json
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from dcc.router.request import Attachment, Envelope
from dcc.router.words import Words
from dcc.templates.render import heading, to_copy

MACHINE = "demande-dcc.json"
MACHINE_LIMIT = 64 << 10  # bytes of a machine form
LINES = 200
VALUE = 500  # characters of one value
SECRET = re.compile(
    r"\b([0-9A-HJKMNP-TV-Z]{5}(?:-[0-9A-HJKMNP-TV-Z]{5}){3,5}(?:-[0-9A-HJKMNP-TV-Z]{1,5})?)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of request: its words, its titles, and the labels of its fields."""

    key: str
    words: tuple[str, ...]
    fr: str
    en: str
    # name -> (French label, English label, required, what to write in French, in English)
    fields: Mapping[str, tuple[str, str, bool, str, str]]
    done: tuple[str, str] = ("", "")  # what is so once it is carried out


@dataclass(frozen=True, slots=True)
class Petition:
    """A request with its form; `secret` is the one-time secret that stands in the subject or the text."""

    envelope: Envelope
    kind: str
    fields: Mapping[str, str]
    secret: str | None = None
    attachments: tuple[Attachment, ...] = field(default=(), repr=False)

    def missing(self) -> tuple[str, ...]:
        """The French labels of required fields that are empty."""
        known = forms()[self.kind].fields
        return tuple(
            label for name, (label, _, required, _, _) in known.items() if required and not self.fields.get(name)
        )


@cache
def forms() -> Mapping[str, Form]:
    """Every form by its key, read once from `data/forms.toml`."""
    text = files(__package__).joinpath("data", "forms.toml").read_text(encoding="utf-8")
    return {
        key: Form(
            key, tuple(row["words"]), row["fr"], row["en"],
            {name: (one[0], one[1], one[2] == "required", one[3], one[4]) for name, one in row["fields"].items()},
            (row.get("done_fr", ""), row.get("done_en", "")),
        )
        for key, row in tomllib.loads(text).items()
    }  # fmt: skip


def plain(text: str) -> str:
    """Capitals without accents and with single spaces: how words and labels are compared."""
    letters = unicodedata.normalize("NFD", text.replace("’", "'").replace("\xa0", " "))
    return " ".join("".join(sign for sign in letters if not unicodedata.combining(sign)).upper().split())


def read_petition(envelope: Envelope, words: Words, attachments: Sequence[Attachment]) -> Petition | None:
    """The request that a mail makes with a form; None when it makes none."""
    typed = _own_lines(words.text)
    machine = _machine(attachments)
    subject = re.sub(r"^(?:(?:RE|TR|FW|FWD)\s*:\s*)+", "", plain(envelope.subject or ""))
    secret = _secret(envelope.subject) or _secret(words.text)
    if machine is not None:
        kind, said = machine
        return Petition(envelope, kind, said, said.get("secret") or secret, tuple(attachments))
    first = next((line for line in typed if line.strip()), "")
    asked = _kind(plain(first)) or _kind(subject)
    if asked is None:
        return None
    said = _fields(asked, typed)
    if asked == "refuse" and "motive" not in said:
        said["motive"] = first.strip()[len("REFUSER") :].strip(" :.")[:VALUE]
    return Petition(envelope, asked, said, secret, tuple(attachments))


def _own_lines(text: str) -> list[str]:
    """What the person wrote: the mail that is answered, quoted below, is somebody else's words."""
    lines = []
    for line in text.splitlines()[:LINES]:
        if re.match(
            r"^\s*(?:-{2,}\s*(?:Message d'origine|Original Message)|Le .{5,80} a écrit\s*:|On .{5,80} wrote:)", line
        ):
            break
        if not line.lstrip().startswith(">"):
            lines.append(line)
    return lines


def _kind(first: str) -> str | None:
    """The form whose longest words begin this text."""
    found = [
        (len(words), key)
        for key, form in forms().items()
        for words in form.words
        if first == words or first.startswith((f"{words} ", f"{words}:", f"{words}.", f"{words},"))
    ]
    return max(found)[1] if found else None


def _fields(kind: str, lines: Sequence[str]) -> dict[str, str]:
    known = forms()[kind].fields
    labels = {plain(label): name for name, one in known.items() for label in one[:2]}
    said: dict[str, str] = {}
    for line in lines:
        label, separator, value = line.partition(":")
        name = labels.get(plain(label))
        value = value.strip()
        if separator and name is not None and value and name not in said and value not in _hints(known[name]):
            said[name] = value[:VALUE]
    return said


def _hints(field_: tuple[str, str, bool, str, str]) -> tuple[str, str]:
    """What stands on a blank form: nobody's answer."""
    return f"({field_[3]})", f"({field_[4]})"


def _machine(attachments: Sequence[Attachment]) -> tuple[str, dict[str, str]] | None:
    """The form of a software: nothing but texts, bounded; anything else is no form."""
    for one in attachments:
        if one.name.lower() != MACHINE or one.size > MACHINE_LIMIT:
            continue
        with one.open() as reader:
            data = reader.read(MACHINE_LIMIT)
        try:
            told = json.loads(data)
            kind, said = told["demande"], told.get("champs", {})
            if kind in forms() and isinstance(said, dict):
                known = {*forms()[kind].fields, "secret"}
                return kind, {
                    name: str(value).strip()[:VALUE] for name, value in said.items() if name in known and value
                }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
    return None


def _secret(text: str | None) -> str | None:
    found = SECRET.search((text or "")[:20_000])
    return None if found is None else found[1].upper()


def blanks(language: str) -> str:
    """Every form that an enrolled person may send, each under its title, to be copied."""
    wanted = [form for key, form in forms().items() if key not in {"register", "confirm", "validate", "refuse", "help"}]
    titles = [(form.en if language == "en" else form.fr, blank(form.key, language)) for form in wanted]
    return "\n\n".join(f"{heading(title)}\n\n{to_copy(text)}" for title, text in titles)


def blank(kind: str, language: str, said: Mapping[str, str] | None = None) -> str:
    """The form as text, to be filled in: its words, then one line for each field."""
    form = forms()[kind]
    place = 1 if language == "en" else 0
    words = next((one for one in form.words if one.isascii()), form.words[0]) if place == 0 else form.words[-1]
    lines = [words]
    for name, one in form.fields.items():
        value = (said or {}).get(name) or (f"({one[3 + place]})" if one[3] else "")
        lines.append(f"{one[place]}{':' if place else ' :'} {value}".rstrip())
    return "\n".join(lines)
