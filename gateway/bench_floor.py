"""The floor of one message: the work that cannot be avoided, and nothing else (facts/smime.md §5.2, design "Speed").

One thread. In: one base64 decode, one RSA private operation, one body decryption and hash, one RSA verification,
one fsynced file, one commit. Out, for each reader: one hash, one RSA signature, one body encryption, one flat base64
encode, one RSA public operation. No parsing and no structure.

Measured twice: with the standard library's base64, as the definition's figures were, and with the one that the gateway
uses, which is the lower floor.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import sqlite3
from pathlib import Path

import pybase64
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from dcc.gateway.bench_material import Mail, Material, private

TEXT = 78 * 840
BLOCK = 1 << 16


class Floor:
    """Ready to run the floor of one mail again and again; `run` is what is timed."""

    def __init__(
        self, keys: Material, mail: Mail, folder: Path, outgoing: bytes | None = None, *, quick: bool = False
    ) -> None:
        self._decode = pybase64.b64decode if quick else binascii.a2b_base64
        self._encode = pybase64.b64encode if quick else binascii.b2a_base64
        self._body = mail.body
        self._raw = mail.raw
        self._outgoing = mail.entity if outgoing is None else outgoing
        self._folder = folder
        self._own = private(keys.gateway_encryption)
        self._signing = private(keys.gateway_signing)
        self._sender = private(keys.sender).public_key()
        self._readers = [private(reader).public_key() for reader in keys.readers]
        self._wrapped = self._own.public_key().encrypt(os.urandom(32), PKCS1v15())
        self._signature = private(keys.sender).sign(b"attributes", PKCS1v15(), hashes.SHA256())
        self._database = sqlite3.connect(folder / "floor.sqlite", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=FULL")
        self._database.execute("CREATE TABLE IF NOT EXISTS floor (id INTEGER PRIMARY KEY, sha256 BLOB)")
        self._buffer = bytearray(BLOCK + 64)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def run(self) -> None:
        """One message in, three out."""
        self._in()
        for reader in self._readers:
            self._out(reader)

    def _in(self) -> None:
        key = self._own.decrypt(self._wrapped, PKCS1v15())
        context = Cipher(AES(key), CBC(bytes(16))).decryptor()
        digest = hashlib.sha256()
        view = memoryview(self._buffer)
        for at in range(0, len(self._body), TEXT):
            octets = self._decode(self._body[at : at + TEXT])
            octets = octets[: len(octets) & ~15]
            digest.update(view[: context.update_into(octets, self._buffer)])
        self._sender.verify(self._signature, b"attributes", PKCS1v15(), hashes.SHA256())
        path = self._folder / "floor.eml"
        with path.open("wb") as file:
            file.write(self._raw)
            file.flush()
            os.fsync(file.fileno())
        self._database.execute("INSERT INTO floor (sha256) VALUES (?)", (digest.digest(),))

    def _out(self, reader: object) -> None:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

        if not isinstance(reader, RSAPublicKey):
            raise TypeError("RSA readers only")
        key = os.urandom(32)
        context = Cipher(AES(key), CBC(os.urandom(16))).encryptor()
        digest = hashlib.sha256()
        view = memoryview(self._buffer)
        whole = memoryview(self._outgoing)
        for at in range(0, len(whole), BLOCK):
            chunk = whole[at : at + BLOCK]
            digest.update(chunk)
            self._encode(view[: context.update_into(chunk, self._buffer)])
        self._signing.sign(digest.digest(), PKCS1v15(), hashes.SHA256())
        reader.encrypt(key, PKCS1v15())
