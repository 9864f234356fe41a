"""What a file really is, by its first bytes: a document, a clinical message, a decoration, or something unsafe."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dcc.router.hl7 import HEAD, hl7_header
from dcc.router.hprim import is_hprim
from dcc.router.request import Attachment

# The first bytes of what may be a document by itself, and the media type under which it is filed
MARKS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "application/pdf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"{\\rtf", "text/rtf"),
)
# Programs, scripts, pages and office files: they may act when opened, and no reader's software needs them (I8)
UNSAFE_MARKS = (
    b"MZ",
    b"\x7fELF",
    b"#!",
    b"\xca\xfe\xba\xbe",
    b"\xcf\xfa\xed\xfe",
    b"\xd0\xcf\x11\xe0",
    b"L\x00\x00\x00\x01\x14",
)
UNSAFE_ENDINGS = re.compile(
    r"\.(exe|com|scr|pif|bat|cmd|ps1|vb[se]|jse?|ws[fh]|hta|msi|dll|jar|lnk|reg|iso|img|chm|x?html?|svg|mht|eml"
    r"|doc[mx]?|dot[mx]?|xls[bmx]?|ppt[mx]?|od[pst]|one|rar|7z|gz|bz2|xz|tar|cab|ace)$",
    re.IGNORECASE,
)
# Mail clients add these by themselves: kept as received, never a document
DECORATIONS = frozenset({"text/vcard", "text/x-vcard", "text/directory", "text/calendar", "application/ics"})
TEXT_TYPES = frozenset({"text/plain", "application/octet-stream"})
XML_TYPES = frozenset({"text/xml", "application/xml"})
CLINICAL_XML = re.compile(rb"<(?:[A-Za-z0-9]+:)?ClinicalDocument[\s>]")
ENDINGS: Mapping[str, str] = {"txt": "text/plain", "text": "text/plain"}


def kind_of(one: Attachment) -> str:
    """What a file is: "cda", "hl7", "hprim", a media type, "decoration", "unsafe" or "unknown".

    The bytes decide; the declared type and the name only tell text from other octets.
    """
    head = head_of(one)
    ending = one.name.rpartition(".")[2].lower() if "." in one.name else ""
    if head.startswith(UNSAFE_MARKS) or UNSAFE_ENDINGS.search(one.name):
        return "unsafe"
    for mark, media_type in MARKS:
        if head.startswith(mark) or (mark == b"%PDF" and mark in head[:1024]):  # ISO 32000-1, annex H §3.4.1
            return media_type
    if hl7_header(head) is not None:
        return "hl7"
    if is_hprim(one.name, head):
        return "hprim"
    if CLINICAL_XML.search(head) or one.media_type in XML_TYPES or ending == "xml":
        return "cda"  # or pretends to be: its reader refuses what is none (D2R-XDM07, -08)
    if one.media_type in DECORATIONS or ending in {"vcf", "ics"}:
        return "decoration"
    if one.size and is_text(head) and (one.media_type in TEXT_TYPES or ending in ENDINGS) and not head.startswith(b"<"):
        return "text/plain"
    return "unknown"


def is_unsafe(one: Attachment) -> bool:
    """Whether a file is refused wherever it stands, even beside an archive."""
    return kind_of(one) == "unsafe"


def head_of(one: Attachment) -> bytes:
    """The first bytes of a file."""
    with one.open() as reader:
        return reader.read(HEAD)


def is_text(head: bytes) -> bool:
    """Whether bytes may be a text: no control characters but white space."""
    return not re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]", head)
