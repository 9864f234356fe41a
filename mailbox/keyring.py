"""Key-encryption keys, by version: each document has a key of its own, wrapped by one of these (RFC 3394)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from dcc.mailbox.spool import fsync_directory

KEY_BYTES = 32


class KeyMissing(Exception):
    """No key of this version, or the wrapped key does not fit it."""


class KeyRing:
    """Wraps with the newest version, unwraps with any."""

    def __init__(self, versions: Mapping[int, bytes]) -> None:
        if not versions or any(len(key) != KEY_BYTES for key in versions.values()):
            raise ValueError("a key ring holds at least one key of 256 bits")
        self._versions = dict(versions)

    @property
    def current(self) -> int:
        """The version that wraps."""
        return max(self._versions)

    def wrap(self, key: bytes) -> tuple[int, bytes]:
        """(version, wrapped key)."""
        return self.current, aes_key_wrap(self._versions[self.current], key)

    def unwrap(self, version: int, wrapped: bytes) -> bytes:
        """The document's key. Raises KeyMissing."""
        try:
            return aes_key_unwrap(self._versions[version], wrapped)
        except (KeyError, InvalidUnwrap) as error:
            raise KeyMissing(f"key-encryption key version {version}") from error

    def rewrap(self, version: int, wrapped: bytes) -> tuple[int, bytes]:
        """The same document's key under the newest version: rotation changes rows, not files. Raises KeyMissing."""
        return self.wrap(self.unwrap(version, wrapped))

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """Read a key ring file. Raises OSError, ValueError."""
        raw = json.loads(path.read_text(encoding="ascii"))
        if not isinstance(raw, dict) or not all(isinstance(key, str) for key in raw.values()):
            raise ValueError("not a key ring")
        return cls({int(version): bytes.fromhex(key) for version, key in raw.items()})

    def save(self, path: Path) -> None:
        """Write it, mode 0600, durably."""
        text = json.dumps({str(version): key.hex() for version, key in sorted(self._versions.items())})
        aside = path.with_suffix(".new")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        fsync_directory(path.parent)  # documents may be sealed under the new version at once

    def rotated(self, random_bytes: Callable[[int], bytes]) -> KeyRing:
        """A ring with one version more; old documents stay readable."""
        return KeyRing({**self._versions, self.current + 1: random_bytes(KEY_BYTES)})

    @classmethod
    def create(cls, random_bytes: Callable[[int], bytes]) -> KeyRing:
        """A new ring with version 1."""
        return cls({1: random_bytes(KEY_BYTES)})
