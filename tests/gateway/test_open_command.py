"""`dcc open`, as a script calls it: outcomes, reasons, exit codes and the JSON of the contract."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509

import throwaway
from dcc.gateway.cast_reader import Cast
from dcc.gateway.clients import report_entity, signed_entity
from dcc.gateway.demo_deposits import Draft, deposit, entity, tampered
from dcc.smime.keys import KeyPair
from forge import Signing, signed_data
from terminal import Done, dcc

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = (NOW + timedelta(days=40)).strftime("%Y-%m-%dT%H:%M:%SZ")  # past the lists, before the end of the cards
SMALL = report_entity("Bonjour\n", [])
Open = Callable[..., Done]


@pytest.fixture(scope="module")
def cast(made: Path) -> Cast:
    """Who signs, and the gateway that reads."""
    return Cast.load(made)


@pytest.fixture
def trust(cast: Cast) -> list[str]:
    """The options that name the cast's anchors and authorities."""
    return [one for path in cast.told["anchors"] for one in ("--trust", str(cast.directory / path))]


@pytest.fixture
def crls(cast: Cast) -> list[str]:
    """The options that name the cast's lists."""
    return [one for path in cast.told["crls"] for one in ("--crl", str(cast.directory / path))]


@pytest.fixture
def key(cast: Cast) -> list[str]:
    """The options that name the gateway's decryption key."""
    return ["--key", str(cast.directory / "keys/dechiffrement.p12"), "--password", "demonstration"]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Write a mail and open it; the cache is the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(mail: bytes, *options: str) -> Done:
        (tmp_path / "mail.eml").write_bytes(mail)
        return dcc("open", tmp_path / "mail.eml", "--json", *options)

    return call


def outcome(done: Done) -> tuple[int, str, str | None, bool | None]:
    """(exit code, outcome, reason, trusted)."""
    return done.code, done.json["outcome"], done.json["reason"], done.json["trusted"]


def test_encrypted_and_signed(cast: Cast, opened: Open, trust: list[str], crls: list[str], key: list[str]) -> None:
    """A sealed report is authentic: exit 0, two layers from the outside in, and the holder of the card."""
    done = opened(deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL), *trust, *crls, *key)
    assert outcome(done) == (0, "authentic", None, True)
    told = done.json
    assert set(told) >= {
        "outcome", "reason", "layers", "encrypted", "decrypted", "signed", "intact", "trusted", "signer",
        "signing_time", "findings", "content",
    }  # fmt: skip
    assert [one["kind"] for one in told["layers"]] == ["enveloped", "signed"]
    assert all(told[name] is True for name in ("encrypted", "decrypted", "signed", "intact"))
    assert set(told["signer"]) == {"subject", "issuer", "serial", "sha256", "addresses", "holder"}
    assert told["signer"]["holder"]["idnps"] == cast.person("oncologist")["idnps"]
    assert told["signer"]["addresses"] == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["signing_time"])
    assert done.err == ""


@pytest.mark.parametrize("shape", ["thunderbird", "outlook"])
def test_signed_only(shape: str, cast: Cast, opened: Open, trust: list[str], crls: list[str]) -> None:
    """A mail that is signed and not encrypted can be authentic here; content is the entity as the signature covers it."""
    mail = deposit(
        cast, Draft("oncologist", "main", shape=shape), NOW, body=SMALL, encrypted=False  # type: ignore[arg-type]
    )  # fmt: skip
    done = opened(mail, *trust, *crls)
    assert outcome(done) == (0, "authentic", None, True)
    assert (done.json["encrypted"], done.json["decrypted"]) == (False, False)
    assert done.json["content"] == {"size": len(SMALL), "sha256": hashlib.sha256(SMALL).hexdigest()}


def test_no_list(cast: Cast, opened: Open, trust: list[str], key: list[str]) -> None:
    """Without a list the card may be opposed: trusted null, indeterminate, exit 3, with the code."""
    done = opened(deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL), *trust, *key)
    assert outcome(done) == (3, "indeterminate", "D2R-CRL03", None)
    assert done.json["intact"] is True


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("oncologist", (3, "indeterminate", "D2R-CRL03", None)),
        ("opposed_card", (1, "refused", "D2R-CRL02", False)),
    ],
)
def test_stale_list(
    sender: str, expected: tuple[int, str, str, bool | None], cast: Cast, opened: Open, trust: list[str],
    crls: list[str],
) -> None:  # fmt: skip
    """On a stale list, a serial that is listed is opposed, one that is not is unknown (I10)."""
    mail = deposit(cast, Draft(sender, "main"), NOW, body=SMALL, encrypted=False)
    assert outcome(opened(mail, *trust, *crls, "--at", LATER)) == expected


@pytest.mark.parametrize(
    ("draft", "options", "reason", "trusted"),
    [
        (Draft("opposed_card", "main"), (), "D2R-CRL02", False),
        (Draft("expired_card", "main"), (), "D2R-CRL01", False),
        (Draft("oncologist", "main", identity="authentication"), (), "D2R-CRD01", False),
    ],
    ids=lambda value: value.sender + "/" + value.identity if isinstance(value, Draft) else "",
)
def test_cards_that_are_not_good(
    draft: Draft, options: tuple[str, ...], reason: str, trusted: bool, cast: Cast, opened: Open, trust: list[str],
    crls: list[str],
) -> None:  # fmt: skip
    """Opposed, expired, or not a signature card: refused with its code, exit 1, though the content is intact."""
    mail = deposit(cast, draft, NOW, body=SMALL, encrypted=False)
    done = opened(mail, *trust, *crls, *options)
    assert outcome(done) == (1, "refused", reason, trusted)
    assert done.json["intact"] is True


def test_tampered(cast: Cast, opened: Open, trust: list[str], crls: list[str], key: list[str]) -> None:
    """One octet changed after signing: not intact, refused, whatever the card is worth."""
    done = opened(tampered(cast, Draft("oncologist", "main"), NOW), *trust, *crls, *key)
    assert outcome(done)[:3] == (1, "refused", "D2R-SIG02")
    assert done.json["intact"] is False


def test_not_signed(cast: Cast, opened: Open, trust: list[str], key: list[str]) -> None:
    """Encrypted and not signed: refused, no signer."""
    done = opened(deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL, signed=False), *trust, *key)
    assert outcome(done)[:3] == (1, "refused", "D2R-SIG01")
    assert done.json["signer"] is None
    assert done.json["signing_time"] is None


def test_not_for_this_key(cast: Cast, opened: Open, trust: list[str]) -> None:
    """Encrypted to somebody else, or no key given: refused, decrypted false, nothing inside is told."""
    mail = deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL)
    other = ("--key", str(cast.directory / "demo/people/gp-encryption.p12"), "--password", "demonstration")
    for options in ((), other):
        done = opened(mail, *trust, *options)
        assert outcome(done) == (1, "refused", "D2R-OPN02", None)
        assert (done.json["encrypted"], done.json["decrypted"], done.json["content"]) == (True, False, None)


def test_several_keys(cast: Cast, opened: Open, trust: list[str], crls: list[str], key: list[str]) -> None:
    """`--key` and `--password` go in pairs, and the one that fits is found."""
    other = ("--key", str(cast.directory / "demo/people/gp-encryption.p12"), "--password", "demonstration")
    mail = deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL)
    assert opened(mail, *trust, *crls, *other, *key).code == 0
    assert opened(mail, *trust, *crls, *key, *other).code == 0


def test_hundreds_of_lists(
    cast: Cast, opened: Open, trust: list[str], crls: list[str], key: list[str], tmp_path: Path
) -> None:
    """Hundreds of `--crl` in one call, DER and PEM, are taken."""
    options = list(crls)
    der = (cast.directory / cast.told["crls"][0]).read_bytes()
    pem = x509.load_der_x509_crl(der).public_bytes(throwaway.Encoding.PEM)
    for number in range(300):
        path = tmp_path / f"{number}.crl"
        path.write_bytes(pem if number % 2 else der)
        options += ["--crl", str(path)]
    mail = deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL)
    assert outcome(opened(mail, *trust, *options, *key)) == (0, "authentic", None, True)


def test_a_list_that_is_none(cast: Cast, opened: Open, trust: list[str], tmp_path: Path) -> None:
    """An unreadable list is said and counts as absent: unknown, never good."""
    (tmp_path / "x.crl").write_bytes(b"nothing of the kind")
    mail = deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL, encrypted=False)
    done = opened(mail, *trust, "--crl", str(tmp_path / "x.crl"))
    assert outcome(done) == (3, "indeterminate", "D2R-CRL03", None)
    assert str(tmp_path / "x.crl") in done.err


def test_no_revocation(cast: Cast, opened: Open, trust: list[str]) -> None:
    """`--no-revocation` skips the lists and says so in findings: even an opposed card is then authentic."""
    mail = deposit(cast, Draft("opposed_card", "main"), NOW, body=SMALL, encrypted=False)
    done = opened(mail, *trust, "--no-revocation")
    assert outcome(done) == (0, "authentic", None, True)
    assert "REVOCATION_SKIPPED" in done.json["findings"]


def test_anchors(cast: Cast, opened: Open, crls: list[str], tmp_path: Path) -> None:
    """No anchor: could not find out. Another's anchor: refused. One PEM with all certificates does as well as many."""
    mail = deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL, encrypted=False)
    assert outcome(opened(mail, *crls)) == (3, "indeterminate", "D2R-SIG03", None)
    told = outcome(opened(mail, *crls, "--environment", "production"))
    assert told == (1, "refused", "D2R-CRD02", False)  # a test card, and we were told that this is no test
    (tmp_path / "other.pem").write_bytes(throwaway.pem(throwaway.root()))
    done = opened(mail, *crls, "--trust", str(tmp_path / "other.pem"), "--environment", "test")
    assert outcome(done) == (1, "refused", "D2R-SIG03", False)
    whole = b"".join((cast.directory / path).read_bytes() for path in cast.told["anchors"])
    (tmp_path / "all.pem").write_bytes(whole)
    assert opened(mail, *crls, "--trust", str(tmp_path / "all.pem")).code == 0


def test_at_a_time(cast: Cast, opened: Open, trust: list[str], crls: list[str]) -> None:
    """`--at` is the time of judgement: before the card, it is not valid yet."""
    mail = deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL, encrypted=False)
    at = (NOW - timedelta(days=60)).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = opened(mail, *trust, *crls, "--at", at)
    assert done.json["at"] == at
    assert (done.code, done.json["trusted"]) == (1, False)
    assert done.json["reason"] is not None


@pytest.mark.parametrize(
    "mail",
    [
        b"From: a@b.example\r\nX-Long: " + b"x" * (17 << 10) + b"\r\n\r\nbody\r\n",
        b"From: a@b.example\r\n" + b"X-Many: y\r\n" * 1100 + b"\r\nbody\r\n",
    ],
    ids=["field", "fields"],
)
def test_over_a_limit(mail: bytes, opened: Open) -> None:
    """Over a limit: refused with the limit's code, and the limit is named."""
    done = opened(mail)
    assert outcome(done)[:3] == (1, "refused", "D2R-LIM01")
    assert done.json["detail"]


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a mail", os.urandom(500), b"\x30\x80\x06\x09"])
def test_anything_at_all(data: bytes, opened: Open) -> None:
    """Whatever the file holds there is a report, with a code, and no crash."""
    done = opened(data)
    assert done.code == 1
    assert done.json["reason"].startswith("D2R-")


def signed_by(pair: KeyPair, from_: str) -> bytes:
    """A mail signed by an ordinary S/MIME certificate."""
    from dcc.gateway.clients import ClientIdentity

    head = f"From: {from_}\r\nTo: x@dcc.example\r\nDate: {format_datetime(NOW)}\r\nMIME-Version: 1.0\r\n".encode()
    return head + signed_entity(SMALL, ClientIdentity(pair.certificate, pair.key, pair.chain[:1]), opaque=False)


def test_profile_address(opened: Open, tmp_path: Path) -> None:
    """`--profile address` wants the From address in the certificate; cards play no part in it."""
    (tmp_path / "root.pem").write_bytes(throwaway.pem(throwaway.root()))
    options = ("--profile", "address", "--trust", str(tmp_path / "root.pem"))
    pair = throwaway.pair()
    good = opened(signed_by(pair, "Gateway@DCC.example"), *options, "--no-revocation")
    assert outcome(good) == (0, "authentic", None, True)
    assert good.json["signer"]["addresses"] == ["gateway@dcc.example"]
    assert good.json["profile"] == "address"
    other = opened(signed_by(pair, "somebody@dcc.example"), *options, "--no-revocation")
    assert outcome(other) == (1, "refused", "D2R-ACC02", True)  # trusted says nothing about From
    assert "R-FROM" in other.json["findings"]
    assert outcome(opened(signed_by(pair, "gateway@dcc.example"), *options)) == (3, "indeterminate", "D2R-CRL03", None)
    missing = opened(signed_by(pair, "gateway@dcc.example").partition(b"\r\n")[2], *options, "--no-revocation")
    assert outcome(missing)[:2] == (1, "refused")


def test_out_holds_what_was_signed(
    cast: Cast, opened: Open, trust: list[str], crls: list[str], key: list[str], tmp_path: Path
) -> None:
    """`--out` writes the signed entity, readable by its owner only, and nothing when the mail is not authentic."""
    body = entity(cast, Draft("oncologist", "main"), NOW, os.urandom)
    mail = deposit(cast, Draft("oncologist", "main"), NOW, body=body)
    out = tmp_path / "out.mime"
    assert opened(mail, *trust, *crls, *key, "--out", str(out)).code == 0
    assert out.read_bytes() == body
    assert out.stat().st_mode & 0o077 == 0
    out.unlink()
    assert opened(mail, *trust, *key, "--out", str(out)).code == 3
    assert not out.exists()


def test_for_a_person(cast: Cast, trust: list[str], crls: list[str], key: list[str], tmp_path: Path) -> None:
    """Without --json the first line is a sentence for anybody, and the rest says which checks ran."""
    path = tmp_path / "mail.eml"
    path.write_bytes(deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL))
    done = dcc("open", path, *trust, *crls, *key)
    assert done.out.splitlines()[0].startswith("Ce message est authentique : chiffré et signé par Hélène ROUSSEAU")
    assert "Jugé le" in done.out
    refused = dcc("open", path, *trust)
    assert refused.out.startswith("Ce message ne doit pas être cru")
    unsure = dcc("open", path, *trust, *key)
    assert unsure.out.startswith("On ne peut pas le dire")


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--profile", "carte"), "--profile"),
        (("--at", "hier"), "--at"),
        (("--environment", "essai"), "--environment"),
        (("--trust", "absent.pem"), "absent.pem"),
        (("--crl", "absent.crl"), "absent.crl"),
        (("--key", "absent.p12", "--password", "x"), "absent.p12"),
        (("--password", "x"), "--password"),
        (("--trust", "mail.eml"), "--trust"),
        (("--key", "mail.eml", "--password", "x"), "mail.eml"),
        (("--surprise",), "--surprise"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_usage(options: tuple[str, ...], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong option or file: exit 2, the option or file named on standard error, nothing on standard output."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mail.eml").write_bytes(b"From: a@b.example\r\n\r\nx\r\n")
    done = dcc("open", "mail.eml", *options)
    assert (done.code, done.out) == (2, "")
    assert word in done.err


def test_no_such_message(tmp_path: Path) -> None:
    """A message that is not there, or is a folder: exit 2 and one line."""
    for path in (tmp_path / "absent.eml", tmp_path):
        done = dcc("open", path)
        assert (done.code, len(done.err.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("signing", "detail"),
    [(Signing(digest="sha1"), "sha1"), (Signing(throwaway.pair("rsa-1024")), "rsa-1024")],
    ids=["sha1", "rsa-1024"],
)
def test_an_archive(signing: Signing, detail: str, opened: Open, tmp_path: Path) -> None:
    """R-ALGO: a weak signature is refused by the algorithm's name, its facts told and its content kept back; `--legacy` reads
    the archive, writes it and still refuses it."""
    (tmp_path / "root.pem").write_bytes(throwaway.pem(throwaway.root()))
    mail = throwaway.FIELDS + throwaway.part("application/pkcs7-mime; name=smime.p7m", signed_data(SMALL, [signing]))
    out = tmp_path / "content"
    options = ("--profile", "address", "--trust", str(tmp_path / "root.pem"), "--no-revocation", "--out", str(out))
    closed = opened(mail, *options)
    assert not out.exists()
    archive = opened(mail, *options, "--legacy")
    assert out.read_bytes() == SMALL
    assert detail in archive.err
    for done in (closed, archive):
        assert (done.code, done.json["outcome"], done.json["reason"]) == (1, "refused", "D2R-ALG01")
        assert (done.json["detail"], done.json["intact"]) == (detail, True)
        assert done.json["content"] == {"size": len(SMALL), "sha256": hashlib.sha256(SMALL).hexdigest()}
        assert done.json["signatures"][0]["weakness"] == [detail]
        assert "R-ALGO" in done.json["findings"]


def test_the_archive_switch_gives_no_altered_content(opened: Open, tmp_path: Path) -> None:
    """R-ALGO: under `--legacy` a content that its weak signature does not cover is not written."""
    altered = signed_data(SMALL, [Signing(digest="sha1")]).replace(b"Bonjour", b"Bonsoir")
    out = tmp_path / "content"
    mail = throwaway.FIELDS + throwaway.part("application/pkcs7-mime; name=smime.p7m", altered)
    done = opened(mail, "--legacy", "--out", str(out))
    assert (done.json["reason"], done.json["content"], out.exists()) == ("D2R-SIG02", None, False)


def test_a_wrong_password(cast: Cast, opened: Open) -> None:
    """A password that does not open its key is a usage error, not a refusal of the message."""
    done = opened(SMALL, "--key", str(cast.directory / "keys/dechiffrement.p12"), "--password", "wrong")
    assert done.code == 2
    assert "mot de passe faux" in done.err


def test_the_instance_is_not_needed(cast: Cast, opened: Open, trust: list[str], tmp_path: Path) -> None:
    """The certificates and lists are enough: no instance, no network, no dcc.toml."""
    mail = deposit(cast, Draft("oncologist", "main"), NOW, body=SMALL, encrypted=False)
    shutil.copy(cast.directory / cast.told["anchors"][0], tmp_path / "one.pem")
    assert opened(mail, *trust, "--no-revocation").code == 0
