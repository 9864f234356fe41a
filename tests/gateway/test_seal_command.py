"""`dcc seal`, as a script calls it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.utils import format_datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dcc.gateway.commands import seal_cmd
from throwaway import CONTENT, ENCRYPT, PASSWORD, opened, p12, pair, pem

MAIL = (
    b"From: =?utf-8?q?Martin=2C_=C3=89lise?= <gateway@dcc.example>\n"
    b"To: reader@dcc.example\nBcc: hidden@dcc.example\nCc: third@dcc.example\nSubject: =?utf-8?q?Secret_=C3=A9?=\n"
    b"Date: {date}\nMessage-ID: <own@dcc.example>\nX-MSS-INS: 2790\nMIME-Version: 1.0\n"
    b"Content-Type: text/plain; charset=us-ascii\n\n"
)
BODY = CONTENT.replace(b"\r\n", b"\n")


def mail(date: datetime) -> bytes:
    return MAIL.replace(b"{date}", format_datetime(date).encode()) + BODY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a mail, the signer's PKCS#12 and the recipients' certificates."""
    (tmp_path / "mail.eml").write_bytes(mail(datetime.now(UTC).replace(microsecond=0)))
    (tmp_path / "signer.p12").write_bytes(p12(pair()))
    for kind in ("rsa", "p256"):
        (tmp_path / f"{kind}.pem").write_bytes(pem(pair(kind, ENCRYPT, "reader").certificate))
    (tmp_path / "other.der").write_bytes(pair("rsa", ENCRYPT, "other").certificate)
    return tmp_path


def call(folder: Path, *arguments: str, password: str = PASSWORD, recipient: str = "rsa.pem") -> Result:
    app = typer.Typer()
    seal_cmd.register(app)
    app.callback()(lambda: None)
    base = ["seal", str(folder / "mail.eml"), "--signer", str(folder / "signer.p12"), "--password", password]
    return CliRunner().invoke(app, [*base, "--recipient", str(folder / recipient), *arguments])


def test_to_standard_output(folder: Path) -> None:
    """The mail is written to standard output; outside stands nothing but what must, inside everything but Bcc."""
    done = call(folder)
    assert done.exit_code == 0, done.stderr
    outer = message_from_bytes(done.stdout_bytes, policy=policy.default)
    assert outer["Subject"] == "[...]"
    assert outer["Message-ID"] == "<own@dcc.example>"
    assert outer["Cc"] == "third@dcc.example"
    assert "X-MSS-INS" not in outer
    found = opened(done.stdout_bytes)
    assert found.content is not None
    raw = found.content.open().read()
    inner = message_from_bytes(raw, policy=policy.default)
    assert inner["Subject"] == "Secret é"
    assert inner["From"].addresses[0].display_name == "Martin, Élise"
    assert inner["X-MSS-INS"] == "2790"
    assert b"hidden@" not in raw
    assert raw.endswith(CONTENT)
    assert outer["Date"].datetime == found.signers[0].signing_time == inner["Date"].datetime


def test_an_old_date_becomes_the_clock(folder: Path) -> None:
    """A Date far from the clock is replaced: clients show a signature that disagrees with it as a mismatch."""
    (folder / "mail.eml").write_bytes(mail(datetime.now(UTC) - timedelta(days=400)))
    done = call(folder)
    at = message_from_bytes(done.stdout_bytes, policy=policy.default)["Date"].datetime
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=2)
    assert opened(done.stdout_bytes).signers[0].signing_time == at


@pytest.mark.parametrize(
    "options",
    [
        ["--cipher", "aes128-cbc"], ["--cipher", "aes256-gcm"], ["--key-transport", "oaep"], ["--digest", "sha512"],
        ["--pss"], ["--detached"], ["--opaque"], ["--header-protection", "wrapped"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_each_option(options: list[str], folder: Path) -> None:
    """Each option of the contract makes a mail that opens."""
    out = folder / "out.eml"
    done = call(folder, *options, "--out", str(out), "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["size"] == out.stat().st_size
    assert opened(out.read_bytes()).problem is None


def test_several_recipients(folder: Path) -> None:
    """Recipients of one kind share a message, PEM or DER; RSA beside EC is refused with exit 1 and nothing written."""
    done = call(folder, "--recipient", str(folder / "other.der"))
    assert opened(done.stdout_bytes, pair("rsa", ENCRYPT, "other")).problem is None
    refused = call(folder, "--recipient", str(folder / "p256.pem"), "--out", str(folder / "out.eml"))
    assert (refused.exit_code, (folder / "out.eml").exists()) == (1, False)


@pytest.mark.parametrize(
    ("arguments", "password", "code"),
    [
        ([], "wrong", 2),
        (["--cipher", "des"], PASSWORD, 2),
        (["--json"], PASSWORD, 2),
        (["--recipient", "absent.pem"], PASSWORD, 2),
    ],
)
def test_usage_errors(arguments: list[str], password: str, code: int, folder: Path) -> None:
    """A wrong option, password or file: exit 2, one sentence on standard error, nothing on standard output."""
    done = call(folder, *arguments, password=password)
    assert done.exit_code == code
    assert done.stderr.strip()
    assert done.stdout == ""


@pytest.mark.parametrize("change", [b"From: a@b\n", b"Subject: two\n"])
def test_doubled_fields_are_refused(change: bytes, folder: Path) -> None:
    """A mail with two From or Subject fields is refused (R-FROM)."""
    (folder / "mail.eml").write_bytes(change + (folder / "mail.eml").read_bytes())
    assert call(folder).exit_code == 1


def test_a_signing_certificate_receives_nothing(folder: Path) -> None:
    """A recipient certificate made for signatures is refused with exit 1 (R-USAGE)."""
    (folder / "sign.pem").write_bytes(pem(pair().certificate))
    assert call(folder, recipient="sign.pem").exit_code == 1
