"""Opening and sealing alone: the S/MIME part of the pipeline, on the same mails as the floor."""

from __future__ import annotations

import io
import os
import sqlite3
from pathlib import Path
from typing import BinaryIO, cast

from dcc.gateway.bench_material import DOCUMENT_HEADERS, Mail, Material
from dcc.smime.open import open_message
from dcc.smime.seal import MailHeaders, Profile, key_signer, seal
from dcc.smime.segments import FileSegment


class Discard(io.RawIOBase):
    """Takes everything and keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return len(cast("bytes", data))


class Smime:
    """Received to a file, committed, opened, verified, sealed again for each reader."""

    def __init__(self, keys: Material, mail: Mail, folder: Path) -> None:
        self._keys = keys
        self._raw = mail.raw
        self._folder = folder
        self._database = sqlite3.connect(folder / "smime.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("CREATE TABLE IF NOT EXISTS smime (id INTEGER PRIMARY KEY, sha256 TEXT)")

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def run(self) -> None:
        """One message in, three out."""
        path = self._folder / "smime.eml"
        with path.open("wb") as file:
            file.write(self._raw)
            file.flush()
            os.fsync(file.fileno())
        self.process(path)

    def process(self, path: Path) -> None:
        """Open one received file and seal its content for each reader. Raises RuntimeError when it does not open."""
        with path.open("rb") as file:
            opened = open_message(file, keys=[self._keys.gateway_encryption], random_bytes=os.urandom)
            try:
                content = opened.content
                if not opened.intact or content is None:
                    raise RuntimeError(f"the bench's own mail does not open: {opened.problem}")
                self._database.execute("INSERT INTO smime (sha256) VALUES (?)", (content.sha256,))
                with content.open() as entity:
                    head = len(entity.read(1 << 14).partition(b"\r\n\r\n")[0]) + 4
                segment = FileSegment(content.open, head, content.size - head)
                for number, reader in enumerate(self._keys.readers):
                    self._seal(number, reader.certificate, segment)
            finally:
                opened.close()

    def _seal(self, number: int, certificate: bytes, segment: FileSegment) -> None:
        headers = MailHeaders(
            "gateway@dcc.example", f"reader{number}@dcc.example", "bench", self._keys.at, f"<{number}@dcc.example>"
        )
        profile = Profile(extra_certificates=(self._keys.gateway_encryption.certificate,))
        seal(
            headers, [segment], DOCUMENT_HEADERS, signer=key_signer(self._keys.gateway_signing), recipient=certificate,
            profile=profile, out=cast("BinaryIO", Discard()), random_bytes=os.urandom,
        )  # fmt: skip
