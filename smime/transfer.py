"""Content transfer encodings, decoded as a stream: base64, quoted-printable, identity (RFC 2045 §6)."""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import BinaryIO

import pybase64

from dcc.smime.errors import Malformed

TEXT_BLOCK = 96 << 10
WHITE = b"\r\n \t"
LINE = 76


def identity(file: BinaryIO, start: int, end: int, block: int = TEXT_BLOCK) -> Iterator[bytes]:
    """The octets as they are."""
    file.seek(start)
    while start < end:
        piece = file.read(min(block, end - start))
        if not piece:
            raise Malformed("truncated body")
        start += len(piece)
        yield piece


def base64(file: BinaryIO, start: int, end: int, block: int = TEXT_BLOCK) -> Iterator[bytes]:
    """Strict base64 over lines. Raises Malformed on a foreign character or a truncated group (R-BOMB)."""
    held = b""
    padded = False
    for piece in identity(file, start, end, block):
        text = held + without_white(piece)
        if padded:
            if text:
                raise Malformed("base64 after its padding")
            continue
        usable = len(text) & ~3
        held = text[usable:]
        text = text[:usable]
        if not text:
            continue
        padded = text.endswith(b"=")
        yield _decoded(text)
    if held:
        raise Malformed("truncated base64")


def base64_text(text: bytes) -> Iterator[bytes]:
    """One piece of base64 without white space, whole groups. Raises Malformed."""
    if text:
        yield _decoded(text)


def without_white(piece: bytes) -> bytes:
    """The signs of a piece of base64; two passes for CR and LF are quicker than one table for all."""
    text = piece.replace(b"\n", b"").replace(b"\r", b"")
    return text.translate(None, b" \t") if b" " in text or b"\t" in text else text


def _decoded(text: bytes) -> bytes:
    # A library with vector instructions: base64 was the largest cost of a large mail (decision 0009).
    try:
        return pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("not base64") from error


def quoted_printable(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Quoted-printable, in blocks cut at line ends."""
    held = b""
    for piece in identity(file, start, end):
        text = held + piece
        cut = text.rfind(b"\n") + 1
        if not cut and len(text) < 4 * TEXT_BLOCK:
            held = text
            continue
        cut = cut or max(0, len(text) - 3)
        held = text[cut:]
        yield binascii.a2b_qp(text[:cut])
    if held:
        yield binascii.a2b_qp(held)


def decode(file: BinaryIO, start: int, end: int, encoding: str) -> Iterator[bytes]:
    """The decoded octets of `file[start:end]`. Raises Malformed, also for an unknown encoding."""
    name = encoding.strip().lower()
    if name == "base64":
        return base64(file, start, end)
    if name == "quoted-printable":
        return quoted_printable(file, start, end)
    if name in {"", "7bit", "8bit", "binary"}:
        return identity(file, start, end)
    raise Malformed("unknown transfer encoding")


def reader(pieces: Iterator[bytes]) -> PieceReader:
    """A `read(n)` over an iterator of pieces."""
    return PieceReader(pieces)


class PieceReader:
    """Reads at most n bytes at a time from an iterator of pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __call__(self, count: int) -> bytes:
        """The next piece, whatever its length: readers buffer for themselves."""
        del count
        return next((piece for piece in self._pieces if piece), b"")


def base64_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Base64 in lines of 76 columns with CRLF (RFC 2045 §6.8), from chunks of any length."""
    held = b""
    step = LINE * 3 // 4
    for chunk in chunks:
        data = held + chunk if held else chunk
        usable = len(data) // step * step
        held = bytes(data[usable:])
        if usable:
            yield lines_of(memoryview(data)[:usable])
    if held:
        yield lines_of(held)


def lines_of(data: bytes | memoryview) -> bytes:
    """Base64 lines of one piece; a multiple of 57 octets unless it is the last."""
    flat = pybase64.b64encode(data)
    count, rest = divmod(len(flat), LINE)
    # struct cuts the lines in C: half as fast again as slicing in a loop, and this holds the interpreter lock.
    lines = _columns(count).unpack_from(flat)
    return b"\r\n".join((*lines, flat[count * LINE :], b"") if rest else (*lines, b""))


@lru_cache(maxsize=64)
def _columns(count: int) -> struct.Struct:
    return struct.Struct(f"{LINE}s" * count)


def base64_size(octets: int) -> int:
    """Octets that `base64_lines` writes for so many."""
    text = (octets + 2) // 3 * 4
    return text + 2 * -(-text // LINE)
