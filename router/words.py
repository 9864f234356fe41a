"""The words of a mail, as far as they may name a type or a matricule: its first line, its text, bounded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from lxml import etree

from dcc.router.attachments import BODY_LIMIT, is_body, leaves
from dcc.router.identity import key_is_right
from dcc.router.request import Attachment
from dcc.smime import mime
from dcc.smime.errors import Malformed

TEXT_LIMIT = 256 << 10  # bytes of a text file that are searched
MATRICULES = 20
# 13 characters and a key of two, in one piece or grouped as they are printed: 2 79 03 51 215 189 89
_MATRICULE = re.compile(r"(?<![0-9A-Z])[1-478](?:[ .]?[0-9]){4}(?:[ .]?[0-9AB]){2}(?:[ .]?[0-9]){8}(?![0-9A-Z])")
_IN_ONE_PIECE = re.compile(r"(?<![0-9A-Z])[1-478][0-9]{4}[0-9AB]{2}[0-9]{8}(?![0-9A-Z])")
_PAGE = frozenset({"text/html", "text/enriched"})


@dataclass(frozen=True, slots=True)
class Words:
    """The text that a person typed: the first line that is not empty, and all of it."""

    first_line: str
    text: str


def words_of(file: BinaryIO, root: mime.Entity) -> Words:
    """The words of the mail's first readable body; empty ones when there is none."""
    bodies = [part for part in leaves(root) if is_body(part)]
    plain = next((part for part in bodies if part.media_type == "text/plain"), None)
    page = next((part for part in bodies if part.media_type in _PAGE), None)
    text = "" if plain is None else _decoded(file, plain)
    if not text.strip() and page is not None:
        text = _without_markup(_decoded(file, page))
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return Words(first, text)


def _decoded(file: BinaryIO, part: mime.Entity) -> str:
    data = b""
    try:
        for block in mime.decode(file, part):
            data += block
            if len(data) >= BODY_LIMIT:
                break
    except Malformed:
        return ""
    data = data[:BODY_LIMIT]
    try:
        return data.decode(part.parameters.get("charset", "utf-8"), "replace")
    except (LookupError, ValueError):
        return data.decode("utf-8", "replace")


def _without_markup(page: str) -> str:
    """The words of an HTML body; nothing is loaded and no script is run, lxml only reads."""
    parser = etree.HTMLParser(no_network=True, recover=True, remove_comments=True, remove_pis=True, encoding="utf-8")
    try:
        root = etree.fromstring(page.encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError):
        return ""
    if root is None:
        return ""
    etree.strip_elements(root, "head", "style", "script", with_tail=False)
    return "\n".join(str(one) for one in root.itertext() if str(one).strip())


def matricules_in(texts: Iterable[str | None], *, grouped: bool = True) -> tuple[str, ...]:
    """The matricules (INS) with a right key that stand in these texts, each once.

    `grouped` False: in one piece only, for files in which many numbers stand side by side.
    """
    found: dict[str, None] = {}
    pattern = _MATRICULE if grouped else _IN_ONE_PIECE
    for text in texts:
        for one in pattern.finditer((text or "").upper()):
            plain = re.sub(r"[ .]", "", one[0])
            if key_is_right(plain):
                found[plain] = None
                if len(found) >= MATRICULES:
                    return tuple(found)
    return tuple(found)


def text_inside(one: Attachment) -> str:
    """The beginning of a text file, as text."""
    with one.open() as reader:
        data = reader.read(TEXT_LIMIT)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
