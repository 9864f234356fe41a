"""The attachments of a mail: decoded once into a work file, hashed on the way, never in clear on a disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dcc.router.request import Attachment
from dcc.smime import mime
from dcc.smime.workfile import WorkFile

BODY_LIMIT = 64 << 10  # bytes of a text body that are looked at
BODY_TYPES = frozenset({"text/plain", "text/html", "text/rtf", "text/enriched"})
# Never assembled nor opened (R-PARTIAL); the signature was checked before
CLOSED_TYPES = frozenset({"message/partial", "message/external-body", "application/ms-tnef"})
SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
ARCHIVE_TYPES = frozenset({"application/zip", "application/x-zip-compressed", "application/x-zip"})
APICRYPT_MARK = b"$APICRYPT"
ENDINGS = {"application/pdf": ".pdf", "text/xml": ".xml", "application/xml": ".xml", "application/zip": ".zip"}


class ApicryptFoundError(Exception):
    """The mail carries Apicrypt content, which is refused unread (facts/clinical.md §6)."""


@dataclass(slots=True)
class Workshop:
    """Makes the one work file of a message, when it is first needed."""

    directory: Path | None
    random_bytes: Callable[[int], bytes]
    _file: WorkFile | None = None

    def file(self) -> WorkFile:
        """The work file into which everything decoded is appended."""
        if self._file is None:
            self._file = WorkFile(self.directory, self.random_bytes)
        return self._file


def leaves(entity: mime.Entity) -> Iterator[mime.Entity]:
    """Every part that is not a container, forwarded messages opened too (facts §3.2: forwards of ORG boxes)."""
    return (part for part in entity.walk() if not part.children and not part.media_type.startswith("multipart/"))


def is_body(part: mime.Entity) -> bool:
    """Whether a part is text to be read with the mail rather than a file."""
    return part.media_type in BODY_TYPES and part.disposition != "attachment" and part.filename is None


def is_file(part: mime.Entity) -> bool:
    """Whether a leaf may be a document: not the text, a signature, or a picture shown inside the text."""
    return not (is_body(part) or part.media_type in SIGNATURE_TYPES or _is_inline(part))


def is_archive(part: mime.Entity) -> bool:
    """Whether a leaf says to be a zip, by its type or its name."""
    return part.media_type in ARCHIVE_TYPES or (part.filename or "").lower().endswith(".zip")


def closed_parts(root: mime.Entity) -> bool:
    """Whether the mail holds parts that are never opened: pieces, references, TNEF (winmail.dat)."""
    return any(part.media_type in CLOSED_TYPES for part in root.walk())


def read_attachments(file: BinaryIO, root: mime.Entity, shop: Workshop) -> tuple[Attachment, ...]:
    """Decode every file of the mail, in order.

    Raises ApicryptFoundError before anything of an Apicrypt part is decoded; Malformed for a false encoding.
    """
    parts = list(leaves(root))
    for part in parts:
        if (part.filename or "").lower().endswith(".apz") or _has_mark(file, part):
            raise ApicryptFoundError
    files = [part for part in parts if not is_body(part) and part.media_type not in CLOSED_TYPES | SIGNATURE_TYPES]
    return tuple(_decoded(file, part, number, shop) for number, part in enumerate(files, 1))


def _has_mark(file: BinaryIO, part: mime.Entity) -> bool:
    if not is_body(part):
        return False
    seen = b""
    for block in mime.decode(file, part):
        seen += block
        if len(seen) >= BODY_LIMIT:
            break
    return APICRYPT_MARK in seen[:BODY_LIMIT]


def _decoded(file: BinaryIO, part: mime.Entity, number: int, shop: Workshop) -> Attachment:
    work = shop.file()
    start = work.size
    digest = hashlib.sha256()
    for block in mime.decode(file, part):
        digest.update(block)
        work.write(block)
    name = part.filename or f"piece-{number}{ENDINGS.get(part.media_type, '')}"
    inline = _is_inline(part)
    return Attachment(
        name=name,
        media_type=part.media_type,
        size=work.size - start,
        sha256=digest.hexdigest(),
        role="archive" if is_archive(part) else "inline" if inline else "attachment",
        file=work,
        start=start,
    )


def _is_inline(part: mime.Entity) -> bool:
    """A picture shown inside the text (RFC 2392): a signature's logo, not a document."""
    return (
        part.media_type.startswith("image/")
        and part.disposition != "attachment"
        and part.headers.get("Content-ID") is not None
    )
