"""The published vectors: RFC 4134, openssl's and James's, each with the outcome that its index gives."""

from __future__ import annotations

import hashlib
import time
import tracemalloc
from pathlib import Path

import pytest

from dcc.smime.keys import KeyPair, load_pkcs8
from dcc.smime.open import open_any, open_cms
from dcc.smime.verdict import Covered, Opened, Problem

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors"
pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="shared vectors are not present")
RFC = VECTORS / "rfc" / "rfc4134"
CMS = VECTORS / "openssl" / "test" / "recipes" / "80-test_cms_data"
CONTENT = "ExContent.bin"


def opened(path: Path, **options: object) -> Opened:
    with path.open("rb") as file:
        return open_any(file, **options)  # type: ignore[arg-type]


def content(found: Opened) -> bytes:
    assert found.content is not None
    return found.content.open().read()


@pytest.mark.parametrize("name", ["4.1", "4.2", "4.4", "4.5", "4.7", "4.10"])
def test_rfc4134_signed_is_weak(name: str) -> None:
    """Right by arithmetic and weak: SHA-1, DSA, RSA-1024; the content as published, behind the archive switch (R-ALGO)."""
    closed, archive = opened(RFC / f"{name}.bin"), opened(RFC / f"{name}.bin", allow_legacy=True)
    for found in (closed, archive):
        assert found.problem is Problem.WEAK
        assert found.intact
        assert "sha1" in str(found.detail)
        assert all(one.good and one.weak for one in found.signers)
    assert closed.content is None
    if name != "4.10":
        assert content(archive) == (RFC / CONTENT).read_bytes()
    told = content(archive)
    assert closed.covered == Covered(len(told), hashlib.sha256(told).hexdigest())


def test_rfc4134_detached() -> None:
    """The detached DSA signature is good over the content, weak; without the content there is nothing to verify."""
    with (RFC / "4.3.bin").open("rb") as cms, (RFC / CONTENT).open("rb") as beside:
        found = open_cms(cms, detached_content=beside)
        assert (found.problem, found.intact) == (Problem.WEAK, True)
        assert open_cms(cms).problem is Problem.MALFORMED


def test_rfc4134_two_signers() -> None:
    """Diane's DSA certificate inherits its parameters: unsupported, so never trusted."""
    found = opened(RFC / "4.6.bin")
    assert len(found.signers) == 2
    assert found.problem is Problem.NOT_INTACT
    assert all(one.weak for one in found.signers)


@pytest.mark.parametrize("name", ["4.8.eml", "4.9.eml"])
def test_rfc4134_mails(name: str) -> None:
    """multipart/signed and an opaque mail: good, weak, each weakness named."""
    found = opened(RFC / name)
    assert (found.problem, found.intact, found.content) == (Problem.WEAK, True, None)
    assert found.detail == "dsa, sha1"


@pytest.mark.parametrize("name", ["3.1", "3.2", "4.11", "6.0"])
def test_rfc4134_not_signed(name: str) -> None:
    """Plain data, certificates only, a digest: nobody signed (R-SIGNERS)."""
    found = opened(RFC / f"{name}.bin")
    assert (found.problem, found.signed, found.encrypted) == (Problem.NOT_SIGNED, False, False)


def bob() -> KeyPair:
    return load_pkcs8((RFC / "BobPrivRSAEncrypt.pri").read_bytes(), (RFC / "BobRSASignByCarl.cer").read_bytes())


def test_rfc4134_rc2() -> None:
    """RC2 with 40 bits of key is not supported, with any key and any switch."""
    found = opened(RFC / "5.2.bin", keys=[bob()], allow_legacy=True)
    assert (found.problem, found.decrypted) == (Problem.WEAK, False)
    assert opened(RFC / "5.2.bin").content is None


@pytest.mark.parametrize("name", ["5.1.bin", "5.3.eml"])
def test_rfc4134_encrypted(name: str) -> None:
    """3DES for Bob: closed without the switch; with it opened, unsigned, and never believed."""
    assert opened(RFC / name).problem is Problem.NOT_FOR_US
    closed = opened(RFC / name, keys=[bob()])
    assert (closed.problem, closed.decrypted) == (Problem.WEAK, False)
    archive = opened(RFC / name, keys=[bob()], allow_legacy=True)
    assert (archive.problem, archive.decrypted, archive.content) == (Problem.NOT_SIGNED, True, None)


@pytest.mark.parametrize("name", ["7.1", "7.2"])
def test_rfc4134_encrypted_data(name: str) -> None:
    """EncryptedData has no recipient: not for us."""
    assert opened(RFC / f"{name}.bin", keys=[bob()]).problem is Problem.NOT_FOR_US


@pytest.mark.parametrize("name", ["no_ct_attr", "no_md_attr", "ct_multiple_attr", "bad_signtime_attr"])
def test_openssl_attributes(name: str) -> None:
    """The four files of wrong attributes are refused by rule (R-ATTRS)."""
    found = opened(CMS / f"{name}.cms")
    assert found.problem is Problem.NOT_INTACT
    assert "R-ATTRS" in found.findings


def test_openssl_ecdh() -> None:
    """Several EC recipients, ECDH with the SHA-1 derivation and 3DES: opened under the switch; it is not signed."""
    pem = (VECTORS / "openssl/test/smime-certs/smec3.pem").read_bytes()
    found = opened(CMS / "ciphertext_from_1_1_1.cms", keys=[load_pkcs8(pem, pem)], allow_legacy=True)
    assert (found.problem, found.decrypted) == (Problem.NOT_SIGNED, True)
    assert found.layers[0].algorithms["key"] == "dhSinglePass-stdDH-sha1kdf"


OPENSSL = {
    "80-test_cms_data/authenveloped_attrs.pem": Problem.NOT_FOR_US,  # a KEK recipient
    "80-test_cms_data/bad_authenveloped_attrs.pem": Problem.NOT_FOR_US,
    "80-test_cms_data/authenticated_attrs.pem": Problem.NOT_FOR_US,  # AuthenticatedData
    "80-test_cms_data/rsa-malformed.der": Problem.NOT_FOR_US,
    "80-test_cms_data/ecdh-malformed.der": Problem.NOT_FOR_US,
    "80-test_cms_data/dh-malformed.der": Problem.NOT_FOR_US,
    "80-test_cms_data/pkcs7-md4.pem": Problem.NOT_INTACT,  # an unknown digest verifies nothing
    "80-test_cmsapi_data/cms_pwri_kek_oob.der": Problem.NOT_FOR_US,
    "80-test_cmsapi_data/encryptedData.der": Problem.NOT_FOR_US,
    "80-test_cmsapi_data/encDataWithTooLongIV.pem": Problem.WEAK,  # R-GCM
    "25-test_pkcs7_data/malformed.pkcs7": Problem.MALFORMED,
    "../cms-msg/missing-kdf.der": Problem.NOT_FOR_US,
    "../cms-msg/enveloped-content-type-for-aes-gcm.pem": Problem.NOT_FOR_US,
    "../smime-eml/pkcs7-empty-digest-set.eml": Problem.NOT_INTACT,
}


@pytest.mark.parametrize("name", OPENSSL)
def test_openssl_refused(name: str) -> None:
    """Each hostile file of openssl has a clean refusal and no content."""
    found = opened(CMS.parent / name)
    assert found.problem is OPENSSL[name]
    assert found.content is None


@pytest.mark.parametrize(("key", "name"), [("smrsa1.pem", "rsa-malformed.der"), ("ecdh", "ecdh-malformed.der")])
def test_openssl_malformed_for_us(key: str, name: str) -> None:
    """With a key at hand the malformed key blocks have the one outcome of whatever fails to open (R-ORACLE)."""
    if key == "ecdh":
        pair = load_pkcs8((CMS / "ecdh-key.pem").read_bytes(), (CMS / "ecdh-cert.pem").read_bytes())
    else:
        pem = (VECTORS / "openssl/test/smime-certs" / key).read_bytes()
        pair = load_pkcs8(pem, pem)
    found = opened(CMS / name, keys=[pair])
    assert found.problem in {Problem.NOT_OPENED, Problem.NOT_FOR_US}
    assert found.content is None


JAMES = [
    "mail_with_signature",
    "mail-with-signature-and-multi-certs",
    "mail_with_signature_and_content_type_xpkcs7mime",
]


@pytest.mark.parametrize("name", JAMES)
def test_james(name: str) -> None:
    """The three mails of James are intact and validly signed."""
    found = opened(VECTORS / "james/smime-test-resource-set" / f"{name}.eml")
    assert (found.problem, found.signed, found.intact) == (None, True, True)


def files(folder: str) -> list[Path]:
    found = (VECTORS / folder).rglob("*")
    return sorted(path for path in found if path.is_file())


@pytest.mark.parametrize("folder", ["rfc", "openssl", "james", "mime4j", "mailparser-stalwart"])
def test_robustness(folder: str) -> None:
    """No file of any folder crashes the reader, takes 100 ms or much memory, or counts as signed by accident."""
    slowest = 0.0
    tracemalloc.start()
    try:
        for path in files(folder):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            begun = time.thread_time()
            with path.open("rb") as file:
                found = open_any(file)
            slowest = max(slowest, time.thread_time() - begun)
            assert tracemalloc.get_traced_memory()[1] - before < 50 << 20, path.name
            if folder in {"mime4j", "mailparser-stalwart"}:
                assert found.problem is not None, path.name
                assert found.content is None, path.name
            found.close()
    finally:
        tracemalloc.stop()
    assert slowest < 0.5  # 100 ms without the tracing of memory
