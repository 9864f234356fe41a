"""XML from strangers: no DOCTYPE, no entity, no network, bounded depth and size."""

from __future__ import annotations

from typing import BinaryIO
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from lxml import etree

CHUNK = 1 << 16
WHOLE_LIMIT = 1 << 20  # above this, embedded base64 bodies are left out before a tree is built
TREE_LIMIT = 16 << 20  # bytes of XML that may become a tree
DEPTH_LIMIT = 200  # elements deep; libxml2 itself stops at 256
ATTRIBUTE_LIMIT = 256  # attributes of one element


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
    """The root element of a document of `size` bytes; base64 bodies of a large one come out empty.

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
        parser.Parse(data[: 2 * CHUNK], False)
    except _RootReachedError:
        return
    except (expat.ExpatError, ValueError, LookupError):
        raise malformed() from None
    raise malformed("prolog")


class _Scanner:
    """Finds the base64 bodies of a large document (`representation="B64"`, CDA R2 ED) by byte offsets."""

    def __init__(self) -> None:
        self.cuts: list[tuple[int, int, bytes]] = []  # start, end, what stands there instead
        self._depth = 0
        self._open: tuple[int, int, bytes] | None = None
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _doctype(self, *_: object) -> None:
        raise forbidden()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH_LIMIT or len(attributes) > ATTRIBUTE_LIMIT:
            raise malformed("depth")
        if self._open is None and attributes.get("representation") == "B64":
            tag = f"<{name}" + "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items()) + ">"
            self._open = (self._depth, self.parser.CurrentByteIndex, tag.encode("ascii", "xmlcharrefreplace"))

    def _end(self, name: str) -> None:
        if self._open is not None and self._open[0] == self._depth:
            _, start, tag = self._open
            end = self.parser.CurrentByteIndex
            if end > start:  # an empty element ends where it starts
                self.cuts.append((start, end, tag))
            self._open = None
        self._depth -= 1


def _without_bodies(source: BinaryIO, size: int) -> bytes:
    """The document with its base64 bodies left out: two passes, constant memory but for the rest."""
    scanner = _Scanner()
    left = size
    first = True
    try:
        while left > 0 and (block := source.read(min(CHUNK, left))):
            if first and block[:2] in (b"\xff\xfe", b"\xfe\xff"):
                raise malformed("encoding")  # replacement tags are ASCII
            first = False
            left -= len(block)
            scanner.parser.Parse(block, False)
        scanner.parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError):
        raise malformed() from None
    kept = size - sum(end - start for start, end, _ in scanner.cuts)
    if kept > TREE_LIMIT:
        raise XmlRefusedError("D2R-LIM01", "xml")
    pieces: list[bytes] = []
    place = 0
    for start, end, tag in scanner.cuts:
        source.seek(place)
        pieces += [source.read(start - place), tag]
        place = end
    source.seek(place)
    pieces.append(source.read(size - place))
    return b"".join(pieces)
