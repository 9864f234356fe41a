"""Mails as people read them: a subject, a text and the same text as a simple accessible page; French or English."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

LANGUAGES = ("fr", "en")
KINDS = (
    "report", "notice", "acknowledgement", "refusal", "held", "registration", "account_request", "account_decided",
    "folder_opened", "carried", "presence", "forms",
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


def render(kind: str, language: str, context: Mapping[str, Any]) -> Rendered:
    """The words of one mail. Raises jinja2.UndefinedError when a value is missing: never a mail with a hole."""
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    environment = _environment()
    subject = environment.get_template(f"{kind}/subject.{chosen}.txt.j2").render(context)
    text = environment.get_template(f"{kind}/text.{chosen}.txt.j2").render(context).strip() + "\n"
    paragraphs = [part.strip().split("\n") for part in text.split("\n\n") if part.strip()]
    page = environment.get_template("page.html.j2").render(
        language=chosen, title=" ".join(subject.split()), paragraphs=paragraphs
    )
    return Rendered(" ".join(subject.split()), text, page)
