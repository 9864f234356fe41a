"""Any legal BER around what is signed: the same structure, written in as many ways as X.690 allows, is read alike."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

import forge
from dcc.smime import ber, der
from dcc.smime.certificates import parts
from dcc.smime.errors import Malformed
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from dcc.smime.verdict import Opened, Problem
from forge import Signing, agreement, auth_enveloped_data, enveloped_data, key_transport, signed_data
from throwaway import ENCRYPT, ENTITY, FIELDS, pair, part

CMS = "application/pkcs7-mime; name=smime.p7m"
KEY = bytes(range(32))
X963_SHA256 = "1.3.132.1.11.1"


@cache
def keys() -> list[KeyPair]:
    """The reader's: RSA, and one on a curve."""
    return [pair("rsa", ENCRYPT, "reader"), pair("p256", ENCRYPT, "reader")]


@cache
def kept() -> list[bytes]:
    """What is DER because it is signed, or computed with as it is: certificates, names, signed attributes, the wrap."""
    signer = Signing()
    certificate = signer.pair.certificate
    attributes = der.tlv(0xA0, *signer.signed_attributes(ENTITY))
    return [certificate, parts(certificate).issuer, der.algorithm("2.16.840.1.101.3.4.1.45"), attributes]


def length(size: int, rng: random.Random) -> bytes:
    """A definite length, perhaps in more octets than it needs."""
    shortest = ber.header(0, size)[1:]
    if rng.random() < 0.7:
        return shortest
    octets = size.to_bytes(rng.choice((4, 5, 8)), "big")
    return bytes([0x80 | len(octets)]) + octets


def string(tag: int, content: bytes, rng: random.Random) -> bytes:
    """An octet string in one piece or in segments, some of them in segments themselves."""
    if rng.random() < 0.5:
        return bytes([tag]) + length(len(content), rng) + content
    size = rng.choice((1, 7, len(content) // 2 + 1))
    cut = [content[at : at + size] for at in range(0, len(content), size)][:200]
    cut.append(content[len(b"".join(cut)) :])
    inner = b"".join(b"\x04" + length(len(one), rng) + one for one in cut)
    if rng.random() < 0.3:
        inner = constructed(0x24, inner, rng) + b"\x04\x00"
    return constructed(tag | 0x20, inner, rng)


def constructed(tag: int, content: bytes, rng: random.Random) -> bytes:
    """A constructed value of definite or indefinite length."""
    if rng.random() < 0.5:
        return bytes([tag, 0x80]) + content + b"\0\0"
    return bytes([tag]) + length(len(content), rng) + content


def written(data: bytes, one: ber.Slice, rng: random.Random, unchanged: Sequence[bytes]) -> bytes:
    """One element in another form."""
    raw, value = data[one.start : one.end], data[one.value : one.end]
    if raw in unchanged:
        return raw
    if one.tag in (0x04, 0x80):
        return string(one.tag, value, rng)
    if not one.tag & ber.CONSTRUCTED:
        return bytes([one.tag]) + length(len(value), rng) + value
    inner = b"".join(written(data, child, rng, unchanged) for child in ber.children(data, one))
    return constructed(one.tag, inner, rng)


def another(data: bytes, seed: int) -> bytes:
    """The same structure in another BER."""
    return written(data, ber.first_slice(data, 0, len(data)), random.Random(seed), kept())


def read(cms: bytes) -> Opened:
    """Open a mail whose root this is."""
    return open_message(io.BytesIO(FIELDS + part(CMS, cms)), keys=keys())


def signed() -> bytes:
    return signed_data(ENTITY, [Signing()])


def inside() -> bytes:
    """The signed entity as it stands inside another layer."""
    return part(CMS, signed())


STRUCTURES: dict[str, Callable[[], bytes]] = {
    "signed": signed,
    "enveloped": lambda: enveloped_data(inside()),
    "enveloped with oaep": lambda: enveloped_data(
        inside(), [key_transport(KEY, keys()[0], oaep=hashes.SHA256(), label=b"label")], cek=KEY
    ),
    "enveloped by agreement": lambda: enveloped_data(
        inside(), [agreement(KEY, keys()[1], X963_SHA256, hashes.SHA256(), b"ukm")], cek=KEY
    ),
    "authenticated": lambda: auth_enveloped_data(inside()),
    "compressed": lambda: forge.compressed_data(inside()),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_any_legal_ber(name: str) -> None:
    """Lengths short, long and indefinite, one inside the other, strings in segments: what was signed is there."""
    der_form = STRUCTURES[name]()
    assert read(der_form).problem is None
    for seed in range(60):
        found = read(another(der_form, seed))
        assert (found.problem, found.detail) == (None, None), seed
        assert found.content is not None
        assert found.content.open().read() == ENTITY


@pytest.mark.parametrize("short", [0, 1, 2, 3, 4])
def test_a_definite_length_holds_what_is_inside(short: int) -> None:
    """R-ASN1: an indefinite value that ends behind the definite one around it is refused, be it by its last zero."""
    inner = signed_data(ENTITY, chunk=50)[2:-2]
    found = read(ber.header(0x30, len(inner) - short) + inner)
    assert found.problem is (Problem.MALFORMED if short else None)


@given(st.integers(0, 1 << 32))
def test_what_is_definite_is_not_touched(seed: int) -> None:
    """R-ATTRS: definite lengths stay octet by octet as they came, however they are written: they may be signed."""
    rng = random.Random(seed)
    made = b"\x30" + length(4, rng) + b"\x04\x02\0\0"
    assert ber.settled(made, 32, [0, 0]) == made
    assert ber.settled(b"\x30\x80" + made + b"\0\0", 32, [0, 0]) == ber.header(0x30, len(made)) + made


@pytest.mark.parametrize(
    "data", [b"\x30\x80\x04\x00", b"\x04\x80\0\0", b"\x30\x04\x30\x80\0\0", b"\x24\x80\x02\x01\x05\0\0"]
)
def test_what_is_no_ber(data: bytes) -> None:
    """An indefinite value without its end or outside its bounds, primitive, or a string of what is no string."""
    if data == b"\x30\x04\x30\x80\0\0":
        assert ber.settled(data, 32, [0, 0]) == b"\x30\x02\x30\x00"
        data = b"\x30\x03\x30\x80\0\0"
    with pytest.raises(Malformed):
        ber.settled(data, 32, [0, 0])
