"""EnvelopedData, AuthEnvelopedData and CompressedData as the reader opens them (R-ROOT, R-AUTH, R-GCM, R-ORACLE, R-BOMB)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import x25519

import forge
from dcc.smime import der
from dcc.smime.keys import KeyPair
from dcc.smime.limits import Limits
from dcc.smime.verdict import Opened, Problem
from forge import agreement, auth_enveloped_data, enveloped_data, key_transport, signed_data
from throwaway import ENCRYPT, ENTITY, multipart, pair, part

Open = Callable[..., Opened]
CMS = "application/pkcs7-mime; name=smime.p7m"
SIGNED_MAIL = multipart(ENTITY, signed_data(ENTITY, enclosed=False))
OPAQUE_MAIL = part(CMS, signed_data(ENTITY, chunk=1000))


@pytest.mark.parametrize("inner", [SIGNED_MAIL, OPAQUE_MAIL], ids=["detached", "opaque"])
@pytest.mark.parametrize("chunk", [0, 16, 1000, 70_000])
@pytest.mark.parametrize("size", [16, 24, 32])
def test_cbc(size: int, chunk: int, inner: bytes, open_cms_part: Open, reader: KeyPair) -> None:
    """AES-128, -192 and -256 in CBC, in DER and in BER segments, around a detached or an opaque signature."""
    cek = os.urandom(size)
    found = open_cms_part(enveloped_data(inner, [key_transport(cek, reader)], cek=cek, chunk=chunk))
    assert found.problem is None
    assert (found.encrypted, found.decrypted, found.signed, found.intact) == (True, True, True, True)
    assert [layer.kind for layer in found.layers] == ["enveloped", "signed"]
    assert found.layers[0].algorithms == {"content": f"aes{8 * size}-cbc", "key": "rsa"}
    assert found.content is not None
    assert found.content.open().read() == ENTITY


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 31, 32])
def test_padding_of_every_length(length: int, open_cms_part: Open) -> None:
    """The padding is taken off whatever the length of the content."""
    body = b"x" * length
    found = open_cms_part(enveloped_data(part(CMS, signed_data(body, chunk=5)), chunk=1 + length))
    assert found.content is not None
    assert found.content.open().read() == body


@pytest.mark.parametrize(
    "digest", [hashes.SHA1(), hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda d: d.name
)
@pytest.mark.parametrize("label", [None, b"dcc"])
def test_oaep(digest: Any, label: bytes | None, open_cms_part: Open, reader: KeyPair) -> None:
    """RSA-OAEP with any digest, and with a label."""
    cek = os.urandom(32)
    info = key_transport(cek, reader, oaep=digest, label=label)
    found = open_cms_part(enveloped_data(SIGNED_MAIL, [info], cek=cek))
    assert found.problem is None
    assert found.layers[0].algorithms["key"] == f"rsa-oaep-{digest.name}"


def test_recipient_by_key_identifier_among_others(open_cms_part: Open, reader: KeyPair) -> None:
    """Our key is found by its subject key identifier, behind RSA, password and unknown recipients of others."""
    cek = os.urandom(32)
    infos = [
        key_transport(cek, pair("rsa", ENCRYPT, "other")),
        der.tlv(0xA3, der.integer(0)),
        der.tlv(0xA4, der.oid("1.2.3")),
        key_transport(cek, reader, by_key_identifier=True),
    ]
    assert open_cms_part(enveloped_data(SIGNED_MAIL, infos, cek=cek)).problem is None


@pytest.mark.parametrize(
    ("kind", "name", "digest", "ukm"),
    [
        ("p256", "1.3.133.16.840.63.0.2", hashes.SHA1(), None),
        ("p256", "1.3.132.1.11.1", hashes.SHA256(), b"u" * 8),
        ("p384", "1.3.132.1.11.2", hashes.SHA384(), None),
        ("p521", "1.3.132.1.11.3", hashes.SHA512(), None),
        ("p256", "1.3.132.1.14.1", hashes.SHA256(), None),
        ("p256", "1.2.840.113549.1.9.16.3.19", hashes.SHA256(), None),
    ],
)
def test_key_agreement(kind: str, name: str, digest: Any, ukm: bytes | None, open_cms_part: Open) -> None:
    """ECDH on P-256, P-384 and P-521, standard and cofactor, with the X9.63 and the HKDF derivation."""
    cek = os.urandom(32)
    to = pair(kind, ENCRYPT, "reader")
    found = open_cms_part(enveloped_data(SIGNED_MAIL, [agreement(cek, to, name, digest, ukm)], cek=cek), keys=[to])
    assert found.problem is None
    assert "DH" in found.layers[0].algorithms["key"]


def test_key_agreement_x25519(open_cms_part: Open) -> None:
    """X25519 with HKDF (RFC 8418)."""
    cek = os.urandom(32)
    to = replace(pair("p256", ENCRYPT, "reader"), key=x25519.X25519PrivateKey.generate())
    info = agreement(cek, to, "1.2.840.113549.1.9.16.3.19", hashes.SHA256())
    assert open_cms_part(enveloped_data(SIGNED_MAIL, [info], cek=cek), keys=[to]).problem is None


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize("chunk", [0, 900])
def test_rule_4_gcm(size: int, chunk: int, open_cms_part: Open, reader: KeyPair) -> None:
    """R-GCM: AES-GCM with 16-octet tags, authenticated attributes as associated data, unauthenticated ones ignored."""
    cek = os.urandom(size)
    attributes = der.attribute(forge.CONTENT_TYPE, der.oid(forge.DATA))
    kim = der.attribute("1.2.276.0.76.4.173", der.octets(b"anything"))
    cms = auth_enveloped_data(
        SIGNED_MAIL, [key_transport(cek, reader)], cek=cek, attributes=attributes, unauthenticated=kim, chunk=chunk
    )
    found = open_cms_part(cms)
    assert found.problem is None
    assert found.layers[0].kind == "auth-enveloped"


def test_rule_4_gcm_altered(open_cms_part: Open) -> None:
    """R-GCM: tag, ciphertext or attributes altered: not opened, nothing in clear."""
    attributes = der.attribute(forge.CONTENT_TYPE, der.oid(forge.DATA))
    good = auth_enveloped_data(SIGNED_MAIL, attributes=attributes)
    place = len(good) - 60 - len(attributes)
    variants = [
        auth_enveloped_data(SIGNED_MAIL, spoil=1),
        good.replace(attributes, der.attribute(forge.CONTENT_TYPE, der.oid(forge.SIGNED))),
        good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :],
    ]
    for cms in variants:
        found = open_cms_part(cms)
        assert (found.problem, found.decrypted, found.content, found.layers) == (Problem.NOT_OPENED, False, None, ())


def test_rule_4_short_tags_and_other_nonces(open_cms_part: Open) -> None:
    """R-GCM: a tag below 16 octets or a nonce that is not 12 octets long is refused, though right by arithmetic."""
    for cms in (auth_enveloped_data(SIGNED_MAIL, tag_size=12), auth_enveloped_data(SIGNED_MAIL, nonce=bytes(16))):
        assert open_cms_part(cms).problem is Problem.WEAK


def test_rule_4_no_downgrade(open_cms_part: Open) -> None:
    """R-GCM: a GCM algorithm in EnvelopedData and a CBC algorithm in AuthEnvelopedData are refused unread."""
    gcm = der.algorithm(forge.GCM_OIDS[32], der.sequence(der.octets(bytes(12)), der.integer(16)))
    assert open_cms_part(enveloped_data(SIGNED_MAIL, algorithm=gcm)).problem is Problem.WEAK
    cbc = enveloped_data(SIGNED_MAIL).replace(der.oid(forge.ENVELOPED), der.oid(forge.AUTH_ENVELOPED), 1)
    assert open_cms_part(cbc).content is None


def test_rule_3_without_signature(open_cms_part: Open) -> None:
    """R-AUTH: encrypted and not signed: said so, and no content."""
    found = open_cms_part(enveloped_data(ENTITY))
    assert (found.problem, found.decrypted, found.signed, found.content) == (Problem.NOT_SIGNED, True, False, None)


def test_rule_1_root_only(open_mail: Open, open_cms_part: Open) -> None:
    """R-ROOT: CMS below the root is not decrypted, and a signature below the payload's root covers nothing."""
    below = b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n"
    sealed = below + part(CMS, enveloped_data(SIGNED_MAIL)) + b"\r\n--m--\r\n"
    found = open_mail(sealed)
    assert (found.problem, found.encrypted) == (Problem.NOT_SIGNED, False)
    footer = below + SIGNED_MAIL + b"\r\n--m\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--m--\r\n"
    assert open_cms_part(enveloped_data(footer)).problem is Problem.NOT_SIGNED


def test_rule_1_signature_around_the_envelope(open_cms_part: Open) -> None:
    """R-ROOT: signing what is encrypted does not sign what is inside; triple wrapping does."""
    hidden = part(CMS, enveloped_data(ENTITY))
    around = open_cms_part(signed_data(hidden))
    assert (around.problem, around.signed, around.content) == (Problem.NOT_SIGNED, False, None)
    triple = part(CMS, enveloped_data(SIGNED_MAIL))
    found = open_cms_part(signed_data(triple))
    assert found.problem is None
    assert [layer.kind for layer in found.layers] == ["signed", "enveloped", "signed"]


def test_rule_1_every_signature_counts(open_cms_part: Open) -> None:
    """R-SIGNERS: an outer signature that is not good is not forgotten for an inner one that is."""
    bad = signed_data(part(CMS, enveloped_data(SIGNED_MAIL)), [forge.Signing(signature=bytes(256))])
    assert open_cms_part(bad).problem is Problem.NOT_INTACT


def oracle_variants(reader: KeyPair) -> dict[str, bytes]:
    """Everything that can go wrong between choosing a recipient and trusting the signature."""
    cek = os.urandom(32)
    right = enveloped_data(SIGNED_MAIL, [key_transport(cek, reader)], cek=cek)
    size = 256

    def raw(value: bytes) -> bytes:
        return enveloped_data(SIGNED_MAIL, [key_transport(cek, reader, raw=value)], cek=cek)

    return {
        "random key block": raw(b"\x00" + os.urandom(size - 1)),
        "key block of zeros": raw(bytes(size)),
        "key block not below the modulus": raw(b"\xff" * size),
        "key block one octet short": raw(os.urandom(size - 1)),
        "empty key block": raw(b""),
        "content key of 16 octets": enveloped_data(SIGNED_MAIL, [key_transport(os.urandom(16), reader)], cek=cek),
        "another content key": enveloped_data(SIGNED_MAIL, [key_transport(os.urandom(32), reader)], cek=cek),
        "no padding": enveloped_data(SIGNED_MAIL + bytes(-len(SIGNED_MAIL) % 16), pad=False),
        "last block lost": enveloped_data(b"x" * 64 + bytes(16), pad=False),
        "nothing encrypted": enveloped_data(b"", pad=False),
        "half a block": right.replace(right[-16:], right[-24:-16]),
        "ASN.1 inside": enveloped_data(part(CMS, signed_data(ENTITY)[:-9])),
        "not ASN.1 inside": enveloped_data(part(CMS, b"hello")),
        "unknown type inside": enveloped_data(part(CMS, forge.content_info("1.2.3.4", der.NULL))),
    }


VARIANTS = list(oracle_variants(pair("rsa", ENCRYPT, "reader")))


@pytest.mark.parametrize("name", VARIANTS)
def test_rule_13_one_outcome(name: str, open_cms_part: Open, reader: KeyPair) -> None:
    """R-ORACLE: whatever fails after the recipient was selected has one outcome, and no content."""
    found = open_cms_part(oracle_variants(reader)[name])
    assert found.content is None
    assert found.encrypted
    assert not found.intact
    if "key" in name and found.problem is Problem.NOT_SIGNED:
        # A random key leaves a right padding once in 256 times: the payload is then not signed, like any other garbage
        found = open_cms_part(oracle_variants(reader)[name])
    assert found.problem is Problem.NOT_OPENED


def test_rule_13_random_key_is_substituted(open_cms_part: Open, reader: KeyPair) -> None:
    """R-ORACLE: a content key that cannot be had is replaced by a random one, drawn on good messages too (RFC 3218)."""
    drawn: list[int] = []

    def source(count: int) -> bytes:
        drawn.append(count)
        return os.urandom(count)

    for name in ("random key block", "key block one octet short", "content key of 16 octets"):
        open_cms_part(oracle_variants(reader)[name], random_bytes=source)
    open_cms_part(enveloped_data(SIGNED_MAIL), random_bytes=source)
    assert drawn == [32, 32, 32, 32]


def test_not_for_us(open_cms_part: Open) -> None:
    """No recipient of ours: said with the kinds that were there, before anything is decrypted."""
    cek = os.urandom(32)
    kek = der.tlv(0xA2, der.integer(4))
    found = open_cms_part(
        enveloped_data(SIGNED_MAIL, [key_transport(cek, pair("rsa", ENCRYPT, "other")), kek], cek=cek)
    )
    assert (found.problem, found.detail, found.encrypted, found.decrypted) == (
        Problem.NOT_FOR_US, "kekri,ktri", True, False,
    )  # fmt: skip


def test_rule_18_encrypted_to_a_signature_key(open_cms_part: Open) -> None:
    """R-USAGE: decryptable by arithmetic, and flagged."""
    cek = os.urandom(32)
    signer = pair()
    found = open_cms_part(enveloped_data(SIGNED_MAIL, [key_transport(cek, signer)], cek=cek), keys=[signer])
    assert "R-USAGE" in found.findings


def test_rule_14_legacy_ciphers(open_cms_part: Open) -> None:
    """R-ALGO: 3DES is not read without the switch, and never believed with it."""
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import CBC

    cek, vector = os.urandom(24), bytes(8)
    fill = 8 - len(SIGNED_MAIL) % 8
    encryptor = Cipher(TripleDES(cek), CBC(vector)).encryptor()
    hidden = encryptor.update(SIGNED_MAIL + bytes([fill]) * fill) + encryptor.finalize()
    body = der.sequence(
        der.integer(0),
        der.tlv(0x31, key_transport(cek, pair("rsa", ENCRYPT, "reader"))),
        der.sequence(
            der.oid(forge.DATA), der.algorithm("1.2.840.113549.3.7", der.octets(vector)), der.tlv(0x80, hidden)
        ),
    )
    cms = forge.content_info(forge.ENVELOPED, body)
    closed = open_cms_part(cms)
    assert (closed.problem, closed.detail, closed.decrypted) == (Problem.WEAK, "des-ede3-cbc", False)
    archive = open_cms_part(cms, allow_legacy=True)
    assert (archive.problem, archive.intact) == (Problem.WEAK, True)


def test_compressed(open_cms_part: Open) -> None:
    """CompressedData around or inside the envelope is read, once."""
    once = part(CMS, forge.compressed_data(SIGNED_MAIL))
    assert open_cms_part(enveloped_data(once)).problem is None
    twice = open_cms_part(enveloped_data(part(CMS, forge.compressed_data(once))))
    assert (twice.problem, twice.detail) == (Problem.LIMIT, "compressed_layers")


def test_rule_19_bombs(open_cms_part: Open) -> None:
    """R-BOMB: what inflates beyond the ratio or the limit is refused while inflating."""
    bomb = forge.compressed_data(bytes(30 << 20))
    ratio = open_cms_part(bomb)
    assert (ratio.problem, ratio.detail) == (Problem.LIMIT, "decompressed")
    size = open_cms_part(forge.compressed_data(os.urandom(4096)), limits=Limits(decompressed=4095))
    assert (size.problem, size.detail) == (Problem.LIMIT, "decompressed")
    assert open_cms_part(forge.compressed_data(os.urandom(4095)), limits=Limits(decompressed=4095)).detail is None


def test_rule_19_layers(open_cms_part: Open) -> None:
    """R-BOMB: three CMS layers are read, a fourth is over the limit."""
    three = signed_data(part(CMS, enveloped_data(SIGNED_MAIL)))
    assert open_cms_part(three).problem is None
    four = open_cms_part(signed_data(part(CMS, three)))
    assert (four.problem, four.detail) == (Problem.LIMIT, "cms_layers")


def test_limit_of_recipients(open_cms_part: Open, reader: KeyPair) -> None:
    """A thousand recipients are read, one more is over the limit."""
    cek = os.urandom(32)
    other = key_transport(cek, pair("rsa", ENCRYPT, "other"))
    ours = key_transport(cek, reader)
    assert open_cms_part(enveloped_data(SIGNED_MAIL, [other] * 999 + [ours], cek=cek)).problem is None
    many = open_cms_part(enveloped_data(SIGNED_MAIL, [other] * 1000 + [ours], cek=cek))
    assert (many.problem, many.detail) == (Problem.LIMIT, "recipient_infos")


def test_truncated_base64(open_mail: Open) -> None:
    """R-BOMB: base64 that was cut is an error, wherever it was cut."""
    mail = part(CMS, signed_data(ENTITY))
    for cut in (3, 5, 200):
        assert open_mail(mail[:-cut]).problem is Problem.MALFORMED
