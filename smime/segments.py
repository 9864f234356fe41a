"""Bodies in pieces: literal octets and ranges of files, so that a body is never held twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class FileSegment:
    """`size` octets from `start` of a file that `open` gives, as often as asked."""

    open: Callable[[], BinaryIO]
    start: int
    size: int


Body = Sequence[bytes | FileSegment]


def body_size(body: Body) -> int:
    """Octets in all."""
    return sum(part.size if isinstance(part, FileSegment) else len(part) for part in body)


def body_chunks(body: Body, chunk: int = CHUNK) -> Iterator[bytes]:
    """The octets in order, at most `chunk` at a time. Raises EOFError when a file is shorter than said."""
    for part in body:
        if isinstance(part, bytes):
            yield from (part[at : at + chunk] for at in range(0, len(part), chunk))
            continue
        with part.open() as file:
            file.seek(part.start)
            left = part.size
            while left:
                piece = file.read(min(chunk, left))
                if not piece:
                    raise EOFError("a segment is shorter than said")
                left -= len(piece)
                yield piece
