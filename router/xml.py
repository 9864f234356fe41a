"""XML from strangers: no DOCTYPE, no entity, no network, bounded depth and size."""

from __future__ import annotations

from typing import BinaryIO
from xml.parsers import expat

from lxml import etree

BLOCK = 1 << 20
WINDOW = 1 << 15
BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n"
WHITE = b" \t\r\n"
# A sign that no text has: it stands in a tree where letters were left out, and whoever shows the text says so
LEFT_OUT = "\ufdd0"
MARK = f"&#x{ord(LEFT_OUT):x};".encode()
PROLOG = 1 << 17  # bytes within which the root element must begin
WHOLE_LIMIT = 1 << 20  # above this, embedded base64 bodies are left out before a tree is built
TREE_LIMIT = 16 << 20  # bytes of XML that may become a tree


class XmlRefusedError(Exception):
    """The document is not acceptable; `code` is the reason's code, `detail` holds no content."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def forbidden() -> XmlRefusedError:
    """A DOCTYPE or an entity (facts/clinical.md §10)."""
    return XmlRefusedError("D2R-XDM07", "doctype")


def malformed(detail: str = "xml") -> XmlRefusedError:
    """Not well-formed, or not within the limits."""
    return XmlRefusedError("D2R-XDM08", detail)


def parse_xml(source: BinaryIO, size: int) -> etree._Element:
    """The root element of a document of `size` bytes; base64 bodies of a large one come out as one `LEFT_OUT`.

    Raises XmlRefusedError.
    """
    data = source.read(size) if size <= WHOLE_LIMIT else _without_bodies(source, size)
    _check_prolog(data)
    parser = etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise malformed() from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise forbidden()
    return root


class _RootReachedError(Exception):
    """The prolog is over."""


def _check_prolog(data: bytes) -> None:
    """Refuse a DOCTYPE before a tree is built: entities live nowhere else (XML 1.0 §2.8)."""
    parser = expat.ParserCreate()

    def doctype(*_: object) -> None:
        raise forbidden()

    def element(*_: object) -> None:
        raise _RootReachedError

    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = element
    try:
        parser.Parse(data[:PROLOG], False)
    except _RootReachedError:
        return
    except (expat.ExpatError, ValueError, LookupError):
        raise malformed() from None
    raise malformed("prolog")


def _without_bodies(source: BinaryIO, size: int) -> bytes:
    """The document without the inside of its base64 bodies, in constant memory but for the rest.

    Only whole windows of base64 signs and white space are left out: none of them is markup, so leaving them
    out changes no structure, wherever they stand. What is left decides whether the document is well-formed. A long text
    without any punctuation looks the same, so that a mark stays where letters were.
    """
    kept: list[bytes] = []
    left = total = 0
    marked = False
    while left < size and (block := source.read(min(BLOCK, size - left))):
        left += len(block)
        for start in range(0, len(block), WINDOW):
            window = block[start : start + WINDOW]
            if len(window) == WINDOW and b"<" not in window and not window.translate(None, BASE64):
                if not marked and window.strip(WHITE):
                    kept.append(MARK)
                    marked = True
                continue
            marked = False
            kept.append(window)
            total += len(window)
        if total > TREE_LIMIT:
            raise XmlRefusedError("D2R-LIM01", "xml")
    return b"".join(kept)
