"""EnvelopedData and AuthEnvelopedData, decrypted as a stream into a work file (RFC 5652 §6, RFC 5083)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dcc.smime import aead, algorithms, ber
from dcc.smime.algorithms import ContentCipher
from dcc.smime.berstream import BerStream, content_type
from dcc.smime.errors import LimitPassed, Malformed, NotOpened, Unsupported
from dcc.smime.limits import Limits
from dcc.smime.recipients import OurKey, Selected, select
from dcc.smime.verdict import Layer
from dcc.smime.workfile import WorkFile

RC2_128 = b"\x02\x01\x3a"  # rc2ParameterVersion of 128 effective bits (RFC 8018 §B.2.3)
STEP = aead.PIECE  # what one block of base64 text gives


@dataclass(frozen=True, slots=True)
class Decrypted:
    """The plaintext of one layer, the layer, and the key of ours that opened it."""

    file: WorkFile
    layer: Layer
    ours: OurKey
    weakness: tuple[str, ...] = ()  # by name, what only the archive switch opened


@dataclass(frozen=True, slots=True)
class _Algorithm:
    cipher: ContentCipher
    vector: bytes
    derived: bytes | None = None  # the AlgorithmIdentifier that the content key is bound to (RFC 9709)

    def key(self, content_key: bytes) -> bytes:
        """The key that the cipher takes."""
        if self.derived is None:
            return content_key
        return content_key_derived(content_key, self.derived)


def content_key_derived(content_key: bytes, algorithm: bytes) -> bytes:
    """A key that no other content-encryption algorithm gives (RFC 9709 §2)."""
    return HKDF(hashes.SHA256(), len(content_key), algorithms.CEK_HKDF_SALT, algorithm).derive(content_key)


def decrypt(
    stream: BerStream,
    open_stream: Callable[[], BerStream],
    authenticated: bool,
    keys: Sequence[OurKey],
    limits: Limits,
    make_file: Callable[[], WorkFile],
    random_bytes: Callable[[int], bytes],
    allow_legacy: bool,
    post_quantum: bool = False,
) -> Decrypted:
    """Decrypt one layer. `stream` stands behind the contentType; `open_stream` starts the encoding anew (GCM).

    Raises NotForUs, NotEnabled before a recipient is selected; after that only NotOpened, whatever failed (R-ORACLE).
    """
    infos, algorithm = _prologue(stream, limits)
    selected = select(infos, keys, limits, post_quantum=post_quantum)
    if selected.legacy and not algorithm.cipher.legacy:
        raise Unsupported("Triple-DES key wrap")
    if algorithm.cipher.legacy and not allow_legacy:
        raise Unsupported(algorithm.cipher.name)
    if selected.ours.weakness is not None and not allow_legacy:
        raise Unsupported(f"a key of ours that is too weak (R-ALGO): {selected.ours.weakness}")
    if algorithm.cipher.authenticated != authenticated:
        raise Unsupported(f"{algorithm.cipher.name} in this content type (R-GCM)")
    key = algorithm.key(_content_key(selected, algorithm.cipher, random_bytes))
    file = make_file()
    try:
        if authenticated:
            _authenticated(stream, open_stream, limits, key, algorithm, file)
        else:
            _cbc(stream, key, algorithm, file)
            _epilogue(stream)
    except (Malformed, LimitPassed, ValueError, InvalidTag, UnsupportedAlgorithm) as error:
        file.close()
        raise NotOpened from error
    except BaseException:
        file.close()
        raise
    kind = "auth-enveloped" if authenticated else "enveloped"
    used = {"content": algorithm.cipher.name, "key": selected.transport}
    if algorithm.derived is not None:
        used["derivation"] = "cek-hkdf-sha256"
    weakness = [algorithm.cipher.name] if algorithm.cipher.legacy else []
    if selected.ours.weakness is not None:
        weakness.append(selected.ours.weakness)
    return Decrypted(file, Layer(kind, used), selected.ours, tuple(weakness))


def _prologue(stream: BerStream, limits: Limits) -> tuple[bytes, _Algorithm]:
    """Read down to the encrypted octets: the RecipientInfos and the algorithm."""
    stream.enter(0xA0)
    stream.enter(ber.SEQUENCE)
    stream.value()  # version
    if stream.peek_tag() == 0xA0:
        stream.skip(stream.next())  # originatorInfo
    infos = stream.value()
    stream.enter(ber.SEQUENCE)
    stream.value()  # contentType of the plaintext
    return infos, _algorithm(stream.value(), limits)


def _algorithm(data: bytes, limits: Limits) -> _Algorithm:
    name, parameters = ber.algorithm(data, ber.whole(data, ber.SEQUENCE), limits)
    if name == algorithms.CEK_HKDF_SHA256 and len(parameters) == 1:
        real = data[parameters[0].start : parameters[0].end]
        found = _algorithm(real, limits)
        if found.derived is not None:
            raise Malformed("a derivation of a derivation")
        return replace(found, derived=real)
    if name not in algorithms.CIPHERS:
        raise Unsupported(f"content encryption {name}")
    cipher = algorithms.CIPHERS[name]
    if not parameters:
        raise Malformed("content encryption without parameters")
    parameter = parameters[0]
    if cipher.authenticated:
        length = aead.TAG
        if cipher.mode != "chacha20":  # whose parameter is the nonce alone (RFC 8103 §3)
            fields = ber.children(data, parameter)
            if not fields:
                raise Malformed("authenticated encryption without a nonce")
            length = ber.integer(data, fields[1]) if len(fields) > 1 else 12
            parameter = fields[0]
        vector = ber.octets(data, parameter)
        if length != aead.TAG or len(vector) not in aead.NONCES[cipher.mode]:
            raise Unsupported(f"{cipher.mode} with a short tag or an odd nonce (R-GCM)")
        return _Algorithm(cipher, vector)
    if cipher.name == "rc2-cbc":
        fields = ber.children(data, parameter)
        if len(fields) != 2 or data[fields[0].start : fields[0].end] != RC2_128:
            raise Unsupported("rc2 with a short key")
        parameter = fields[1]
    vector = ber.octets(data, parameter)
    if len(vector) != cipher.block:
        raise Malformed("initialisation vector")
    return _Algorithm(cipher, vector)


def _content_key(selected: Selected, cipher: ContentCipher, random_bytes: Callable[[int], bytes]) -> bytes:
    """The content key, or a random one of the right length: one path for both (RFC 3218 §2.3.2)."""
    substitute = random_bytes(cipher.key)
    found = selected.recover()
    return found if found is not None and len(found) == cipher.key else substitute


def _octets(stream: BerStream) -> Iterator[memoryview]:
    if stream.peek_tag() not in (0x80, 0xA0):
        raise Malformed("no encrypted content")
    return stream.octets(stream.next(), 0x80)


def _cbc(stream: BerStream, key: bytes, algorithm: _Algorithm, file: WorkFile) -> None:
    cipher = algorithm.cipher
    kind = {"des-ede3-cbc": TripleDES, "rc2-cbc": RC2}.get(cipher.name, AES)
    context = Cipher(kind(key), CBC(algorithm.vector)).decryptor()
    size = cipher.block
    # The last block waits at the front of the buffer for what follows: it may be the padding.
    buffer = memoryview(bytearray(STEP + 3 * size))
    waiting = 0
    for piece in _octets(stream):
        for at in range(0, len(piece), STEP):
            count = waiting + context.update_into(piece[at : at + STEP], buffer[waiting:])
            if count > size:
                file.write(buffer[: count - size])
                buffer[:size] = bytes(buffer[count - size : count])
                count = size
            waiting = count
    rest = context.finalize()
    held = bytes(buffer[:waiting])
    if rest or waiting != size:
        raise NotOpened
    pad = held[-1]
    if not 1 <= pad <= cipher.block or held[-pad:] != bytes([pad]) * pad:
        raise NotOpened
    file.write(held[:-pad])


def _authenticated(
    stream: BerStream,
    open_stream: Callable[[], BerStream],
    limits: Limits,
    key: bytes,
    algorithm: _Algorithm,
    file: WorkFile,
) -> None:
    """Two passes: the associated data and the tag stand behind the ciphertext (RFC 5083 §2.1)."""
    size = sum(len(piece) for piece in _octets(stream))
    stream.leave()
    attributes = b""
    if stream.peek_tag() == 0xA1:
        raw = stream.value()
        attributes = bytes([ber.SET]) + raw[1:]  # RFC 5083 §2.2: a SET OF for the computation
    tag = stream.value()
    mac = ber.first_slice(tag, 0, len(tag))
    if mac.tag & ~ber.CONSTRUCTED != ber.OCTET_STRING:
        raise NotOpened
    code = ber.octets(tag, mac)
    if len(code) != aead.TAG:
        raise NotOpened
    if stream.peek_tag() == 0xA2:
        stream.skip(stream.next())  # unauthenticated attributes never influence anything (R-ATTRS)
    for _ in range(3):
        stream.leave()
    stream.finished()
    context = aead.decryptor(algorithm.cipher.mode, key, algorithm.vector, attributes, size)
    again = open_stream()
    content_type(again, limits)
    _prologue(again, limits)
    buffer = memoryview(bytearray(STEP + 16))
    for piece in _octets(again):
        for at in range(0, len(piece), STEP):
            file.write(buffer[: context.update_into(piece[at : at + STEP], buffer)])
    context.finalize_with_tag(code)


def _epilogue(stream: BerStream) -> None:
    stream.leave()
    if stream.peek_tag() == 0xA1:
        stream.skip(stream.next())  # unprotectedAttrs
    for _ in range(3):
        stream.leave()
    stream.finished()
