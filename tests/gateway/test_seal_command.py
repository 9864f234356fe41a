"""`dcc seal`, as a script calls it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.utils import format_datetime
from pathlib import Path

import pytest

from terminal import Done, dcc
from throwaway import CONTENT, ENCRYPT, PASSWORD, intermediate, opened, p12, pair, pem, root

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


def call(folder: Path, *arguments: str, password: str = PASSWORD, recipient: str = "rsa.pem") -> Done:
    base = ["seal", str(folder / "mail.eml"), "--signer", str(folder / "signer.p12"), "--password", password]
    return dcc(*base, "--recipient", str(folder / recipient), *arguments)


def test_to_standard_output(folder: Path) -> None:
    """The mail is written to standard output; outside stands nothing but what must, inside everything but Bcc."""
    done = call(folder)
    assert done.code == 0, done.err
    outer = message_from_bytes(done.raw, policy=policy.default)
    assert outer["Subject"] == "[...]"
    assert outer["Message-ID"] == "<own@dcc.example>"
    assert outer["Cc"] == "third@dcc.example"
    assert "X-MSS-INS" not in outer
    found = opened(done.raw)
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
    at = message_from_bytes(done.raw, policy=policy.default)["Date"].datetime
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=2)
    assert opened(done.raw).signers[0].signing_time == at


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
    assert done.code == 0, done.err
    assert done.json["size"] == out.stat().st_size
    assert opened(out.read_bytes()).problem is None


def test_several_recipients(folder: Path) -> None:
    """Recipients of one kind share a message, PEM or DER; RSA beside EC is refused with exit 1 and nothing written."""
    done = call(folder, "--recipient", str(folder / "other.der"))
    assert opened(done.raw, pair("rsa", ENCRYPT, "other")).problem is None
    refused = call(folder, "--recipient", str(folder / "p256.pem"), "--out", str(folder / "out.eml"))
    assert (refused.code, (folder / "out.eml").exists()) == (1, False)


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
    assert done.code == code
    assert done.err.strip()
    assert done.out == ""


@pytest.mark.parametrize("change", [b"From: a@b\n", b"Subject: two\n"])
def test_doubled_fields_are_refused(change: bytes, folder: Path) -> None:
    """A mail with two From or Subject fields is refused (R-FROM)."""
    (folder / "mail.eml").write_bytes(change + (folder / "mail.eml").read_bytes())
    assert call(folder).code == 1


def test_a_signing_certificate_receives_nothing(folder: Path) -> None:
    """A recipient certificate made for signatures is refused with exit 1 (R-USAGE)."""
    (folder / "sign.pem").write_bytes(pem(pair().certificate))
    assert call(folder, recipient="sign.pem").code == 1


@pytest.mark.parametrize(
    ("options", "cipher", "key", "digest", "signature"),
    [
        ([], "aes256-cbc", "rsa", "sha256", "rsa"),
        (["--cipher", "aes128-cbc", "--key-transport", "oaep", "--digest", "sha384"],
         "aes128-cbc", "rsa-oaep-sha256", "sha384", "rsa"),
        (["--cipher", "aes256-gcm", "--digest", "sha512", "--pss"], "aes256-gcm", "rsa", "sha512", "rsa-pss"),
    ],
    ids=["defaults", "others", "gcm"],
)  # fmt: skip
def test_what_the_options_choose(
    options: list[str], cipher: str, key: str, digest: str, signature: str, folder: Path
) -> None:
    """The mail carries the algorithms that were asked for, and by default those of the contract."""
    found = opened(call(folder, *options).raw)
    outer, inner = found.layers
    assert outer.kind == ("auth-enveloped" if "gcm" in cipher else "enveloped")
    assert (outer.algorithms["content"], outer.algorithms["key"]) == (cipher, key)
    assert (inner.algorithms["digest"], inner.algorithms["signature"]) == (digest, signature)


@pytest.mark.parametrize(
    ("options", "form"), [([], "detached"), (["--detached"], "detached"), (["--opaque"], "opaque")]
)
def test_the_form_of_the_signature(options: list[str], form: str, folder: Path) -> None:
    """The signature is multipart/signed unless opaque is asked for."""
    assert opened(call(folder, *options).raw).layers[1].details["form"] == form


def test_what_is_enclosed(folder: Path) -> None:
    """The signer's certificate and its intermediates are enclosed, those of `--chain` too, and never a root."""
    (folder / "chain.pem").write_bytes(pem(intermediate()) + pem(root()))
    for options in ((), ("--chain", str(folder / "chain.pem"))):
        found = opened(call(folder, *options).raw)
        assert set(found.certificates) == {pair().certificate, intermediate()}


def test_announce(folder: Path) -> None:
    """`--announce` encloses the certificate that answers are to be encrypted to, and says that it is that one."""
    mine = pair("rsa", ENCRYPT, "gateway").certificate
    (folder / "mine.pem").write_bytes(pem(mine))
    found = opened(call(folder, "--announce", str(folder / "mine.pem")).raw)
    assert mine in found.certificates
    assert found.signers[0].encryption_key_preference == mine


def test_the_two_commands_fit(folder: Path) -> None:
    """What `dcc seal` makes, `dcc open` calls authentic, and the content is that of the signed entity."""
    out, key = folder / "out.eml", folder / "reader.p12"
    key.write_bytes(p12(pair("rsa", ENCRYPT, "reader")))
    (folder / "root.pem").write_bytes(pem(root()))
    assert call(folder, "--out", str(out)).code == 0
    done = dcc("open", out, "--profile", "address", "--trust", folder / "root.pem", "--no-revocation", "--key", key,
               "--password", PASSWORD, "--json")  # fmt: skip
    assert (done.code, done.json["outcome"]) == (0, "authentic")
    content = opened(out.read_bytes()).content
    assert content is not None
    assert done.json["content"] == {"size": content.size, "sha256": content.sha256}


def test_out_is_whole_or_absent(folder: Path) -> None:
    """`--out` in a folder that is not there is a usage error; a refused mail leaves no file, not even a part of one."""
    assert call(folder, "--out", str(folder / "absent" / "out.eml")).code == 2
    (folder / "mail.eml").write_bytes(b"To: x@dcc.example\n\nno sender\n")
    assert call(folder, "--out", str(folder / "out.eml")).code == 1
    assert not list(folder.glob("out.eml*"))


def test_a_file_that_is_no_mail(folder: Path) -> None:
    """A file without header fields is said to be no mail, in the words of the reader."""
    (folder / "mail.eml").write_bytes(b"\x89PNG\r\n\x1a\nanything at all\r\n\r\n")
    done = call(folder)
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "mail.eml : ce n'est pas un courriel" in done.err


def test_a_file_that_is_not_there(folder: Path) -> None:
    """No mail, no signer or no certificate: exit 2, the file named in one line."""
    (folder / "mail.eml").rename(folder / "elsewhere.eml")
    done = call(folder)
    assert (done.code, len(done.err.splitlines()), "mail.eml" in done.err) == (2, 1, True)
    (folder / "elsewhere.eml").rename(folder / "mail.eml")
    (folder / "rsa.pem").write_bytes(b"nothing")
    assert (call(folder).code, "rsa.pem" in call(folder).err) == (2, True)
