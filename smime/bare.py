"""A CMS structure that stands alone in a file: recognised by its first octets, read from DER, BER or PEM."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from dcc.smime import transfer
from dcc.smime.errors import Malformed

ARMOUR = b"-----BEGIN "
MARK = b"\xef\xbb\xbf"
LONGEST_LINE = 4096
BLOCK = 48 << 10


def is_bare(source: BinaryIO) -> bool:
    """Whether a file is a CMS structure rather than a mail.

    A mail begins with a field name, printable ASCII; a ContentInfo begins with 0x30, a length, and an OID.
    """
    source.seek(0)
    head = source.read(512)
    return _is_armoured(head) or (head[:1] == b"0" and (head[1:2] >= b"\x80" or head[2:3] == b"\x06"))


def _is_armoured(head: bytes) -> bool:
    return head.removeprefix(MARK).lstrip().startswith(ARMOUR)


def pieces(source: BinaryIO) -> Callable[[], Iterator[bytes]]:
    """The encoding's octets, from the start, each time it is called."""
    source.seek(0)
    if _is_armoured(source.read(512)):
        return lambda: _armoured(source)
    end = source.seek(0, os.SEEK_END)
    return lambda: transfer.identity(source, 0, end)


def _armoured(source: BinaryIO) -> Iterator[bytes]:
    """The first PEM block (RFC 7468); header lines of the old form (RFC 1421) are passed over."""
    source.seek(0)
    while not source.readline(LONGEST_LINE).lstrip(MARK).startswith(ARMOUR):
        pass
    held: list[bytes] = []
    size = 0
    while line := source.readline(LONGEST_LINE):
        if line.startswith(b"-----END"):
            yield from transfer.base64_text(b"".join(held))
            return
        if b":" in line:
            continue
        text = line.translate(None, transfer.WHITE)
        held.append(text)
        size += len(text)
        if size >= BLOCK and size % 4 == 0:
            yield from transfer.base64_text(b"".join(held))
            held, size = [], 0
    raise Malformed("PEM without an end")
