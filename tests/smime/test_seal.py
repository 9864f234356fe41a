"""What `seal` writes is what `open_message` reads, in every profile."""

from __future__ import annotations

import base64
import io
import os
import re
import tracemalloc
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from asn1crypto import cms
from hypothesis import given, settings
from hypothesis import strategies as st

from dcc.smime.headerprotection import HeaderInjection
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from dcc.smime.seal import Profile, key_signer, seal
from dcc.smime.sealenveloped import MixedRecipients, UnusableRecipient
from dcc.smime.sealsigned import NotVerified
from dcc.smime.segments import FileSegment
from throwaway import (
    CONTENT,
    ENCRYPT,
    NOW,
    TEXT,
    intermediate,
    mail_headers,
    opened,
    pair,
    root,
    sealed,
    seeded,
)

SIGNERS = ("rsa", "p256", "p384", "p521")
RECIPIENTS = ("rsa", "p256", "p384")


def content_of(found: object) -> bytes:
    assert found.content is not None, (found.problem, found.findings, found.detail)  # type: ignore[attr-defined]
    data: bytes = found.content.open().read()  # type: ignore[attr-defined]
    return data.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes128-cbc", "aes256-gcm"])
@pytest.mark.parametrize("recipient", RECIPIENTS)
def test_every_cipher_and_recipient(cipher: str, recipient: str, detached: bool) -> None:
    """Each cipher, for each kind of recipient key, opens to the same content, intact and strong."""
    theirs = pair(recipient, ENCRYPT, "reader")
    mail, done = sealed(Profile(cipher=cipher, detached=detached), recipient=theirs.certificate)  # type: ignore[arg-type]
    found = opened(mail, theirs)
    assert (found.encrypted, found.decrypted, found.signed, found.intact, found.problem) == (*[True] * 4, None)
    assert content_of(found) == CONTENT
    assert done.size == len(mail)


@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("signer", [*SIGNERS, "pss"])
def test_every_signer(signer: str, digest: str, detached: bool) -> None:
    """Each signing key and digest verifies; an ECDSA signature of any length fits the announced sizes."""
    mine = pair("rsa" if signer == "pss" else signer)
    profile = Profile(digest=digest, detached=detached, pss=signer == "pss")  # type: ignore[arg-type]
    for _ in range(1 if mine is pair() else 4):  # the length of an ECDSA signature varies
        mail, _done = sealed(profile, signer=mine)
        found = opened(mail)
        assert found.problem is None, (found.findings, found.detail)
        check = found.signers[0]
        assert (check.good, check.weak, check.signing_time, check.digest_algorithm) == (True, False, NOW, digest)
        assert check.certificate == mine.certificate


def test_oaep_and_several_recipients() -> None:
    """One message opens with each of its recipients' keys, OAEP too."""
    both = [pair("rsa", ENCRYPT, "reader"), pair("rsa", ENCRYPT, "other")]
    mail, _ = sealed(Profile(key_transport="oaep"), recipient=[one.certificate for one in both])
    for one in both:
        assert opened(mail, one).problem is None


def test_rsa_and_ec_recipients_are_never_mixed() -> None:
    """A message for RSA and EC recipients is refused: NSS reads none of it."""
    both = [pair("rsa", ENCRYPT, "reader").certificate, pair("p256", ENCRYPT, "reader").certificate]
    with pytest.raises(MixedRecipients):
        sealed(recipient=both)


def test_signed_only() -> None:
    """Without recipient the mail is multipart/signed, and its Subject stands outside as inside."""
    mail, _ = sealed(recipient=None)
    found = opened(mail)
    assert (found.encrypted, found.signed, found.intact) == (False, True, True)
    parsed = message_from_bytes(mail, policy=policy.default)
    assert parsed.get_content_type() == "multipart/signed"
    assert parsed["Subject"] == "XDM/1.0/DDM+PAT-TROIS"
    assert b'hp="clear"' in mail


def test_rule_22_r_header_out_outer_mail_is_neutral() -> None:
    """Outside: neutral Subject, the five fields, one CMS attachment; nothing of the inside."""
    headers = mail_headers(extra=(("X-MSS-INS", "279035121518989"),))
    mail, _ = sealed(headers=headers)
    outer = mail.partition(b"\r\n\r\n")[0]
    assert b"Subject: [...]\r\n" in outer
    for secret in (b"PAT-TROIS", b"X-MSS", b"279035121518989"):
        assert secret not in mail
    parsed = message_from_bytes(mail, policy=policy.default)
    assert parsed["Content-Type"].params == {"smime-type": "enveloped-data", "name": "smime.p7m"}
    assert parsed.get_filename() == "smime.p7m"
    assert parsed["From"] == "Passerelle DCC <gateway@dcc.example>"
    assert parsed["Date"].datetime == NOW
    assert all(len(line) <= 76 for line in mail.partition(b"\r\n\r\n")[2].split(b"\r\n"))
    assert b"\n" not in mail.replace(b"\r\n", b"")


def test_protected_headers_inside() -> None:
    """Inside: the true fields, hp="cipher", and HP-Outer fields equal to the outer fields (RFC 9788 §2.2)."""
    mail, _ = sealed(headers=mail_headers(extra=(("X-MSS-INS", "1"),), outer_extra=(("In-Reply-To", "<0@x>"),)))
    found = opened(mail)
    assert found.content is not None
    block = found.content.open().read().partition(b"\r\n\r\n")[0] + b"\r\n"
    assert b'Content-Type: text/plain; charset=us-ascii; hp="cipher"\r\n' in block
    assert b"Subject: XDM/1.0/DDM+PAT-TROIS\r\n" in block
    assert b"X-MSS-INS: 1\r\n" in block
    assert b"\r\nIn-Reply-To: <0@x>\r\n" in block
    outer = mail.partition(b"\r\n\r\n")[0] + b"\r\n"
    for name in (b"From", b"To", b"Subject", b"Date", b"Message-ID", b"In-Reply-To"):
        field = re.search(rb"^" + name + rb": .*\r\n(?:[ \t].*\r\n)*", outer, re.M)
        assert field is not None
        assert b"HP-Outer: " + field[0] in block, name


def test_wrapped_in_message_rfc822() -> None:
    """The older protection: the whole mail is one message/rfc822 part with its own fields."""
    mail, _ = sealed(Profile(header_protection="wrapped"))
    found = opened(mail)
    assert found.content is not None
    entity = message_from_bytes(found.content.open().read(), policy=policy.default)
    assert entity.get_content_type() == "message/rfc822"
    inner = entity.get_content()
    assert inner["Subject"] == "XDM/1.0/DDM+PAT-TROIS"
    assert inner["To"] == "Dr Élise Martin <reader@dcc.example>"


@pytest.mark.parametrize("name", ["from_", "to", "subject", "message_id"])
@pytest.mark.parametrize("bad", ["a\r\nBcc: x@y", "a\nb", "a\rb", "a\0b"])
def test_rule_22_r_header_out_injection_is_refused(name: str, bad: str) -> None:
    """CR, LF or NUL in any header value: nothing is sealed (R-HEADER-OUT)."""
    with pytest.raises(HeaderInjection):
        sealed(headers=mail_headers(**{name: bad}))


def test_long_fields_are_folded() -> None:
    """Long subjects, names and lists of addresses read back whole, in lines of at most 998 octets."""
    subject = "Compte rendu de réunion de concertation pluridisciplinaire " * 10
    reference = " ".join(f"<{number}@dcc.example>" for number in range(200))
    people = ", ".join(f'"Élise Martin-Dupont, service {number}" <p{number}@dcc.example>' for number in range(80))
    headers = mail_headers(subject=subject.strip(), to=people, extra=(("References", reference),))
    found = opened(sealed(headers=headers)[0])
    assert found.content is not None
    raw = found.content.open().read()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    inner = message_from_bytes(raw, policy=policy.default)
    assert inner["Subject"] == subject.strip()
    assert inner["References"] == reference
    assert [one.addr_spec for one in inner["To"].addresses] == [f"p{number}@dcc.example" for number in range(80)]
    assert inner["To"].addresses[7].display_name == "Élise Martin-Dupont, service 7"


def cms_of(mail: bytes) -> cms.ContentInfo:
    parsed = message_from_bytes(mail)
    for part in parsed.walk():
        if part.get_content_type().startswith("application/pkcs7"):
            return cms.ContentInfo.load(part.get_payload(decode=True), strict=True)
    raise AssertionError("no CMS part")


def test_signed_attributes_and_certificates() -> None:
    """The attributes of the profile are there once; signer and intermediate are enclosed, the root is not."""
    announced = pair("rsa", ENCRYPT, "gateway")
    mail, _ = sealed(Profile(extra_certificates=(announced.certificate,)), recipient=None)
    data = cms_of(mail)["content"]
    enclosed = {one.chosen.dump() for one in data["certificates"]}
    assert enclosed == {pair().certificate, intermediate(), announced.certificate}
    assert root() not in enclosed
    names = [one["type"].dotted for one in data["signer_infos"][0]["signed_attrs"]]
    assert sorted(names) == sorted({
        "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.5", "1.2.840.113549.1.9.15",
        "1.2.840.113549.1.9.16.2.11", "1.2.840.113549.1.9.16.2.47",
    })  # fmt: skip
    attributes = data["signer_infos"][0]["signed_attrs"].dump(force=True)
    assert attributes[1:] == data["signer_infos"][0]["signed_attrs"].dump()[1:]
    assert data["certificates"].dump(force=True) == data["certificates"].dump()


def test_encryption_key_preference_is_found() -> None:
    """The reader learns the announced encryption certificate from the signed mail (RFC 8551 §2.5.3)."""
    announced = pair("rsa", ENCRYPT, "gateway")
    found = opened(sealed(Profile(extra_certificates=(announced.certificate,)))[0])
    assert found.signers[0].encryption_key_preference == announced.certificate


@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes256-gcm"])
@pytest.mark.parametrize("recipient", RECIPIENTS)
def test_the_cms_is_der(cipher: str, recipient: str) -> None:
    """The enveloped structure re-encodes to the same octets: definite, minimal lengths everywhere."""
    theirs = pair(recipient, ENCRYPT, "reader").certificate
    mail, _ = sealed(Profile(cipher=cipher), recipient=theirs)  # type: ignore[arg-type]
    info = cms_of(mail)
    raw = base64.b64decode(mail.partition(b"\r\n\r\n")[2])
    assert info.dump() == raw
    content = info["content"]
    _ = content.native
    version = content["version"].native
    assert version == ("v0" if cipher == "aes256-gcm" or recipient == "rsa" else "v2")
    assert info.copy().dump(force=True) == raw


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 56, 57, 58, 113, 65535, 65536, 65537, 200_000])
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
def test_every_size(size: int, detached: bool) -> None:
    """Any length of body fits its announced lengths and opens unchanged."""
    body = bytes(range(32, 127)) * (size // 95 + 1)
    mail, _ = sealed(Profile(detached=detached), body=(body[:size],))
    assert content_of(opened(mail)) == body[:size]


def test_body_in_segments(tmp_path: object) -> None:
    """Literal octets and ranges of files are sealed in order, each range read from its start."""
    data = os.urandom(300_000).hex().encode()
    segment = FileSegment(lambda: io.BytesIO(data), 1000, 250_000)
    mail, _ = sealed(body=(b"before ", segment, b" after ", segment))
    assert content_of(opened(mail)) == b"before " + data[1000:251_000] + b" after " + data[1000:251_000]


def test_short_segment_is_an_error() -> None:
    """A file shorter than announced never yields a finished mail."""
    with pytest.raises(EOFError):
        sealed(body=(FileSegment(lambda: io.BytesIO(b"abc"), 0, 10),))


def test_rule_18_r_usage_recipients() -> None:
    """A certificate for signing, outside its dates, or with a weak key receives nothing (R-USAGE)."""
    late = pair("rsa", ENCRYPT, "reader", start_days=2)
    old = pair("rsa", ENCRYPT, "reader", start_days=-400)
    weak = pair("rsa-1024", ENCRYPT, "reader")
    for certificate in (pair().certificate, late.certificate, old.certificate, weak.certificate, b"\x30\x00"):
        with pytest.raises(UnusableRecipient):
            sealed(recipient=certificate)


def test_self_verification() -> None:
    """A key that does not belong to the certificate is noticed before anything is sent."""
    false = KeyPair(pair().certificate, pair("rsa", ENCRYPT, "reader").key)
    with pytest.raises(NotVerified):
        sealed(signer=false)


def test_rule_18_r_usage_signer() -> None:
    """An encryption certificate signs nothing (R-USAGE: the signing key never decrypts, and conversely)."""
    with pytest.raises(NotVerified):
        sealed(signer=pair("rsa", ENCRYPT, "gateway"))


def test_constant_memory() -> None:
    """A body of 48 MB is sealed with a few blocks in memory, never held."""

    class Zeros(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return bytes(size)

        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

    segment = FileSegment(Zeros, 0, 48_000_000)  # type: ignore[arg-type]
    out = Zeros()
    out.write = len  # type: ignore[method-assign, assignment]
    tracemalloc.start()
    try:
        seal(
            mail_headers(), [segment], TEXT, signer=key_signer(pair()), out=out, random_bytes=os.urandom,  # type: ignore[arg-type]
            recipient=pair("rsa", ENCRYPT, "reader").certificate,
        )  # fmt: skip
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=5000), max_size=5), st.sampled_from(["aes256-cbc", "aes256-gcm"]), st.booleans())
def test_any_body(pieces: list[bytes], cipher: str, detached: bool) -> None:
    """Any octets in any pieces come out as they went in (a body that would end early in a boundary cannot occur)."""
    mail, _ = sealed(Profile(cipher=cipher, detached=detached), body=tuple(pieces))  # type: ignore[arg-type]
    assert content_of(opened(mail)) == b"".join(pieces)


def test_date_is_signing_time() -> None:
    """The Date outside, the Date inside and signingTime are one reading of the clock."""
    at = NOW - timedelta(hours=3)
    found = opened(sealed(headers=mail_headers(date=at))[0])
    assert found.signers[0].signing_time == at
    assert found.content is not None
    inner = message_from_bytes(found.content.open().read(), policy=policy.default)
    assert inner["Date"].datetime == at


def test_boundaries_and_keys_are_fresh() -> None:
    """Two seals of one mail share neither content key, vector nor boundary."""
    first, second = (sealed_with(seed) for seed in (1, 2))
    assert first != second


def sealed_with(seed: int) -> bytes:
    out = io.BytesIO()
    reader = pair("rsa", ENCRYPT, "reader")
    seal(
        mail_headers(), [CONTENT], TEXT, signer=key_signer(pair()), out=out, random_bytes=seeded(seed),
        recipient=reader.certificate,
    )  # fmt: skip
    assert open_message(io.BytesIO(out.getvalue()), keys=[reader]).intact
    return out.getvalue().partition(b"\r\n\r\n")[2]
