"""Reading a mail against the system's OpenSSL doing the same work: both in this process, in turns, in CPU time.

What `openssl cms` does for a signed mail inside an encrypted one, without its process: SMIME_read_CMS, CMS_decrypt,
SMIME_read_CMS of what came out, CMS_verify without a chain (ours judges none here either). Keys are loaded beforehand
on both sides. The two OpenSSLs differ (ours comes with `cryptography`), so each one's RSA operation is told too.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import hashlib
import io
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dcc.gateway.bench_material import Material, mail, private
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message

NO_SIGNER_CERT_VERIFY = 0x20
RSA_ROUNDS = 200
Pointer = ctypes.c_void_p
_LONG, _INT, _BYTES = ctypes.c_long, ctypes.c_int, ctypes.c_char_p
_PLACE = ctypes.POINTER(ctypes.c_void_p)
_SIZE = ctypes.POINTER(ctypes.c_size_t)
# name -> (result, arguments), as in the headers of OpenSSL 3
PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "BIO_new": (Pointer, (Pointer,)),
    "BIO_new_mem_buf": (Pointer, (_BYTES, _INT)),
    "BIO_s_mem": (Pointer, ()),
    "BIO_ctrl": (_LONG, (Pointer, _INT, _LONG, _PLACE)),
    "BIO_free": (_INT, (Pointer,)),
    "SMIME_read_CMS": (Pointer, (Pointer, _PLACE)),
    "CMS_decrypt": (_INT, (Pointer, Pointer, Pointer, Pointer, Pointer, ctypes.c_uint)),
    "CMS_verify": (_INT, (Pointer, Pointer, Pointer, Pointer, Pointer, ctypes.c_uint)),
    "CMS_ContentInfo_free": (None, (Pointer,)),
    "d2i_X509": (Pointer, (Pointer, _PLACE, _LONG)),
    "d2i_AutoPrivateKey": (Pointer, (Pointer, _PLACE, _LONG)),
    "X509_free": (None, (Pointer,)),
    "EVP_PKEY_free": (None, (Pointer,)),
    "EVP_PKEY_CTX_new": (Pointer, (Pointer, Pointer)),
    "EVP_PKEY_CTX_free": (None, (Pointer,)),
    "EVP_PKEY_decrypt_init": (_INT, (Pointer,)),
    "EVP_PKEY_decrypt": (_INT, (Pointer, ctypes.c_char_p, _SIZE, _BYTES, ctypes.c_size_t)),
    "ERR_get_error": (ctypes.c_ulong, ()),
    "ERR_error_string_n": (None, (ctypes.c_ulong, ctypes.c_char_p, ctypes.c_size_t)),
    "OpenSSL_version": (_BYTES, (_INT,)),
}
BIO_CTRL_INFO = 3  # what BIO_get_mem_data stands for
BIO_SET_MEM_EOF_RETURN = 130  # a memory BIO that was written says "try again" at its end, unless told that it is one


class OpenSslFailed(RuntimeError):
    """A call of libcrypto failed; the text is its own."""


class LibCrypto:
    """The functions of the system's libcrypto, with their prototypes."""

    def __init__(self, name: str) -> None:
        self._library = ctypes.CDLL(name)
        self._functions: dict[str, Callable[..., Any]] = {}
        for function, (result, arguments) in PROTOTYPES.items():
            found = getattr(self._library, function)
            found.restype, found.argtypes = result, arguments
            self._functions[function] = found
        self.version = self.call("OpenSSL_version", 0).decode()

    def call(self, name: str, *arguments: object) -> Any:
        """Call one function and check its result. Raises OpenSslFailed for NULL, zero or less."""
        done = self._functions[name](*arguments)
        if done is None or (isinstance(done, int) and done <= 0):
            raise OpenSslFailed(f"{name}: {self._error()}")
        return done

    def free(self, kind: str, *pointers: int | None) -> None:
        """Free what was made; nothing for None."""
        for one in pointers:
            if one:
                self._functions[kind](one)

    def _error(self) -> str:
        text = ctypes.create_string_buffer(256)
        self._functions["ERR_error_string_n"](self._functions["ERR_get_error"](), text, len(text))
        return text.value.decode(errors="replace")

    def parsed(self, function: str, der: bytes) -> int:
        """A certificate or a private key from its DER."""
        octets = ctypes.create_string_buffer(der, len(der))
        place = ctypes.c_void_p(ctypes.addressof(octets))
        found: int = self.call(function, None, ctypes.byref(place), len(der))
        return found

    def octets(self, bio: int) -> bytes:
        """What a memory BIO holds."""
        place = ctypes.c_void_p()
        size = self.call("BIO_ctrl", bio, BIO_CTRL_INFO, 0, ctypes.byref(place))
        return ctypes.string_at(place.value or 0, size)


def libcrypto() -> LibCrypto | None:
    """The system's libcrypto; None where there is none of version 3 or later."""
    name = ctypes.util.find_library("crypto")
    if name is None:
        return None
    try:
        return LibCrypto(name)
    except (OSError, AttributeError):  # AttributeError: a function is missing
        return None


class OpenSsl:
    """One gateway key, loaded into libcrypto; `open` is what is timed."""

    def __init__(self, library: LibCrypto, pair: KeyPair) -> None:
        self._library = library
        der = private(pair).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        self._key = library.parsed("d2i_AutoPrivateKey", der)
        self._certificate = library.parsed("d2i_X509", pair.certificate)

    def close(self) -> None:
        """Free the key and its certificate."""
        self._library.free("EVP_PKEY_free", self._key)
        self._library.free("X509_free", self._certificate)

    @contextmanager
    def opened(self, raw: bytes) -> Iterator[int]:
        """Decrypt and verify; the memory BIO that holds the signed content. Raises OpenSslFailed."""
        call, free = self._library.call, self._library.free
        source = clear = content = outer = inner = None
        beside = ctypes.c_void_p()
        try:
            source = call("BIO_new_mem_buf", raw, len(raw))
            outer = call("SMIME_read_CMS", source, None)
            clear = call("BIO_new", call("BIO_s_mem"))
            call("BIO_ctrl", clear, BIO_SET_MEM_EOF_RETURN, 0, None)
            call("CMS_decrypt", outer, self._key, self._certificate, None, clear, 0)
            inner = call("SMIME_read_CMS", clear, ctypes.byref(beside))
            content = call("BIO_new", call("BIO_s_mem"))
            call("CMS_verify", inner, None, None, beside.value, content, NO_SIGNER_CERT_VERIFY)
            yield content
        finally:
            free("CMS_ContentInfo_free", outer, inner)
            free("BIO_free", source, clear, content, beside.value)

    def open(self, raw: bytes) -> None:
        """Decrypt and verify one mail."""
        with self.opened(raw):
            pass

    def sha256(self, raw: bytes) -> str:
        """Decrypt and verify one mail; the digest of what was signed."""
        with self.opened(raw) as content:
            return hashlib.sha256(self._library.octets(content)).hexdigest()

    def rsa(self, wrapped: bytes) -> None:
        """One RSA private operation."""
        call = self._library.call
        context = call("EVP_PKEY_CTX_new", self._key, None)
        try:
            call("EVP_PKEY_decrypt_init", context)
            out = ctypes.create_string_buffer(len(wrapped))
            size = ctypes.c_size_t(len(wrapped))
            call("EVP_PKEY_decrypt", context, out, ctypes.byref(size), wrapped, len(wrapped))
        finally:
            self._library.free("EVP_PKEY_CTX_free", context)


@dataclass(frozen=True, slots=True)
class Times:
    """CPU milliseconds of the same work on both sides."""

    openssl: float
    dcc: float

    def row(self) -> dict[str, float]:
        """As the JSON result tells it."""
        return {"openssl_ms": self.openssl, "dcc_ms": self.dcc, "ratio": self.dcc / self.openssl}


def cpu(first: Callable[[bytes], object], second: Callable[[bytes], object], inputs: Iterable[bytes]) -> Times:
    """Median CPU milliseconds of both on each input in turn, the first input to warm up."""
    times: tuple[list[float], list[float]] = ([], [])
    gc.collect()
    for one in inputs:
        for run, into in ((first, times[0]), (second, times[1])):
            begun = time.process_time()
            run(one)
            into.append((time.process_time() - begun) * 1000)
    return Times(statistics.median(times[0][1:]), statistics.median(times[1][1:]))


def ours(raw: bytes, pair: KeyPair) -> str:
    """Open one mail as the gateway does; the digest of what was signed. Raises RuntimeError when it does not open."""
    opened = open_message(io.BytesIO(raw), keys=[pair])
    try:
        if not opened.intact or opened.content is None:
            raise RuntimeError(f"the bench's own mail does not open: {opened.problem}")
        return opened.content.sha256
    finally:
        opened.close()


def rows(keys: Material, sizes: dict[str, int], rounds: dict[int, int]) -> dict[str, Any]:
    """{"version", "rsa", "rows"}: our CPU, OpenSSL's and their ratio at each size, opaque and detached inside.

    Every round reads another mail: nothing that was seen before helps either side, but the keys and certificates.
    """
    library = libcrypto()
    if library is None:
        return {"version": None, "rsa": None, "rows": []}
    pair = keys.gateway_encryption
    theirs = OpenSsl(library, pair)
    found = []
    for name, size in sizes.items():
        for detached in (True, False):
            mails = (mail(keys, name, size, detached=detached).raw for _ in range(rounds[size] + 1))
            first = next(mails)
            if theirs.sha256(first) != ours(first, pair):
                raise RuntimeError("OpenSSL and we do not read the same content")
            times = cpu(theirs.open, partial(ours, pair=pair), mails)
            found.append({"size": size, "inner": "detached" if detached else "opaque", **times.row()})
    public = private(pair).public_key()
    wrapped = (public.encrypt(bytes(32), PKCS1v15()) for _ in range(RSA_ROUNDS))
    rsa = cpu(theirs.rsa, lambda one: private(pair).decrypt(one, PKCS1v15()), wrapped)
    theirs.close()
    return {"version": library.version, "rsa": rsa.row(), "rows": found}
