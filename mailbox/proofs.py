"""What verdicts rested on, each kept once under its SHA-256: certificates, opposition lists, OCSP answers (I6)."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

from dcc.mailbox.spool import fsync_directory, storage_error


class ProofLost(Exception):
    """What a verdict rested on is absent or damaged."""


class ProofStore:
    """A folder of files that are written once and never changed; safe to use from several threads and processes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def keep(self, data: bytes) -> str:
        """Keep these octets; returns their SHA-256. On disk when it returns. Raises StorageFull, OSError."""
        return self.keep_as(hashlib.sha256(data).hexdigest(), data)

    def keep_as(self, sha256: str, data: bytes) -> str:
        """The same where the SHA-256 is known already."""
        if not self.has(sha256):
            try:
                self._write(sha256, data)
            except OSError as error:
                raise storage_error(error) from error
            with self._lock:
                self._known.add(sha256)
        return sha256

    def has(self, sha256: str) -> bool:
        """Whether it is kept: what was seen once is not looked for again, for nothing is ever removed."""
        if sha256 in self._known:
            return True
        if not self._path(sha256).is_file():
            return False
        with self._lock:
            self._known.add(sha256)
        return True

    def read(self, sha256: str) -> bytes:
        """The octets again. Raises ProofLost."""
        try:
            data = self._path(sha256).read_bytes()
        except OSError as error:
            raise ProofLost(f"une preuve manque : {sha256}") from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ProofLost(f"une preuve est abîmée : {sha256}")
        return data

    def _path(self, sha256: str) -> Path:
        return self._directory / sha256[:2] / sha256

    def _write(self, sha256: str, data: bytes) -> None:
        path = self._path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = path.with_name(f".{sha256}.{os.getpid()}.{threading.get_ident()}")
        with aside.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        fsync_directory(path.parent)
