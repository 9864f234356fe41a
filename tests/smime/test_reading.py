"""What the reader takes beyond the usual: authenticated ciphers, bound keys, archives, recipients of other kinds."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.modes import CBC

import forge
from dcc.smime import aead, der, enveloped
from dcc.smime.keys import KeyPair, load_pkcs8
from dcc.smime.seal import Profile
from dcc.smime.verdict import Opened, Problem
from forge import Signing, agreement, auth_enveloped_data, enveloped_data, key_transport, signed_data
from throwaway import ENCRYPT, ENTITY, multipart, opened, pair, part, sealed

Open = Callable[..., Opened]
CMS = "application/pkcs7-mime; name=smime.p7m"
SIGNED_MAIL = multipart(ENTITY, signed_data(ENTITY, enclosed=False))
MODES = [("gcm", 16), ("gcm", 32), ("ccm", 16), ("ccm", 24), ("ccm", 32), ("chacha20", 32)]
NAMES = {"gcm": "aes{}-gcm", "ccm": "aes{}-ccm", "chacha20": "chacha20-poly1305"}
ENGINES: dict[str, Any] = {"gcm": AESGCM, "ccm": AESCCM, "chacha20": ChaCha20Poly1305}


def through(context: aead.Decryptor, hidden: bytes, piece: int) -> bytes:
    """What a decryptor writes of these octets, given piece by piece."""
    buffer = memoryview(bytearray(aead.PIECE + 16))
    clear = b""
    for at in range(0, len(hidden), piece):
        clear += bytes(buffer[: context.update_into(hidden[at : at + piece], buffer)])
    return clear


@pytest.mark.parametrize("attributes", [0, 1, 14, 300, 70_000, 200_000])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65, 5000])
@pytest.mark.parametrize("mode", ENGINES)
def test_stream_equals_the_library(mode: str, size: int, attributes: int) -> None:
    """A composed cipher gives, in pieces of any length, what the library's own gives at once, and minds every part."""
    key, nonce = os.urandom(32), os.urandom(12)
    clear, beside = os.urandom(size), os.urandom(attributes)
    both = ENGINES[mode](key).encrypt(nonce, clear, beside or None)
    hidden, tag = both[:-16], both[-16:]
    for piece in (1 if size < 100 else 7, 16, aead.PIECE):
        context = aead.decryptor(mode, key, nonce, beside, size)
        assert through(context, hidden, piece) == clear
        context.finalize_with_tag(tag)
    wrong = [(hidden, beside, bytes([tag[0] ^ 1]) + tag[1:]), (hidden, beside + b"\0", tag)]
    if hidden:
        wrong.append((bytes([hidden[0] ^ 1]) + hidden[1:], beside, tag))
    for octets, other, end in wrong:
        context = aead.decryptor(mode, key, nonce, other, size)
        through(context, octets, aead.PIECE)
        with pytest.raises(InvalidTag):
            context.finalize_with_tag(end)


@pytest.mark.parametrize("length", [7, 11, 12, 13])
def test_ccm_nonces(length: int, open_cms_part: Open, reader: KeyPair) -> None:
    """CCM nonces of 7 to 13 octets are read, as long as the content fits their counter (RFC 5084 §3.1)."""
    cek = os.urandom(16)
    cms = auth_enveloped_data(
        SIGNED_MAIL, [key_transport(cek, reader)], cek=cek, mode="ccm", nonce=bytes(range(length))
    )
    assert open_cms_part(cms).problem is None
    with pytest.raises(ValueError, match="too long"):
        aead.decryptor("ccm", cek, bytes(13), b"", 1 << 16)


@pytest.mark.parametrize("bound", [False, True], ids=["plain", "bound"])
@pytest.mark.parametrize("chunk", [0, 900])
@pytest.mark.parametrize(("mode", "size"), MODES)
def test_authenticated(mode: str, size: int, chunk: int, bound: bool, open_cms_part: Open, reader: KeyPair) -> None:
    """AES-GCM, AES-CCM and ChaCha20-Poly1305, with attributes, in DER and BER, with and without RFC 9709."""
    cek = os.urandom(size)
    attributes = der.attribute(forge.CONTENT_TYPE, der.oid(forge.DATA))
    make = {"infos": [key_transport(cek, reader)], "cek": cek, "attributes": attributes, "mode": mode, "bound": bound}
    found = open_cms_part(auth_enveloped_data(SIGNED_MAIL, chunk=chunk, **make))
    assert found.problem is None
    assert found.layers[0].kind == "auth-enveloped"
    assert found.layers[0].algorithms["content"] == NAMES[mode].format(8 * size)
    assert found.layers[0].algorithms.get("derivation") == ("cek-hkdf-sha256" if bound else None)
    altered = open_cms_part(auth_enveloped_data(SIGNED_MAIL, spoil=1, **make))
    assert (altered.problem, altered.content, altered.layers) == (Problem.NOT_OPENED, None, ())


def test_rule_4_bound_key() -> None:
    """R-GCM: the key derived for one algorithm is that of the published example, and no other algorithm's (RFC 9709 B)."""
    key = bytes.fromhex("c702e7d0a9e064b09ba55245fb733cf3")
    gcm = bytes.fromhex("301b0609608648016503040106300e040c5c79058ba2f43447639d29e2")
    assert enveloped.content_key_derived(key, gcm).hex() == "2124ffb29fac4e0fbbc7d5d87492bff3"
    assert enveloped.content_key_derived(key, gcm.replace(b"\x01\x06", b"\x01\x02")) != key


def test_rule_4_downgrade_of_a_bound_key(open_cms_part: Open, reader: KeyPair) -> None:
    """R-GCM: octets of a bound GCM message offered again as CBC give nothing, under any outer type."""
    cek = os.urandom(32)
    cbc = der.algorithm(forge.CBC_OIDS[32], der.octets(bytes(16)))
    bound = der.algorithm(forge.CEK_HKDF, cbc)
    infos = [key_transport(cek, reader)]
    # The content is encrypted under the content key itself: the derivation must make another key of it.
    # (Another key leaves a right padding once in 256 times: then nothing in the payload is signed.)
    found = open_cms_part(enveloped_data(SIGNED_MAIL, infos, cek=cek, algorithm=bound))
    assert found.problem in {Problem.NOT_OPENED, Problem.NOT_SIGNED}
    assert found.content is None
    twice = der.algorithm(forge.CEK_HKDF, bound)
    assert open_cms_part(enveloped_data(SIGNED_MAIL, infos, cek=cek, algorithm=twice)).problem is Problem.MALFORMED
    bare = der.algorithm(forge.CEK_HKDF)
    assert open_cms_part(enveloped_data(SIGNED_MAIL, infos, cek=cek, algorithm=bare)).problem is Problem.WEAK


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes128-cbc", "aes256-gcm"])
@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_sealed_with_a_bound_key(cipher: Any, kind: str) -> None:
    """Our own mail with a bound key is read again."""
    reader = pair(kind, ENCRYPT, "reader")
    mail, _ = sealed(Profile(cipher=cipher, bound_key=True), recipient=reader.certificate)
    found = opened(mail, reader)
    assert found.problem is None
    assert found.layers[0].algorithms["derivation"] == "cek-hkdf-sha256"


@pytest.mark.parametrize(
    ("infos", "detail"),
    [
        ([der.tlv(0xA3, der.integer(0))], "pwri"),
        ([der.tlv(0xA2, der.integer(4))], "kekri"),
        ([der.tlv(0xA4, der.oid("1.2.3"), der.NULL)], "ori"),
        ([der.tlv(0xA2, der.integer(4)), der.tlv(0xA3, der.integer(0))], "kekri,pwri"),
        ([], "none"),
    ],
)
def test_other_recipients_are_named(infos: list[bytes], detail: str, open_cms_part: Open) -> None:
    """Password and key-encryption-key recipients are recognised and refused with their name (RFC 5652 §6.2)."""
    for cms in (enveloped_data(SIGNED_MAIL, infos), auth_enveloped_data(SIGNED_MAIL, infos)):
        found = open_cms_part(cms)
        assert (found.problem, found.detail, found.encrypted, found.decrypted) == (
            Problem.NOT_FOR_US, detail, True, False,
        )  # fmt: skip


def test_rule_14_weak_key_of_ours(open_cms_part: Open) -> None:
    """R-ALGO: mail to an RSA key of 1024 bits is an archive: closed without the switch, weak with it."""
    weak, cek = pair("rsa-1024", ENCRYPT, "reader"), os.urandom(32)
    cms = enveloped_data(SIGNED_MAIL, [key_transport(cek, weak)], cek=cek)
    closed = open_cms_part(cms, keys=[weak])
    assert (closed.problem, closed.decrypted, closed.content) == (Problem.WEAK, False, None)
    archive = open_cms_part(cms, keys=[weak], allow_legacy=True)
    assert (archive.problem, archive.decrypted, archive.intact) == (Problem.WEAK, True, True)


@pytest.mark.parametrize("version", [der.integer(58), der.integer(160), b""], ids=["128 bits", "40 bits", "absent"])
def test_rule_14_rc2(version: bytes, open_cms_part: Open, reader: KeyPair) -> None:
    """R-ALGO: RC2 with 128 bits is read behind the switch only, and weak; with fewer bits it is never read."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import RC2

    cek, vector = os.urandom(16), bytes(8)
    fill = 8 - len(SIGNED_MAIL) % 8
    encryptor = Cipher(RC2(cek), CBC(vector)).encryptor()
    hidden = encryptor.update(SIGNED_MAIL + bytes([fill]) * fill) + encryptor.finalize()
    parameters = der.sequence(version, der.octets(vector))
    body = der.sequence(
        der.integer(0),
        der.tlv(0x31, key_transport(cek, reader)),
        der.sequence(der.oid(forge.DATA), der.algorithm("1.2.840.113549.3.2", parameters), der.tlv(0x80, hidden)),
    )
    cms = forge.content_info(forge.ENVELOPED, body)
    assert open_cms_part(cms).content is None
    archive = open_cms_part(cms, allow_legacy=True)
    if version == der.integer(58):
        assert (archive.problem, archive.intact) == (Problem.WEAK, True)
    else:
        assert (archive.decrypted, archive.content) == (False, None)


ODD_ATTRIBUTES = {
    "Microsoft's key preference": der.attribute("1.3.6.1.4.1.311.16.4", der.sequence(der.sequence(), der.integer(7))),
    "an object descriptor": der.attribute("1.2.3.4", der.tlv(0x07, b"\xff\xfe")),
    "a real number": der.attribute("1.2.3.5", der.tlv(0x09, b"\x40\x00\x00")),
    "no value at all": der.attribute("1.2.3.6"),
    "nothing known": der.attribute("1.2.276.0.76.4.173", der.tlv(0x9E, b"\x00" * 40)),
}


@pytest.mark.parametrize("name", ODD_ATTRIBUTES)
def test_unknown_attributes_are_harmless(name: str, open_cms_part: Open, reader: KeyPair) -> None:
    """Attributes of Microsoft, NSS, KIM or nobody, signed, unsigned or unauthenticated, change nothing (RFC 5652 §5.3)."""
    odd = ODD_ATTRIBUTES[name]
    cek = os.urandom(32)
    for signer in (Signing(more=[odd]), Signing(unsigned=[odd])):
        inner = part(CMS, signed_data(ENTITY, [signer]))
        infos = [key_transport(cek, reader)]
        found = open_cms_part(auth_enveloped_data(inner, infos, cek=cek, attributes=odd, unauthenticated=odd))
        assert found.problem is None
        assert found.findings == ()


def test_compressed_between_every_layer(open_cms_part: Open) -> None:
    """Signed, compressed, encrypted and signed again, the innermost content comes out as it was (RFC 8551 §3.6)."""
    inner = part(CMS, forge.compressed_data(SIGNED_MAIL))
    found = open_cms_part(signed_data(part(CMS, enveloped_data(inner)), chunk=700))
    assert found.problem is None
    assert [layer.kind for layer in found.layers] == ["signed", "enveloped", "compressed", "signed"]
    assert found.content is not None
    assert found.content.open().read() == ENTITY


RFC9216 = [
    ("Alice", "4.1_Alice_s", "4.2_Alice_s", "4.3_Alice_s", "4.4_Alice_s", "sha256"),
    ("Bob", "5.1_Bob_s", "5.2_Bob_s", "5.3_Bob_s", "5.4_Bob_s", "sha256"),
    ("Carlos", "7.1_Carlos_s", "7.2_Carlos_s", "7.3_Carlos_s", "7.4_Carlos_s", "sha512"),
    ("Dana", "8.1_Dana_s", "8.2_Dana_s", "8.3_Dana_s", "8.4_Dana_s", "sha512"),
]


@pytest.mark.parametrize("row", RFC9216, ids=lambda row: row[0])
def test_rfc9216(row: tuple[str, ...], shared: Any) -> None:
    """Each person of RFC 9216 signs and reads: RSA keys for Alice and Bob, Ed25519 and X25519 for Carlos and Dana."""
    folder = shared / "vectors/rfc/rfc9216"

    def person(certificate: str, key: str) -> KeyPair:
        read = [next(folder.glob(f"{start}*")).read_bytes() for start in (key, certificate)]
        return load_pkcs8(*read)

    signer, reader = person(row[1], row[2]), person(row[3], row[4])
    digest: Any = row[5]
    mail, _ = sealed(Profile(digest=digest), signer=signer, recipient=reader.certificate)
    found = opened(mail, reader)
    assert (found.problem, found.findings) == (None, ())
    assert found.layers[0].algorithms["key"] == ("rsa" if row[5] == "sha256" else "dhSinglePass-stdDH-hkdf-sha256")
    assert found.signers[0].signature_algorithm == ("rsa" if row[5] == "sha256" else "ed25519")
    assert opened(mail, pair("rsa", ENCRYPT, "other")).problem is Problem.NOT_FOR_US


ORIGINATORS: dict[str, tuple[dict[str, Any], Problem | None]] = {
    "no parameters": ({}, None),
    "the curve's name": ({"parameters": der.oid("1.2.840.10045.3.1.7")}, None),
    "NULL": ({"parameters": der.NULL}, None),
    "another curve's name": ({"parameters": der.oid("1.3.132.0.34")}, Problem.NOT_OPENED),
    "a curve spelt out": ({"parameters": der.sequence(der.integer(1))}, None),
    "text for a curve": ({"parameters": der.octets(b"P-256")}, Problem.NOT_OPENED),
    "two parameters": ({"parameters": der.NULL + der.NULL}, Problem.NOT_OPENED),
    "unused bits": ({"unused_bits": 1}, Problem.NOT_OPENED),
}


@pytest.mark.parametrize("name", ORIGINATORS)
def test_originator(name: str, open_cms_part: Open) -> None:
    """An ephemeral key that names another curve opens nothing (RFC 5753 §3.1.1); one spelt out is not looked at."""
    options, problem = ORIGINATORS[name]
    to, cek = pair("p256", ENCRYPT, "reader"), os.urandom(32)
    info = agreement(cek, to, "1.3.132.1.11.1", hashes.SHA256(), **options)
    assert open_cms_part(auth_enveloped_data(SIGNED_MAIL, [info], cek=cek), keys=[to]).problem is problem
