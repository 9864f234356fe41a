"""Line ends of a mail saved with bare line feeds: the signature covers the canonical form (RFC 8551 §3.1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO


def is_saved_with_lf(file: BinaryIO, start: int, body: int) -> bool:
    """Whether the header block at `[start, body)` has no CRLF at all: a file of a system whose lines end with LF."""
    file.seek(start)
    block = file.read(body - start)
    return b"\n" in block and b"\r\n" not in block


def canonical(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Every line end as CRLF, in blocks."""
    held = b""
    for piece in pieces:
        text = held + piece
        held = b"\r" if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)]
        yield text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if held:
        yield held
