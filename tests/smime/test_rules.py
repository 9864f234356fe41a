"""The rules of reading, each by its name, on mails made with fresh keys: what is accepted, and what is refused for it.

The names are those of the rules that `smime/` cites beside its lines; the rules of certificates, of the gateway's life
and of sending are in tests/gateway/test_rules.py.
"""

from __future__ import annotations

import io
import socket
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

import forge
from dcc.smime import der
from dcc.smime.open import open_message
from dcc.smime.verdict import Opened, Problem
from forge import Signing, auth_enveloped_data, compressed_data, enveloped_data, key_transport, signed_data
from rulebook import numbered
from throwaway import ENCRYPT, ENTITY, FIELDS, multipart, pair, part, seeded

CMS = "application/pkcs7-mime; name=smime.p7m"
OTHER = "text/plain"


def cms(data: bytes, kind: str = CMS) -> bytes:
    """A mail whose root is this ContentInfo."""
    return FIELDS + part(kind, data)


def inner(*signers: Signing, **options: Any) -> bytes:
    """A signed entity, as it stands inside an envelope."""
    return part(CMS, signed_data(ENTITY, list(signers) or None, **options))


def envelope(entity: bytes, **options: Any) -> bytes:
    """A mail encrypted to the reader."""
    return cms(enveloped_data(entity, **options))


def without(field: bytes) -> bytes:
    """A good mail that lacks a field."""
    lines = FIELDS.split(b"\r\n")
    head = b"\r\n".join(line for line in lines if not line.startswith(field + b":"))
    return head + part(CMS, enveloped_data(inner()))


def doubled(field: bytes, mail: bytes | None = None) -> bytes:
    """A good mail in which a field stands twice."""
    return field + b": x@dcc.example\r\n" + (envelope(inner()) if mail is None else mail)


def mixed(entity: bytes) -> bytes:
    """A multipart/mixed that begins with this part: what gadgets are hung around."""
    return (
        b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n"
        + entity + b"\r\n--m\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--m--\r\n"
    )  # fmt: skip


def signer_info(change: Callable[[bytes], bytes]) -> bytes:
    """A mail whose only SignerInfo was changed."""

    @dataclass
    class Changed(Signing):
        def info(self, content: bytes) -> bytes:
            return change(Signing.info(self, content))

    return cms(signed_data(ENTITY, [Changed()]))


def behind(info: bytes) -> bytes:
    """Something behind the signature, inside the SignerInfo."""
    body = info[4:]
    return der.tlv(0x30, body, der.octets(b"x"))


def long_version(info: bytes) -> bytes:
    """The version in two octets."""
    return der.tlv(0x30, b"\x02\x02\x00\x01", info[4 + 3 :])


COUNTERSIGNED = der.attribute("1.2.840.113549.1.9.6", der.sequence(der.integer(1), der.octets(b"not a SignerInfo")))
MICROSOFT = der.attribute("1.3.6.1.4.1.311.16.4", der.sequence(b"\x30\x00", der.integer(7)))
KIM = der.attribute("1.2.276.0.76.4.173", der.set_of(der.octets(b"x")))

# name -> (rule, mail)
ACCEPTED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "encrypted root": ("R-ROOT", lambda: envelope(inner())),
    "triple wrapped": ("R-ROOT", lambda: cms(signed_data(part(CMS, enveloped_data(inner()))))),
    "a picture to be fetched": ("R-NOFETCH", lambda: cms(signed_data(
        b'Content-Type: text/html\r\n\r\n<img src="http://192.0.2.1/x.png">\r\n'))),
    "encrypted and signed": ("R-AUTH", lambda: envelope(inner())),
    "aes-256-gcm": ("R-GCM", lambda: cms(auth_enveloped_data(inner()))),
    "gcm with attributes": ("R-GCM", lambda: cms(auth_enveloped_data(inner(), unauthenticated=KIM))),
    "two good signers": ("R-SIGNERS", lambda: envelope(inner(Signing(), Signing(pair("p256"))))),
    "detached": ("R-ECONTENT", lambda: FIELDS + multipart(ENTITY, signed_data(ENTITY, enclosed=False))),
    "opaque": ("R-ECONTENT", lambda: cms(signed_data(ENTITY))),
    "unknown attribute": ("R-ATTRS", lambda: cms(signed_data(ENTITY, [Signing(more=[MICROSOFT])]))),
    "countersigned": ("R-ATTRS", lambda: cms(signed_data(ENTITY, [Signing(unsigned=[COUNTERSIGNED])]))),
    "each field once": ("R-FROM", lambda: envelope(inner())),
    "octet-stream named p7m": ("R-CT", lambda: cms(signed_data(ENTITY), "application/octet-stream; name=x.p7m")),
    "octet-stream named p7s": ("R-CT", lambda: cms(signed_data(ENTITY), "application/octet-stream; name=X.P7S")),
    "whole": ("R-PARTIAL", lambda: envelope(inner())),
    "a good padding": ("R-ORACLE", lambda: envelope(inner())),
    "rsa 2048 sha256": ("R-ALGO", lambda: cms(signed_data(ENTITY))),
    "pss": ("R-ALGO", lambda: cms(signed_data(ENTITY, [Signing(pss_salt=32)]))),
    "encryption certificate": ("R-USAGE", lambda: envelope(inner())),
    "compressed once": ("R-BOMB", lambda: cms(signed_data(part(CMS, compressed_data(ENTITY))))),
    "ber of indefinite length": ("R-ASN1", lambda: cms(enveloped_data(inner(chunk=7), chunk=1000))),
}  # fmt: skip


@dataclass(frozen=True)
class Refused:
    """A mail, the problem that it ends with, and the rule that the report names."""

    rule: str
    mail: Callable[[], bytes]
    problem: Problem
    named: str | None = None


def oracle(name: str) -> bytes:
    """The variants of a mail that cannot be opened, each broken at another place after a recipient was selected."""
    reader, key = pair("rsa", ENCRYPT, "reader"), bytes(range(32))
    whole = enveloped_data(inner(), cek=key)
    if name == "rsa padding":
        return cms(enveloped_data(inner(), [key_transport(key, reader, raw=b"\x01" * 256)], cek=key))
    if name == "rsa length":
        return cms(enveloped_data(inner(), [key_transport(key, reader, raw=b"\x01" * 255)], cek=key))
    if name == "key length":
        return cms(enveloped_data(inner(), [key_transport(key[:16], reader)], cek=key))
    if name == "cbc padding":
        return cms(whole[:-17] + bytes([whole[-17] ^ 0x80]) + whole[-16:])  # turns the padding's last octet
    if name == "gcm tag":
        return cms(auth_enveloped_data(inner(), spoil=1))
    return cms(enveloped_data(part(CMS, signed_data(ENTITY)[:-9] + bytes(9)), cek=key))


REFUSED: dict[str, Refused] = {
    "encrypted inside a multipart": Refused("R-ROOT", lambda: FIELDS + mixed(part(CMS, enveloped_data(inner()))),
                                            Problem.NOT_SIGNED),
    "signed below the root": Refused("R-ROOT", lambda: envelope(mixed(inner())), Problem.NOT_SIGNED),
    "signed around the envelope only": Refused("R-ROOT", lambda: cms(signed_data(part(CMS, enveloped_data(ENTITY)))),
                                               Problem.NOT_SIGNED),
    "external body": Refused("R-NOFETCH", lambda: FIELDS + b"Content-Type: message/external-body; access-type=URL;\r\n"
                             b' URL="http://192.0.2.1/smime.p7m"\r\n\r\nContent-Type: application/pkcs7-mime\r\n\r\n',
                             Problem.NOT_SIGNED),
    "encrypted only": Refused("R-AUTH", lambda: envelope(ENTITY), Problem.NOT_SIGNED),
    "altered tag": Refused("R-GCM", lambda: cms(auth_enveloped_data(inner(), spoil=1)), Problem.NOT_OPENED),
    "tag of 12 octets": Refused("R-GCM", lambda: cms(auth_enveloped_data(inner(), tag_size=12)), Problem.WEAK),
    "nonce of 16 octets": Refused("R-GCM", lambda: cms(auth_enveloped_data(inner(), nonce=bytes(16))), Problem.WEAK),
    "gcm in the other type": Refused("R-GCM", lambda: cms(enveloped_data(inner(), algorithm=der.algorithm(
        forge.GCM_OIDS[32], der.sequence(der.octets(bytes(12)), der.integer(16))))), Problem.WEAK),
    "one signer of two false": Refused("R-SIGNERS", lambda: envelope(inner(Signing(), Signing(signature=bytes(256)))),
                                       Problem.NOT_INTACT),
    "certificates only": Refused("R-SIGNERS", lambda: cms(signed_data(b"", [], certificates=[pair().certificate],
                                 enclosed=False)), Problem.NOT_SIGNED, "R-SIGNERS"),
    "content in both places": Refused("R-ECONTENT", lambda: FIELDS + multipart(ENTITY, signed_data(ENTITY)),
                                      Problem.AMBIGUOUS, "R-ECONTENT"),
    "three parts": Refused("R-ECONTENT", lambda: FIELDS + multipart(ENTITY, signed_data(ENTITY, enclosed=False)).replace(
        b"--b--", b"--b\r\nContent-Type: text/plain\r\n\r\nmore\r\n--b--"), Problem.AMBIGUOUS, "R-ECONTENT"),
    "no contentType attribute": Refused("R-ATTRS", lambda: cms(signed_data(ENTITY, [Signing(content_type=None)])),
                                        Problem.NOT_INTACT, "R-ATTRS"),
    "attributes as content": Refused("R-ATTRS", lambda: cms(signed_data(
        der.tlv(0x31, *Signing().signed_attributes(ENTITY)), [Signing(attributes=False)])), Problem.NOT_INTACT,
        "R-ATTRS"),
    "two From": Refused("R-FROM", lambda: doubled(b"From"), Problem.AMBIGUOUS, "R-FROM"),
    **{f"two {name}": Refused("R-FROM", lambda name=name: doubled(name.encode()), Problem.AMBIGUOUS, "R-HEADERS")
       for name in ("Date", "To", "Subject", "MIME-Version", "Content-Type")},
    "two Subject under the seal": Refused("R-FROM", lambda: envelope(part(CMS, signed_data(
        b"Subject: a\r\nSubject: b\r\n" + ENTITY))), Problem.AMBIGUOUS, "R-HEADERS"),
    "octet-stream named pdf": Refused("R-CT", lambda: cms(signed_data(ENTITY), "application/octet-stream; name=x.pdf"),
                                      Problem.NOT_SIGNED),
    "cms called text": Refused("R-CT", lambda: cms(signed_data(ENTITY), OTHER), Problem.NOT_SIGNED),
    "pgp protocol": Refused("R-CT", lambda: FIELDS + multipart(ENTITY, signed_data(ENTITY, enclosed=False)).replace(
        b"application/pkcs7-signature", b"application/pgp-signature"), Problem.NOT_SIGNED),
    "message/partial": Refused("R-PARTIAL", lambda: FIELDS + b"Content-Type: message/partial; id=a; number=1; total=1"
                               b"\r\n\r\n" + envelope(inner()), Problem.NOT_SIGNED),
    "uuencoded": Refused("R-PARTIAL", lambda: FIELDS + b"Content-Type: application/pkcs7-mime\r\n"
                         b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 smime.p7m\r\n#0V%T\r\n`\r\nend\r\n",
                         Problem.MALFORMED),
    "yEnc": Refused("R-PARTIAL", lambda: FIELDS + b"Content-Type: text/plain\r\n\r\n=ybegin line=128 size=3 name="
                    b"smime.p7m\r\n\x9c\x9d\x9e\r\n=yend size=3\r\n", Problem.NOT_SIGNED),
    "tnef": Refused("R-PARTIAL", lambda: FIELDS + part("application/ms-tnef; name=winmail.dat", signed_data(ENTITY)),
                    Problem.NOT_SIGNED),
    **{name: Refused("R-ORACLE", lambda name=name: oracle(name), Problem.NOT_OPENED)
       for name in ("rsa padding", "rsa length", "key length", "cbc padding", "gcm tag")},
    "sha-1": Refused("R-ALGO", lambda: cms(signed_data(ENTITY, [Signing(digest="sha1")])), Problem.WEAK, "R-ALGO"),
    "rsa 1024": Refused("R-ALGO", lambda: cms(signed_data(ENTITY, [Signing(pair("rsa-1024"))])), Problem.WEAK,
                        "R-ALGO"),
    "pss with a long salt": Refused("R-ALGO", lambda: cms(signed_data(ENTITY, [Signing(pss_salt=48)])), Problem.WEAK,
                                    "R-ALGO"),
    "compressed twice": Refused("R-BOMB", lambda: cms(compressed_data(part(CMS, compressed_data(ENTITY)))),
                                Problem.LIMIT),
    "four layers": Refused("R-BOMB", lambda: cms(signed_data(part(CMS, signed_data(part(CMS, signed_data(inner()))))))
                           , Problem.LIMIT),
    "a bomb": Refused("R-BOMB", lambda: cms(bomb()), Problem.LIMIT),
    "truncated base64": Refused("R-BOMB", lambda: cms(signed_data(ENTITY)).rstrip(b"=\r\n")[:-1], Problem.MALFORMED),
    "trailing bytes": Refused("R-ASN1", lambda: cms(signed_data(ENTITY) + b"x"), Problem.MALFORMED),
    "a length beyond the end": Refused("R-ASN1", lambda: cms(b"\x30\x83\xff\xff\xff" + signed_data(ENTITY)[4:]),
                                       Problem.MALFORMED),
    "trailing bytes of an envelope": Refused("R-ASN1", lambda: cms(enveloped_data(inner()) + b"x"), Problem.NOT_OPENED),
    "trailing bytes behind a tag": Refused("R-ASN1", lambda: cms(auth_enveloped_data(inner()) + b"x"), Problem.NOT_OPENED),
    "behind the signature": Refused("R-ASN1", lambda: signer_info(behind), Problem.MALFORMED),
    "version in two octets": Refused("R-ASN1", lambda: signer_info(long_version), Problem.MALFORMED),
}  # fmt: skip


@cache
def bomb() -> bytes:
    """Three megabytes of nothing in three kilobytes."""
    packed = zlib.compress(bytes(3 << 20), 9)
    info = der.sequence(der.oid(forge.DATA), der.tlv(0xA0, der.octets(packed)))
    body = der.sequence(der.integer(0), der.algorithm("1.2.840.113549.1.9.16.3.8"), info)
    return forge.content_info(forge.COMPRESSED, body)


def opened_with(seed: int) -> Callable[[bytes], Opened]:
    """Open with the reader's key; keys that are put in the place of unreadable ones come from this seed."""
    key = pair("rsa", ENCRYPT, "reader")
    return lambda mail: open_message(io.BytesIO(mail), keys=[key], random_bytes=seeded(seed))


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Opened]:
    """Open a mail with the reader's key; whoever wants the network fails."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a mail made the reader use the network (R-NOFETCH)")

    monkeypatch.setattr(socket, "socket", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)
    return opened_with(1)


@pytest.mark.parametrize("name", [pytest.param(name, id=numbered(rule, name)) for name, (rule, _) in ACCEPTED.items()])
def test_accepted(name: str, read: Callable[[bytes], Opened]) -> None:
    """What the rule allows is intact, and its content is what was signed."""
    found = read(ACCEPTED[name][1]())
    assert found.problem is None
    assert found.intact
    assert found.content is not None


@pytest.mark.parametrize("name", [pytest.param(name, id=numbered(one.rule, name)) for name, one in REFUSED.items()])
def test_refused(name: str, read: Callable[[bytes], Opened]) -> None:
    """What the rule forbids ends with its problem, names the rule where it is not an oracle, and gives no content."""
    one = REFUSED[name]
    mail = one.mail()
    found = read(mail)
    if one.rule == "R-ORACLE" and found.problem is Problem.NOT_SIGNED:
        found = opened_with(2)(mail)  # one garbage in 256 ends like a padding
    assert found.problem is one.problem
    assert found.content is None
    if one.named is not None:
        assert one.named in (*found.findings, found.detail)


def test_rule_13_r_oracle_one_outcome() -> None:
    """R-ORACLE: wherever it breaks after a recipient was selected, the answers are the same, and no detail is kept."""
    mails = [oracle(name) for name in ("rsa padding", "rsa length", "key length", "cbc padding")]
    tried = [[opened_with(seed)(mail) for seed in range(4)] for mail in mails]
    # One garbage in 256 ends like a padding, and is then not signed
    found = [next(one for one in four if one.problem is not Problem.NOT_SIGNED) for four in tried]
    assert {(one.problem, one.detail, one.findings, one.decrypted, one.signed) for one in found} == {
        (Problem.NOT_OPENED, None, (), False, False)
    }


@pytest.mark.parametrize("raw", [b"\x01" * 256, b"\x01" * 255, b"\xff" * 256, b""])
def test_rule_13_r_oracle_another_key_takes_the_place(raw: bytes) -> None:
    """R-ORACLE: a content key that cannot be had is replaced by a random one, and the same work is done with it
    (RFC 3218 §2.3.2): the content that was encrypted under that very key is there."""
    reader, key = pair("rsa", ENCRYPT, "reader"), bytes(range(32))
    for structure in (enveloped_data, auth_enveloped_data):
        mail = cms(structure(inner(), [key_transport(key, reader, raw=raw)], cek=key))
        assert open_message(io.BytesIO(mail), keys=[reader], random_bytes=lambda size: key[:size]).problem is None
        assert open_message(io.BytesIO(mail), keys=[reader], random_bytes=seeded(3)).problem is Problem.NOT_OPENED


def test_rule_18_r_usage_signing_key_never_decrypts() -> None:
    """R-USAGE: what was encrypted to a signature certificate is opened by arithmetic only, and the report says so."""
    signing = pair("rsa", who="reader")
    key = bytes(range(32))
    mail = cms(enveloped_data(inner(), [key_transport(key, signing)], cek=key))
    found = open_message(io.BytesIO(mail), keys=[signing])
    assert "R-USAGE" in found.findings


def test_rule_14_r_algo_oaep_with_sha1_is_read(read: Callable[[bytes], Opened]) -> None:
    """R-ALGO: OAEP's own hash signs nothing; SHA-1 there, the default of RFC 4055, is read."""
    key = bytes(range(32))
    info = key_transport(key, pair("rsa", ENCRYPT, "reader"), oaep=hashes.SHA1())
    assert read(envelope(inner(), infos=[info], cek=key)).problem is None


@pytest.mark.parametrize("field", [b"To", b"Subject", b"Date", b"From", b"MIME-Version"])
def test_rule_8_r_from_absent_field_is_no_second_reading(field: bytes, read: Callable[[bytes], Opened]) -> None:
    """R-FROM: an absent field is for the gateway's policy to refuse; the engine reads the mail in one way only."""
    assert read(without(field)).problem is None
