"""`openssl cms` reads what we seal, and we read what it makes, in every profile that it can do."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dcc.smime.seal import Profile
from dcc.smime.verdict import Problem
from throwaway import CONTENT, ENCRYPT, ENTITY, opened, pair, sealed

pytestmark = pytest.mark.peer("openssl")


def openssl(*arguments: str | Path) -> bytes:
    """Standard output of `openssl`; its output counts only when it exits 0 (facts/smime.md 1.4)."""
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def read_by_openssl(mail: bytes, store: Path, folder: Path, kind: str, *trust: str) -> bytes:
    """Decrypted and verified by openssl: the signed entity."""
    (folder / "mail.eml").write_bytes(mail)
    key = ("-recip", store / f"{kind}-encrypt.pem", "-inkey", store / f"{kind}-encrypt.key")
    openssl("cms", "-decrypt", "-in", folder / "mail.eml", *key, "-out", folder / "plain.eml")
    return verified_by_openssl(folder / "plain.eml", store, *trust)


def verified_by_openssl(path: Path, store: Path, *trust: str) -> bytes:
    return openssl("cms", "-verify", "-in", path, "-CAfile", store / "root.pem", "-purpose", "smimesign", *trust)


PROFILES = {
    "default": Profile(),
    "aes128": Profile(cipher="aes128-cbc"),
    "oaep": Profile(key_transport="oaep"),
    "opaque": Profile(detached=False),
    "opaque-sha512": Profile(detached=False, digest="sha512"),
    "sha384": Profile(digest="sha384"),
    "pss": Profile(pss=True),
    "pss-sha512": Profile(pss=True, digest="sha512"),
    "wrapped": Profile(header_protection="wrapped"),
    "announced": Profile(extra_certificates=(pair("rsa", ENCRYPT, "gateway").certificate,)),
}


@pytest.mark.parametrize("name", PROFILES)
def test_openssl_reads_each_profile(name: str, store: Path, tmp_path: Path) -> None:
    """openssl decrypts and verifies each outgoing profile, up to our root, and finds the content."""
    mail, _ = sealed(PROFILES[name])
    assert CONTENT in read_by_openssl(mail, store, tmp_path, "rsa")


@pytest.mark.parametrize("recipient", ["rsa", "p256", "p384"])
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes128-cbc", "aes256-gcm"])
def test_openssl_reads_each_recipient(recipient: str, cipher: str, store: Path, tmp_path: Path) -> None:
    """RSA and ECDH recipients, CBC and GCM."""
    to = pair(recipient, ENCRYPT, "reader").certificate
    mail, _ = sealed(Profile(cipher=cipher), recipient=to)  # type: ignore[arg-type]
    assert CONTENT in read_by_openssl(mail, store, tmp_path, recipient)


@pytest.mark.parametrize("signer", ["p256", "p384"])
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
def test_openssl_verifies_ecdsa(signer: str, detached: bool, store: Path, tmp_path: Path) -> None:
    """ECDSA signatures, whose length varies, sit right in their definite lengths."""
    for _ in range(3):
        mail, _done = sealed(Profile(detached=detached), signer=pair(signer))
        assert CONTENT in read_by_openssl(mail, store, tmp_path, "rsa")


@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
def test_openssl_verifies_signed_only(detached: bool, store: Path, tmp_path: Path) -> None:
    """A notice without content is signed only."""
    mail, _ = sealed(Profile(detached=detached), recipient=None)
    (tmp_path / "mail.eml").write_bytes(mail)
    assert CONTENT in verified_by_openssl(tmp_path / "mail.eml", store, "-cades")


def test_openssl_sees_an_altered_mail(store: Path, tmp_path: Path) -> None:
    """One changed letter in the signed content: openssl refuses, so the test above means something."""
    mail, _ = sealed(recipient=None)
    (tmp_path / "mail.eml").write_bytes(mail.replace(b"Compte rendu", b"Compte rendi", 1))
    with pytest.raises(AssertionError):
        verified_by_openssl(tmp_path / "mail.eml", store)


SIGNED_BY = {
    "rsa": ("rsa", ()),
    "rsa-sha384": ("rsa", ("-md", "sha384")),
    "rsa-sha512": ("rsa", ("-md", "sha512")),
    "pss": ("rsa", ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:-1")),
    "p256": ("p256", ()),
    "p384-sha384": ("p384", ("-md", "sha384")),
    "key-id": ("rsa", ("-keyid",)),
    "cades": ("rsa", ("-cades",)),
}
LONG_SALT = ("rsa", ("-keyopt", "rsa_padding_mode:pss"))  # openssl's default salt is as long as the key allows
SIGNED_AS = {
    "detached": (),
    "opaque": ("-nodetach",),
    "stream": ("-nodetach", "-stream"),
}
ENCRYPTED_TO = {
    "rsa-aes128": ("rsa", ("-aes128",)),
    "rsa-aes192": ("rsa", ("-aes192",)),
    "rsa-aes256": ("rsa", ("-aes256",)),
    "rsa-aes256-stream": ("rsa", ("-aes256", "-stream")),
    "rsa-gcm": ("rsa", ("-aes-256-gcm",)),
    "rsa-gcm-stream": ("rsa", ("-aes-128-gcm", "-stream")),
    "oaep": ("rsa", ("-aes256", "-keyopt", "rsa_padding_mode:oaep")),
    "oaep-sha256": ("rsa", ("-aes256", "-keyopt", "rsa_padding_mode:oaep", "-keyopt", "rsa_oaep_md:sha256")),
    "key-id": ("rsa", ("-aes256", "-keyid")),
    "ecdh-p256": ("p256", ("-aes256",)),
    "ecdh-p256-gcm": ("p256", ("-aes-256-gcm",)),
    "ecdh-p384": ("p384", ("-aes256",)),
    "ecdh-sha256": ("p256", ("-aes256", "-keyopt", "ecdh_kdf_md:sha256")),
    "ecdh-p384-sha384": ("p384", ("-aes128", "-keyopt", "ecdh_kdf_md:sha384")),
    "ecdh-cofactor": ("p256", ("-aes256", "-keyopt", "ecdh_cofactor_mode:1")),
}


def made_by_openssl(store: Path, folder: Path, signed_by: str, signed_as: str, encrypted_to: str | None) -> bytes:
    """A mail made by openssl: signed, then encrypted when `encrypted_to` says to whom."""
    (folder / "entity").write_bytes(ENTITY)
    signer, options = {**SIGNED_BY, "long-salt": LONG_SALT}[signed_by]
    keys = ("-signer", store / f"{signer}-sign.pem", "-inkey", store / f"{signer}-sign.key")
    more = ("-certfile", store / "chain.pem", *SIGNED_AS[signed_as], *options)
    fields = ("-from", "gateway@dcc.example", "-to", "reader@dcc.example", "-subject", "[...]")
    outer = () if encrypted_to else fields
    openssl("cms", "-sign", "-in", folder / "entity", *keys, *more, *outer, "-out", folder / "signed.eml")
    if encrypted_to is None:
        return (folder / "signed.eml").read_bytes()
    kind, options = ENCRYPTED_TO[encrypted_to]
    recipient = ("-recip", store / f"{kind}-encrypt.pem")
    cipher = [one for one in options if one.startswith("-aes") or one == "-stream"]
    after = [one for one in options if one not in cipher]
    return openssl("cms", "-encrypt", *cipher, "-in", folder / "signed.eml", *fields, *recipient, *after)


def assert_read(mail: bytes, signer: str, recipient: str | None) -> None:
    found = opened(mail, pair(recipient or "rsa", ENCRYPT, "reader"))
    assert found.problem is None, (found.problem, found.findings, found.detail)
    assert found.encrypted == found.decrypted == (recipient is not None)
    assert (found.signed, found.intact) == (True, True)
    assert found.signers[0].certificate == pair(signer).certificate
    assert found.content is not None
    assert found.content.open().read().endswith(CONTENT)


# openssl 3.0 cannot write a streamed PSS signature ("illegal zero content")
MADE = [(by, as_) for by in SIGNED_BY for as_ in SIGNED_AS if (by, as_) != ("pss", "stream")]


@pytest.mark.parametrize(("signed_by", "signed_as"), MADE)
def test_we_read_what_openssl_signs(signed_by: str, signed_as: str, store: Path, tmp_path: Path) -> None:
    """RSA v1.5, PSS and ECDSA, detached and opaque, DER and BER, named by issuer or by key."""
    assert_read(made_by_openssl(store, tmp_path, signed_by, signed_as, None), SIGNED_BY[signed_by][0], None)


def test_a_salt_longer_than_the_hash_is_weak(store: Path, tmp_path: Path) -> None:
    """openssl's default PSS salt verifies, and is said to be weak (R-ALGO)."""
    found = opened(made_by_openssl(store, tmp_path, "long-salt", "detached", None))
    assert (found.intact, found.problem) == (True, Problem.WEAK)


@pytest.mark.parametrize("encrypted_to", ENCRYPTED_TO)
def test_we_read_what_openssl_encrypts(encrypted_to: str, store: Path, tmp_path: Path) -> None:
    """RSA v1.5, OAEP and ECDH, AES-128/192/256 in CBC and GCM, DER and BER."""
    mail = made_by_openssl(store, tmp_path, "rsa", "detached", encrypted_to)
    assert_read(mail, "rsa", ENCRYPTED_TO[encrypted_to][0])


def test_we_read_what_openssl_encrypts_to_both_kinds(store: Path, tmp_path: Path) -> None:
    """An EC recipient beside ours does not hinder us."""
    (tmp_path / "signed.eml").write_bytes(made_by_openssl(store, tmp_path, "rsa", "opaque", None))
    fields = ("-from", "gateway@dcc.example", "-to", "reader@dcc.example", "-subject", "[...]")
    to = [store / f"{kind}-encrypt.pem" for kind in ("p256", "rsa", "p384")]
    inner = (tmp_path / "signed.eml").read_bytes().split(b"Subject: [...]\n", 1)[1]
    (tmp_path / "signed.eml").write_bytes(inner)
    mail = openssl("cms", "-encrypt", "-aes256", "-in", tmp_path / "signed.eml", *fields, *to)
    for kind in ("rsa", "p256", "p384"):
        assert_read(mail, "rsa", kind)
