"""What the fuzzers start from: small structures of every kind that the reader knows, made anew each time."""

from __future__ import annotations

import random

import forge
from dcc.smime import der
from forge import Signing, agreement, auth_enveloped_data, compressed_data, enveloped_data, key_transport, signed_data
from throwaway import ENTITY, FIELDS, multipart, pair, part

from cryptography.hazmat.primitives import hashes  # isort: skip
from fuzz.cardharness import certificates, lists
from fuzz.harness import CEK, CMS, keys


def structures() -> list[bytes]:
    """ContentInfos, legal ones."""
    from dcc.smime.certificates import parts
    from dcc.smime.kem import recipient_info

    reader, curve, lattice = keys()
    cut = parts(lattice.certificate)
    who = der.sequence(cut.issuer, der.integer(cut.serial))
    public = lattice.key.public_key()
    odd = der.attribute("1.3.6.1.4.1.311.16.4", der.sequence(der.sequence(), der.integer(7)))
    detached = multipart(ENTITY, signed_data(ENTITY, enclosed=False))
    ours = key_transport(CEK, reader)
    return [
        signed_data(ENTITY),
        signed_data(ENTITY, chunk=300),
        signed_data(ENTITY, enclosed=False),
        signed_data(ENTITY, [Signing(pair("p256"))]),
        signed_data(ENTITY, [Signing(pss_salt=32)]),
        signed_data(ENTITY, [Signing(pair("ed25519"), digest="sha512", more=[odd])]),
        signed_data(ENTITY, [Signing(), Signing(pair("p256"), digest="sha384", by_key_identifier=True)]),
        signed_data(ENTITY, [Signing(attributes=False)]),
        signed_data(ENTITY, []),
        enveloped_data(detached, [ours], cek=CEK),
        enveloped_data(detached, [ours], cek=CEK, chunk=200),
        enveloped_data(ENTITY, [key_transport(CEK, reader, oaep=hashes.SHA256(), label=b"x")], cek=CEK),
        enveloped_data(ENTITY, [agreement(CEK, curve, "1.3.132.1.11.1", hashes.SHA256(), b"u")], cek=CEK),
        enveloped_data(ENTITY, [recipient_info(who, public, CEK)], cek=CEK),
        auth_enveloped_data(detached, [ours], cek=CEK, attributes=odd, unauthenticated=odd),
        auth_enveloped_data(ENTITY, [ours], cek=CEK, mode="ccm", bound=True),
        auth_enveloped_data(ENTITY, [ours], cek=CEK, mode="chacha20"),
        compressed_data(detached),
        signed_data(part(CMS, enveloped_data(detached, [ours], cek=CEK))),
        forge.content_info(forge.DATA, der.octets(ENTITY)),
    ]


def mails() -> list[bytes]:
    """Whole mails, as a client would send them, and MIME of every shape."""
    detached = multipart(ENTITY, signed_data(ENTITY, enclosed=False))
    signed = part(CMS, signed_data(ENTITY))
    several = (
        b"Content-Type: multipart/mixed; boundary=m\r\n\r\nbefore\r\n--m\r\nContent-Type: multipart/alternative;\r\n"
        b' boundary="m n"\r\n\r\n--m n\r\n\r\none\r\n--m n\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9=\r\n'
        b"\r\n--m n--\r\n--m\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\nx\r\n--m\r\n"
        b"Content-Type: application/pdf; name*0*=utf-8''a%C3%A9; name*1=b.pdf\r\nContent-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="=?utf-8?q?=C3=A9.pdf?="\r\n\r\nJVBERg==\r\n--m--\r\nafter\r\n'
    )
    fields = (
        b'From: "Dr \\"A\\", M" <a@dcc.example>, (note (in) note) b@dcc.example\r\nTo: group: c@dcc.example, d@[::1];\r\n'
        b"Subject: =?iso-8859-1?q?=E9t=E9?=\r\n =?utf-8?b?w6k=?=\r\nSender: x@dcc.example\r\nMIME-Version: 1.0 (x)\r\n"
        b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
    )
    sealed = part(CMS, enveloped_data(detached, [key_transport(CEK, keys()[0])], cek=CEK))
    return [
        *(FIELDS + one for one in (ENTITY, detached, signed, several, sealed)),
        fields + several,
        fields + detached,
        part(CMS, auth_enveloped_data(signed, [key_transport(CEK, keys()[0])], cek=CEK)),
    ]


def seeds(target: str) -> list[bytes]:
    """The corpus of one harness; the first octet says which way it takes."""
    if target == "mime":
        return mails()
    if target == "ber":
        small = [der.sequence(der.integer(-129), der.oid("1.2.840.113549.1.7.2"), forge.segments(0x24, b"abc" * 9, 5))]
        return [
            *structures(),
            *small,
            forge.ber(0x30, forge.ber(0x24, forge.ber(0x24, der.octets(b"x")), der.octets(b"y"))),
        ]
    if target == "cms":
        return [bytes([way]) + one for one in structures() for way in (0x80, 0x81, 0x82, 0x83)]
    if target == "card":
        ways = (0x00, 0x01, 0x02)
        return [bytes([way]) + one for one in certificates() for way in ways] + [b"\x40" + one for one in lists()]
    way = (0x81, 0x82, 0x83)
    return [bytes([one]) + mail for mail in mails() for one in way]


def mutate(rng: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to four changes, of octets or of elements."""
    for _ in range(rng.randint(1, 4)):
        data = _element(rng, data) if rng.random() < 0.6 else _octets(rng, data, rng.choice(others))
    return data


def _octets(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randint(0, len(data))
    end = min(len(data), at + rng.choice((0, 1, 1, 2, 4, 16, 200)))
    first = rng.randint(0, len(other))
    new = rng.choice(
        (b"", rng.randbytes(end - at), rng.randbytes(rng.randint(1, 8)), b"\x80", b"\xff\xff\xff\xff", b"\0\0", b"\r\n", b"--",
         data[at:end] * 2, other[first : first + rng.choice((1, 16, 300))])
    )  # fmt: skip
    return data[:at] + new + data[end:]


def _element(rng: random.Random, data: bytes) -> bytes:
    """Change one element somewhere inside, with the lengths around it made right again."""
    start = data.find(b"\x30")
    if start < 0:
        return _octets(rng, data, data)
    head, body = (data[:start], data[start:]) if start < 4 else (b"", data)
    return head + _inside(rng, body, 0)


def _inside(rng: random.Random, data: bytes, depth: int) -> bytes:
    """One element of a series goes, comes twice, changes place, tag, value or form; or something inside it does."""
    from dcc.smime import ber
    from dcc.smime.errors import Malformed

    try:
        found = [(one, data[one.start : one.end], data[one.value : one.end]) for one in ber.slices(data)]
    except Malformed:
        return _octets(rng, data, data)
    if not found:
        return rng.randbytes(rng.randint(0, 3))
    which = rng.randrange(len(found))
    one, whole, value = found[which]
    whole_list = [item for _, item, _ in found]
    if one.tag & ber.CONSTRUCTED and depth < 30 and rng.random() < 0.85:
        inner = _inside(rng, value, depth + 1)
        new = forge.ber(one.tag, inner) if rng.random() < 0.05 else der.tlv(one.tag, inner)
    elif one.tag == 0x04 and value[:1] == b"\x30" and rng.random() < 0.5:
        new = der.octets(_inside(rng, value, depth + 1))
    else:
        new = rng.choice(
            (
                lambda: b"",
                lambda: whole * 2,
                lambda: rng.choice(whole_list),
                lambda: der.tlv(
                    rng.choice((0x02, 0x04, 0x05, 0x06, 0x24, 0x30, 0x31, 0x80, 0xA0, 0xA1, one.tag ^ 0x20)), value
                ),
                lambda: der.tlv(one.tag, value[: rng.randint(0, len(value))]),
                lambda: der.tlv(one.tag, _octets(rng, value, value)),
                lambda: der.tlv(one.tag),
                lambda: forge.segments(one.tag | 0x20, value, rng.choice((1, 7, 100))) if len(value) < 5000 else whole,
                lambda: whole[:1] + b"\x84\x7f\xff\xff\xff" + value,
            )
        )()
    return b"".join(new if place == which else item for place, item in enumerate(whole_list))
