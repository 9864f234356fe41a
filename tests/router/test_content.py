"""What a file is, by its bytes; the words of a mail, bounded; both whatever comes."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcc.router.content import kind_of
from dcc.router.words import MATRICULES, matricules_in, words_of
from dcc.smime import mime
from dcc.smime.limits import Limits

OWN = "279035121518989"


@pytest.mark.parametrize(
    ("name", "media_type", "data", "kind"),
    [
        ("a.pdf", "application/pdf", b"%PDF-1.7", "application/pdf"),
        ("a.pdf", "application/pdf", b"\xef\xbb\xbf\n%PDF-1.7", "application/pdf"),
        ("a.pdf", "application/pdf", b"MZ%PDF", "unsafe"),
        ("a.jpg.exe", "image/jpeg", b"\xff\xd8\xff", "unsafe"),
        ("a.txt", "text/plain", b"bonjour", "text/plain"),
        ("a.txt", "text/plain", b"bon\0jour", "unknown"),
        ("a.txt", "text/plain", b"<script>", "unknown"),
        ("a.txt", "text/plain", b"", "unknown"),
        ("a", "application/octet-stream", b"MSH|^~\\&|A|B|C|D|2025||MDM^T02|1|P|2.6\r", "hl7"),
        ("a.txt", "text/plain", b"x\r\n****FIN****", "hprim"),
        ("a.bin", "application/octet-stream", b"<?xml version='1.0'?><ClinicalDocument xmlns='x'>", "cda"),
        ("a.xml", "text/xml", b"<!DOCTYPE x>", "cda"),
        ("moi.vcf", "text/x-vcard", b"BEGIN:VCARD", "decoration"),
        ("a.svg", "image/svg+xml", b"<svg>", "unsafe"),
        ("a.doc", "application/msword", b"\xd0\xcf\x11\xe0", "unsafe"),
        ("a.bin", "application/octet-stream", bytes(range(256)), "unknown"),
    ],
)
def test_kinds(kit: Any, name: str, media_type: str, data: bytes, kind: str) -> None:
    """The bytes decide; a dangerous ending or beginning is unsafe whatever else is said."""
    assert kind_of(kit.attachment(data, name, media_type)) == kind


def words(raw: bytes) -> Any:
    return words_of(io.BytesIO(raw), mime.scan(io.BytesIO(raw), 0, len(raw), Limits()))


def test_first_line_of_a_text() -> None:
    """The first line that is not empty, in the charset of the part."""
    raw = "Content-Type: text/plain; charset=iso-8859-1\r\n\r\n\r\n  Synthèse \r\nsuite".encode("latin-1")
    found = words(raw)
    assert found.first_line == "Synthèse"
    assert "suite" in found.text


def test_first_line_of_a_page() -> None:
    """A mail that is only HTML: its words, without markup, styles and scripts."""
    page = b"<html><head><title>t</title></head><style>RCP{}</style><body><p>ACP</p><script>CRH</script></body>"
    found = words(b"Content-Type: text/html; charset=utf-8\r\n\r\n" + page)
    assert found.first_line == "ACP"
    assert "CRH" not in found.text


def test_an_attached_text_is_no_body() -> None:
    """Words are read from the mail's text, never from a file."""
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\nContent-Disposition: "
        b"attachment; filename=a.txt\r\n\r\nRCP\r\n--b--\r\n"
    )
    assert words(raw).first_line == ""


@pytest.mark.parametrize(
    "text", [OWN, "2 79 03 51 215 189 89", "2.79.03.51.215.189.89", f"({OWN})", f"ins{OWN[:0]} {OWN};"]
)
def test_matricules_are_found(text: str) -> None:
    """In one piece or grouped, with a right key."""
    assert matricules_in([text]) == (OWN,)


@pytest.mark.parametrize("text", [OWN[:-1] + "8", OWN + "1", "1" + OWN, "A" + OWN, "05 56 00 00 00", None, ""])
def test_other_numbers_are_none(text: str | None) -> None:
    """A wrong key, a longer number, a telephone number: no matricule."""
    assert matricules_in([text]) == ()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), name=st.text(max_size=30), text=st.text(max_size=400))
def test_readers_never_crash(kit: Any, data: bytes, name: str, text: str) -> None:
    """Arbitrary files, names, mails and texts are values."""
    assert kind_of(kit.attachment(data, name, "application/octet-stream"))
    words(b"Content-Type: text/html\r\n\r\n" + data)
    words(b"Content-Type: text/plain; charset=" + hashlib.sha256(data).hexdigest().encode() + b"\r\n\r\n" + data)
    assert len(matricules_in([text] * 3)) <= MATRICULES


def test_long_texts_are_read_in_time() -> None:
    """A page of a megabyte of open tags and digits costs no more than its first bytes (I8)."""
    found = words(b"Content-Type: text/html\r\n\r\n" + b"<style" * 200_000)
    assert found.text == ""
    assert matricules_in(["2 7" * 200_000]) == ()
