"""CompressedData, inflated within bounds (RFC 3274; R-BOMB)."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from dcc.smime import ber
from dcc.smime.berstream import BerStream
from dcc.smime.errors import LimitPassed, Malformed
from dcc.smime.limits import Limits
from dcc.smime.verdict import Layer
from dcc.smime.workfile import WorkFile

ZLIB = "1.2.840.113549.1.9.16.3.8"
STEP = 1 << 17


def inflate(
    stream: BerStream, limits: Limits, make_file: Callable[[], WorkFile], input_size: int
) -> tuple[WorkFile, Layer]:
    """Inflate one layer; the stream stands behind the contentType. Raises Malformed, LimitPassed("decompressed")."""
    room = min(limits.decompressed, limits.decompression_ratio * max(input_size, 1))
    stream.enter(0xA0)
    stream.enter(ber.SEQUENCE)
    stream.value()  # version
    algorithm = stream.value()
    if ber.algorithm(algorithm, ber.whole(algorithm, ber.SEQUENCE), limits)[0] != ZLIB:
        raise Malformed("compression algorithm")
    stream.enter(ber.SEQUENCE)
    stream.value()
    stream.enter(0xA0)
    engine = zlib.decompressobj()
    file = make_file()
    try:
        for piece in stream.octets(stream.next(), ber.OCTET_STRING):
            _inflate_piece(engine, bytes(piece), file, room)
    except zlib.error as error:
        raise Malformed("compressed data damaged") from error
    if not engine.eof:
        raise Malformed("compressed data truncated")
    for _ in range(5):
        stream.leave()
    stream.finished()
    return file, Layer("compressed", {"compression": "zlib"})


def _inflate_piece(engine: zlib._Decompress, piece: bytes, file: WorkFile, room: int) -> None:
    while piece:
        file.write(engine.decompress(piece, STEP))
        if file.size > room:
            raise LimitPassed("decompressed")
        piece = engine.unconsumed_tail
