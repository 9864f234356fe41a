"""NSS (the library of Thunderbird) reads our default profile through cmsutil, and we read what it makes."""

from __future__ import annotations

import base64
import subprocess
from email import message_from_bytes
from pathlib import Path

import pytest

from dcc.smime.seal import Profile
from throwaway import CONTENT, ENCRYPT, ENTITY, FIELDS, multipart, opened, pair, part, sealed

pytestmark = pytest.mark.peer("nss")


def cmsutil(nss: Path, *arguments: str | Path) -> bytes:
    done = subprocess.run(
        ["cmsutil", *map(str, arguments), "-d", f"sql:{nss}"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def decrypted(mail: bytes, nss: Path, folder: Path) -> bytes:
    (folder / "mail.der").write_bytes(base64.b64decode(mail.partition(b"\r\n\r\n")[2]))
    return cmsutil(nss, "-D", "-i", folder / "mail.der")


@pytest.mark.parametrize("signer", ["rsa", "p256", "p384"])
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes128-cbc"])
def test_nss_reads_detached(cipher: str, signer: str, nss: Path, tmp_path: Path) -> None:
    """NSS decrypts our default profile and verifies the detached signature, announced certificate included."""
    announced = pair("rsa", ENCRYPT, "gateway").certificate
    profile = Profile(cipher=cipher, extra_certificates=(announced,))  # type: ignore[arg-type]
    plain = decrypted(sealed(profile, signer=pair(signer))[0], nss, tmp_path)
    boundary = plain.partition(b'boundary="')[2].partition(b'"')[0]
    entity = plain.split(b"--" + boundary)[1][2:-2]
    signature = message_from_bytes(plain).get_payload()[1].get_payload(decode=True)  # type: ignore[union-attr, index]
    (tmp_path / "entity").write_bytes(entity)
    (tmp_path / "signature").write_bytes(signature)  # type: ignore[arg-type]
    cmsutil(nss, "-D", "-c", tmp_path / "entity", "-i", tmp_path / "signature", "-u", "4")


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_nss_reads_opaque(digest: str, nss: Path, tmp_path: Path) -> None:
    """NSS decrypts and verifies our opaque form, and refuses it once a letter is changed."""
    plain = decrypted(sealed(Profile(detached=False, digest=digest))[0], nss, tmp_path)  # type: ignore[arg-type]
    signed = message_from_bytes(plain).get_payload(decode=True)
    assert isinstance(signed, bytes)
    (tmp_path / "signed").write_bytes(signed)
    assert CONTENT in cmsutil(nss, "-D", "-i", tmp_path / "signed", "-u", "4")
    (tmp_path / "signed").write_bytes(signed.replace(b"RCP", b"RCQ", 1))
    with pytest.raises(AssertionError):
        cmsutil(nss, "-D", "-i", tmp_path / "signed", "-u", "4")


@pytest.mark.parametrize("signer", ["rsa", "p256"])
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
def test_we_read_what_nss_makes(detached: bool, signer: str, nss: Path, tmp_path: Path) -> None:
    """Signed by NSS, with signing time, capabilities and both key preferences, then encrypted by NSS."""
    (tmp_path / "entity").write_bytes(ENTITY)
    form = ("-T",) if detached else ()
    attributes = ("-G", "-P", "-Y", "announced")
    signature = cmsutil(
        nss, "-S", *form, "-N", f"{signer}-sign", *attributes, "-H", "SHA256", "-i", tmp_path / "entity"
    )
    inner = (
        multipart(ENTITY, signature) if detached else part("application/pkcs7-mime; smime-type=signed-data", signature)
    )
    (tmp_path / "inner").write_bytes(inner)
    made = cmsutil(nss, "-E", "-r", "rsa-encrypt", "-i", tmp_path / "inner")
    found = opened(FIELDS + part("application/pkcs7-mime; smime-type=enveloped-data", made))
    assert found.problem is None, (found.problem, found.findings, found.detail)
    assert (found.encrypted, found.intact) == (True, True)
    assert found.signers[0].certificate == pair(signer).certificate
    assert found.signers[0].encryption_key_preference == pair("rsa", ENCRYPT, "gateway").certificate
    assert found.content is not None
    assert found.content.open().read() == ENTITY
