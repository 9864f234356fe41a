"""Mails as people read them: a subject, a text and the same text as a simple accessible page; French or English."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

LANGUAGES = ("fr", "en")
RULE = "-" * 60
KINDS = (
    "report", "notice", "acknowledgement", "refusal", "held", "registration", "account_request", "account_decided",
    "folder_opened", "carried", "presence", "forms", "undelivered",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rendered:
    """One mail's words."""

    subject: str
    text: str
    html: str


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=PackageLoader("dcc", "templates"),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and ".html." in name,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        auto_reload=False,
    )


def render(kind: str, language: str, context: Mapping[str, Any], readings: Sequence[Any] = ()) -> Rendered:
    """The words of one mail, then the documents it carries, made readable (`router.blocks.Reading`).

    Raises jinja2.UndefinedError when a value is missing: never a mail with a hole.
    """
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    environment = _environment()
    subject = environment.get_template(f"{kind}/subject.{chosen}.txt.j2").render(context)
    text = environment.get_template(f"{kind}/text.{chosen}.txt.j2").render(context).strip() + "\n"
    paragraphs = [part.strip().split("\n") for part in text.split("\n\n") if part.strip()]
    page = environment.get_template("page.html.j2").render(
        language=chosen, title=" ".join(subject.split()), paragraphs=paragraphs, readings=readings
    )
    shown = "\n\n".join([text.rstrip("\n"), *(f"{RULE}\n\n{one.text}" for one in readings)]) + "\n"
    return Rendered(" ".join(subject.split()), shown, page)


def reading_page(reading: Any) -> str:
    """One document as an accessible page of its own: no script, no link, nothing that is fetched."""
    return _environment().get_template("reading.html.j2").render(reading=reading)


def verification_page(context: Mapping[str, Any]) -> str:
    """What was found out of one message, as an accessible page: no script, nothing that is fetched."""
    return _environment().get_template("verification.html.j2").render(context)
