"""The report in process: who answers for From, which header fields count, and names that would steer what shows them."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from asn1crypto import core
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import throwaway
from dcc.cards.crl import CrlStore
from dcc.cards.trust import trust_of
from dcc.gateway.commands.common import print_json
from dcc.gateway.opening import Question, Report, report
from dcc.gateway.opening_page import page
from dcc.gateway.opening_text import text
from dcc.smime import der
from dcc.smime.keys import KeyPair
from forge import Signing, content_info, enveloped_data, signed_data
from rsakeys import rsa_key
from throwaway import ENTITY, NOW, pair, part, sealed

CMS = "application/pkcs7-mime"
DATA, SIGNED = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
OUTER = (
    "From: {}\r\nTo: reader@dcc.example\r\nSubject: neutral\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
    "Message-ID: <1@dcc.example>\r\nMIME-Version: 1.0\r\n"
)


def certified(owner: str, *names: x509.GeneralName, subject: str = "somebody") -> KeyPair:
    """A certificate of the throw-away authority that holds these alternative names."""
    key = rsa_key(owner)
    usage = dict.fromkeys(
        ("key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only",
         "decipher_only"), False,
    )  # fmt: skip
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.load_der_x509_certificate(throwaway.intermediate()).subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.KeyUsage(digital_signature=True, content_commitment=True, **usage), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(throwaway._key("rsa", "authority"), hashes.SHA256())
    )
    return KeyPair(made.public_bytes(Encoding.DER), key)


def mail(cms: bytes, from_: str = "gateway@dcc.example") -> bytes:
    return OUTER.format(from_).encode() + part(CMS, cms)


def asked(data: bytes, **changes: Any) -> Report:
    """The report of the address profile, the throw-away root trusted."""
    trust = trust_of([throwaway.root(), throwaway.intermediate()], "test")
    question = Question(
        trust, CrlStore(None), NOW, profile="address", keys=[pair("rsa", throwaway.ENCRYPT, "reader")], revocation=False,
        environment="test", **changes,
    )  # fmt: skip
    return report(io.BytesIO(data), question)


def together(*signers: Signing) -> bytes:
    """One SignedData by several, in this order: the set is signed by nobody, and BER sorts nothing."""
    body = der.sequence(
        der.integer(1),
        der.set_of(der.algorithm("2.16.840.1.101.3.4.2.1")),
        der.sequence(der.oid(DATA), der.tlv(0xA0, der.octets(ENTITY))),
        der.tlv(0xA0, *{one.pair.certificate for one in signers}),
        der.tlv(0x31, *(one.info(ENTITY) for one in signers)),
    )
    return content_info(SIGNED, body)


def named(address: str) -> x509.RFC822Name:
    return x509.RFC822Name(address)


def international(address: str) -> x509.OtherName:
    """SmtpUTF8Mailbox (RFC 9598 §3)."""
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), core.UTF8String(address).dump())


def test_rule_5_r_signers_whatever_their_order() -> None:
    """R-SIGNERS: exactly one signer, or every one, answers for From, wherever it stands in a set that is in no order."""
    right, second = certified("one", named("gateway@dcc.example")), certified("two", named("gateway@dcc.example"))
    other, third = certified("three", named("boss@dcc.example")), certified("four", named("chief@dcc.example"))
    cases = {(right, other): True, (right, second): True, (other, third): False, (right, second, other): False}
    for signers, good in cases.items():
        for order in (signers, tuple(reversed(signers))):
            found = asked(mail(together(*map(Signing, order))))
            assert (found.outcome, found.reason) == (("authentic", None) if good else ("refused", "D2R-ACC02"))
            assert ("R-FROM" in found.findings) is not good


@pytest.mark.parametrize(
    ("name", "from_", "good"),
    [
        (named("kate@dcc.example"), "Kate@DCC.example", True),
        (named("kate@dcc.example"), "\u212aate@dcc.example", False),
        (named("x@kdcc.example"), "x@\u212adcc.example", False),
        (international("élise@xn--exmple-cua.example"), "élise@exämple.example", True),
        (international("élise@exämple.example"), "élise@xn--exmple-cua.example", True),
        (international("élise@xn--exmple-cua.example"), "elise@exämple.example", False),
        (named("x@strasse.example"), "x@straße.example", False),
        (international("\u212aate@dcc.example"), "kate@dcc.example", False),
    ],
)
def test_rule_8_r_from_addresses_beyond_ascii(name: x509.GeneralName, from_: str, good: bool) -> None:
    """R-FROM: only A to Z have another case, a domain is compared as A-labels, and nothing is mapped (RFC 9598 §5)."""
    found = asked(mail(signed_data(ENTITY, [Signing(certified("one", name))]), from_))
    assert found.outcome == ("authentic" if good else "refused")


PROTECTED = b"From: gateway@dcc.example\r\nTo: reader@dcc.example\r\nSubject: %s\r\n"
TEXT = b'Content-Type: text/plain; hp="clear"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("entity", "differs", "intended"),
    [
        (PROTECTED % b"neutral" + TEXT, False, False),
        (PROTECTED % b"neu\r\n tral" + TEXT, True, False),
        (PROTECTED % b"another" + TEXT, True, False),
        (PROTECTED % b"neutral" + b"Date: Mon, 08 Jan 2024 00:00:00 +0000\r\n" + TEXT, True, False),
        (PROTECTED % b"hidden" + b"HP-Outer: Subject: neutral\r\nHP-Outer: To: reader@dcc.example\r\n"
         b"HP-Outer: Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nHP-Outer: Message-ID: <1@dcc.example>\r\n"
         + TEXT, False, False),
        (PROTECTED % b"hidden" + b"HP-Outer: Subject: otherwise\r\n" + TEXT, True, False),
        (b"Subject: neutral\r\n" + TEXT, False, True),
        (ENTITY, False, True),
    ],
)  # fmt: skip
def test_rule_11_r_intended_what_stands_outside(entity: bytes, differs: bool, intended: bool) -> None:
    """R-INTENDED: an outer field that is not what the author left there is told, and From that nobody signed is too."""
    found = asked(mail(signed_data(entity)))
    assert found.outcome == "authentic"
    assert ("R-OUTER" in found.findings) is differs
    assert ("R-INTENDED" in found.findings) is intended


def test_rule_11_r_intended_our_own_mails_differ_in_nothing() -> None:
    """What the gateway seals says outside exactly what HP-Outer says inside; a relay that rewrites Subject is told of."""
    made, _ = sealed()
    assert "R-OUTER" not in asked(made).findings
    rewritten = made.replace(b"Subject: [...]", b"Subject: [..!]", 1)
    assert rewritten != made
    assert "R-OUTER" in asked(rewritten).findings


def test_a_forwarded_mail_is_not_the_mail() -> None:
    """The fields beside `hp` are the author's; those of the mail that is forwarded below are not (RFC 9788 §2.1.1)."""
    below = b"\r\nFrom: boss@dcc.example\r\nSubject: s\r\n\r\nx\r\n"
    kept = PROTECTED % b"neutral" + b'Content-Type: message/rfc822; hp="clear"\r\n' + below
    assert asked(mail(signed_data(kept))).outcome == "authentic"
    wrapped = b"Content-Type: message/rfc822\r\n" + below
    assert asked(mail(signed_data(wrapped))).reason == "D2R-MAL02"
    assert asked(mail(enveloped_data(part(CMS, signed_data(wrapped))))).reason == "D2R-MAL02"


def test_rule_25_r_name_nothing_steers_the_terminal_or_the_page() -> None:
    """R-NAME: a certificate's name holds escapes, a bidirectional override and a tag; none of them is shown as such."""
    odd = certified(
        "one", named("gateway@dcc.example"), subject="\x1b]0;x\x07\x9b2J\u202eevil\u200f<script>a()</script>"
    )
    found = asked(mail(signed_data(ENTITY, [Signing(odd)])))
    assert found.outcome == "authentic"
    for shown in (text(found), page(found)):
        assert "evil" in shown
        assert not set(shown) & set("\x1b\x07\x9b\u202e\u200f")
    assert "<script>a()" not in page(found)


def test_rule_25_r_name_nothing_in_json_steers_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """R-NAME: JSON for a person's screen holds no control of the upper half and nothing that turns text; it reads alike."""
    value = {"subject": "\x9b2J\x1b[0m \u202eé\u200f"}
    print_json(value)
    shown = capsys.readouterr().out
    assert not set(shown) & set("\x9b\x1b\u202e\u200f")
    assert "é" in shown
    assert json.loads(shown) == value
