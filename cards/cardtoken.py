"""The CPS card at a workstation: where its library lies, what its objects are called, how often a PIN may be wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    from msvcrt import LK_LOCK, locking

    def _lock(handle: int) -> None:
        locking(handle, LK_LOCK, 1)
else:
    from fcntl import LOCK_EX, flock

    def _lock(handle: int) -> None:
        flock(handle, LOCK_EX)


# The names that the card's own software gives (facts: cards §7)
SIGNATURE_KEY = "CPS_PRIV_SIG"
SIGNATURE_CERTIFICATE = "Certificat de Signature CPS"
MODULES = {
    "win32": (
        "C:/Windows/System32/cps3_pkcs11_w64.dll", "C:/Windows/System32/cps3_pkcs11_w32.dll",
        "C:/Windows/System32/cps_pkcs11_w32.dll", "C:/Windows/System32/cps_pkcs11_pcsc_w32.dll",
    ),
    "darwin": ("/usr/local/lib/libcps3_pkcs11_osx.dylib",),
    "linux": (
        "/opt/santesocial/CPS/lib/libcps3_pkcs11_lux.so", "/usr/lib64/libcps3_pkcs11_lux.so",
        "/usr/local/galss/libcps3_pkcs11_lux.so",
    ),
}  # fmt: skip
TRIES = 3  # a CPS card is blocked after three wrong PINs


class NoTryLeft(Exception):
    """Three wrong PINs were given: another one could block the card for good."""


def known_modules(platform: str = sys.platform) -> tuple[Path, ...]:
    """Where the card's library lies on this system, the usual place first."""
    return tuple(Path(one) for one in MODULES.get(platform, ()))


class PinTries:
    """Wrong PINs of one card, counted on disk: another process, or a crash, gives no fourth try.

    `identity` names the card without its number being readable. A PIN itself is never written.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = folder / identity

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """One try, counted before it is made; nobody else tries meanwhile. Raises NoTryLeft."""
        with self._alone():
            wrong = self.wrong
            if wrong >= TRIES:
                raise NoTryLeft
            self._set(wrong + 1)
            yield

    def forget(self) -> None:
        """The PIN was right, or the card was unblocked with its own software."""
        self._path.unlink(missing_ok=True)

    def not_judged(self) -> None:
        """The try of `attempt` never reached the card."""
        self._set(max(0, self.wrong - 1))

    @property
    def wrong(self) -> int:
        """Wrong PINs since the last right one."""
        try:
            text = self._path.read_text(encoding="ascii", errors="replace").strip()
        except FileNotFoundError:
            return 0
        return int(text) if text.isdigit() else TRIES  # a damaged file gives no try

    def _set(self, wrong: int) -> None:
        aside = self._path.with_suffix(".new")
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(str(wrong))
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two programs at once go one after the other: each sees the other's wrong PIN."""
        guard = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(guard)
            yield
        finally:
            os.close(guard)
