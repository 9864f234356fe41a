"""Mails as people read them: a subject, a text and the same text as a simple accessible page; French or English.

A text is written once and read twice. Its paragraphs are separated by an empty line; four signs, which a plain text bears
well, say what else a paragraph is: a line underlined with hyphens is a heading, `- ` begins the items of a list, two spaces
begin the lines `Label : value` of a table of facts, four spaces begin the lines that a person copies as they are.
The last paragraph is the network's support contact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

LANGUAGES = ("fr", "en")
RULE = "-" * 60
KINDS = (
    "report", "notice", "acknowledgement", "refusal", "held", "registration", "account_request", "account_decided",
    "folder_opened", "carried", "presence", "forms", "undelivered", "uncertain", "change", "factor",
    "operator",
)  # fmt: skip
FACT, COPY = "  ", "    "  # how the lines of a table of facts, and those to be copied, begin
UNDERLINE = re.compile(r"-{3,}")
BRACKETS = re.compile(
    r"\s*\[[^\[\]]*\]$"
)  # a folder's reference or a code: for programs; the text says it where needed
BEFORE = re.compile(r" (?=[:;?!»])|(?<=«) ")  # where French puts a space that no line ends with
WHOLE = re.compile(r"\[?\bD(?:-[0-9A-Z]{4}){2}\]?|\b\d{11,15}\b")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One mail's words."""

    subject: str
    text: str
    html: str


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(
        loader=PackageLoader("dcc", "templates"),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and ".html." in name,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=False,
    )
    made.filters["shown"] = shown
    return made


def render(kind: str, language: str, context: Mapping[str, Any], readings: Sequence[Any] = ()) -> Rendered:
    """The words of one mail, then the documents it carries, made readable (`router.blocks.Reading`).

    Raises jinja2.UndefinedError when a value is missing: never a mail with a hole.
    """
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    environment = _environment()
    subject = environment.get_template(f"{kind}/subject.{chosen}.txt.j2").render(context)
    text = re.sub(
        r"\n{3,}", "\n\n", environment.get_template(f"{kind}/text.{chosen}.txt.j2").render(context).strip("\n")
    )
    title = " ".join(subject.split())
    page = environment.get_template("page.html.j2").render(
        language=chosen, title=context.get("title") or BRACKETS.sub("", title), blocks=_blocks(text)[:-1],
        support=_support(context["network"], chosen), readings=readings,
    )  # fmt: skip
    complete = "\n\n".join([text, *(f"{RULE}\n\n{one.text}" for one in readings)]) + "\n"
    return Rendered(title, complete, page)


def heading(title: str) -> str:
    """A heading in the text of a mail."""
    return f"{title}\n{'-' * len(title)}"


def to_copy(text: str) -> str:
    """Lines that a person copies as they are."""
    return "\n".join(COPY + line for line in text.split("\n"))


def facts(lines: Iterable[str]) -> str:
    """Lines `Label : value` as a table."""
    return "\n".join(FACT + line for line in lines)


def _blocks(text: str) -> list[tuple[str, Any]]:
    """The paragraphs of a text, each with what it is."""
    found: list[tuple[str, Any]] = []
    for part in text.split("\n\n"):
        lines = [line for line in part.split("\n") if line.strip()]
        if len(lines) > 1 and UNDERLINE.fullmatch(lines[1]):
            found.append(("heading", lines[0]))
            lines = lines[2:]
        if not lines:
            continue
        if all(line.startswith(COPY) for line in lines):
            found.append(("copy", [line.removeprefix(COPY) for line in lines]))
        elif all(line.startswith(FACT) and ":" in line for line in lines):
            found.append(("facts", [_fact(line) for line in lines]))
        elif all(line.startswith("- ") for line in lines):
            found.append(("list", [line.removeprefix("- ") for line in lines]))
        else:
            found.append(("paragraph", lines))
    return found


def shown(text: str) -> Markup:
    """A line of a page: French punctuation, references and long numbers are not torn apart at the end of a line."""
    kept = str(escape(BEFORE.sub("\xa0", text)))
    return Markup(WHOLE.sub(r'<span style="white-space:nowrap">\g<0></span>', kept))  # noqa: S704  escaped above


def _fact(line: str) -> tuple[str, str]:
    label, _, value = line.partition(":")
    return label.strip(), value.strip()


def _support(network: Any, language: str) -> Markup:
    """The support contact with its telephone and its mail address as links, for those who read on a telephone."""
    dialled = "".join(sign for sign in network.support_phone if sign.isdigit() or sign == "+")
    linked = {
        "name": escape(network.name),
        "support_phone": Markup('<a href="tel:{}">{}</a>').format(dialled, network.support_phone),
        "support_mail": Markup('<a href="mailto:{0}">{0}</a>').format(network.support_mail),
    }
    # The text template escapes nothing: its values are markup already
    return Markup(_environment().get_template(f"support.{language}.txt.j2").render(network=linked))  # noqa: S704


def reading_page(reading: Any) -> str:
    """One document as an accessible page of its own: no script, no link, nothing that is fetched."""
    return _environment().get_template("reading.html.j2").render(reading=reading)


def verification_page(context: Mapping[str, Any]) -> str:
    """What was found out of one message, as an accessible page: no script, nothing that is fetched."""
    return _environment().get_template("verification.html.j2").render(context)
