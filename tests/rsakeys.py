"""RSA keys of a run of the tests, each made once: slow to make, and throw-away keys are as good as each other."""

from __future__ import annotations

import fcntl
import itertools
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_private_key

_folders: list[Path] = []


def keep_in(folder: Path) -> None:
    """From now on the worker processes of a run share their keys in this folder."""
    _folders[:] = [folder]


def written_key(key: rsa.RSAPrivateKey) -> bytes:
    """A key as octets."""
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def read_key(octets: bytes) -> rsa.RSAPrivateKey:
    """The key again; ours, so that its numbers need no check (which is nearly as slow as making one)."""
    key = load_der_private_key(octets, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The key of this name, made by the process that asks first."""
    if not _folders:
        return rsa.generate_private_key(65537, bits)
    with (_folders[0] / f"{name}-{bits}").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        octets = file.read()
        if octets:
            return read_key(octets)
        key = rsa.generate_private_key(65537, bits)
        file.write(written_key(key))
    return key


def rsa_keys(owner: str) -> Callable[[], rsa.RSAPrivateKey]:
    """A source of keys of this owner: in the same order in every process, and any thread may ask it."""
    numbers = itertools.count()
    return lambda: rsa_key(f"{owner} {next(numbers)}")
