"""gpgsm reads our default profile, and we read what it makes (BER, indefinite lengths)."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
from email import message_from_bytes
from pathlib import Path

import pytest

from dcc.smime.seal import Profile
from throwaway import CONTENT, ENCRYPT, ENTITY, FIELDS, multipart, opened, pair, part, sealed

pytestmark = pytest.mark.peer("gpgsm", "openssl")


def gpgsm(home: Path, *arguments: str | Path, data: bytes = b"") -> bytes:
    done = subprocess.run(
        ["gpgsm", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *map(str, arguments)],
        input=data, capture_output=True, check=False, timeout=60, env={**os.environ, "GNUPGHOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def decrypted(mail: bytes, home: Path, folder: Path) -> bytes:
    (folder / "mail.der").write_bytes(base64.b64decode(mail.partition(b"\r\n\r\n")[2]))
    return gpgsm(home, "--passphrase-fd", "0", "--decrypt", folder / "mail.der", data=b"secret\n")


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
@pytest.mark.parametrize("cipher", ["aes256-cbc", "aes128-cbc"])
def test_gpgsm_reads_detached(cipher: str, digest: str, gpgsm_home: Path, tmp_path: Path) -> None:
    """gpgsm decrypts our default profile and verifies its detached signature."""
    announced = pair("rsa", ENCRYPT, "gateway").certificate
    profile = Profile(cipher=cipher, digest=digest, extra_certificates=(announced,))  # type: ignore[arg-type]
    plain = decrypted(sealed(profile)[0], gpgsm_home, tmp_path)
    boundary = re.search(rb'boundary="([^"]+)"', plain)
    assert boundary is not None
    entity = plain.split(b"--" + boundary[1])[1][2:-2]
    signature = message_from_bytes(plain).get_payload()[1].get_payload(decode=True)  # type: ignore[union-attr, index]
    (tmp_path / "entity").write_bytes(entity)
    (tmp_path / "signature").write_bytes(signature)  # type: ignore[arg-type]
    gpgsm(gpgsm_home, "--verify", tmp_path / "signature", tmp_path / "entity")
    (tmp_path / "entity").write_bytes(entity.replace(b"RCP", b"RCQ", 1))
    with pytest.raises(AssertionError):
        gpgsm(gpgsm_home, "--verify", tmp_path / "signature", tmp_path / "entity")


def test_gpgsm_reads_opaque(gpgsm_home: Path, tmp_path: Path) -> None:
    """gpgsm decrypts and verifies our opaque form."""
    plain = decrypted(sealed(Profile(detached=False))[0], gpgsm_home, tmp_path)
    signed = message_from_bytes(plain).get_payload(decode=True)
    assert isinstance(signed, bytes)
    (tmp_path / "signed").write_bytes(signed)
    assert CONTENT in gpgsm(gpgsm_home, "--output", "-", "--verify", tmp_path / "signed")


@pytest.mark.parametrize("cipher", ["AES", "AES192", "AES256"])
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
def test_we_read_what_gpgsm_makes(detached: bool, cipher: str, gpgsm_home: Path, tmp_path: Path) -> None:
    """Signed then encrypted by gpgsm, opaque and detached."""
    (tmp_path / "entity").write_bytes(ENTITY)
    fingerprint = hashlib.sha1(pair().certificate).hexdigest()  # the address alone names two certificates
    secret = ("--passphrase-fd", "0", "-u", fingerprint, "--include-certs", "2")
    form = ("--detach-sign",) if detached else ("--sign",)
    signature = gpgsm(gpgsm_home, *secret, *form, tmp_path / "entity", data=b"secret\n")
    inner = (
        multipart(ENTITY, signature) if detached else part("application/pkcs7-mime; smime-type=signed-data", signature)
    )
    (tmp_path / "inner").write_bytes(inner)
    made = gpgsm(
        gpgsm_home, "--encrypt", "--disable-crl-checks", "--cipher-algo", cipher, "-r", "reader@dcc.example",
        tmp_path / "inner",
    )  # fmt: skip
    found = opened(FIELDS + part("application/x-pkcs7-mime; name=smime.p7m", made))
    assert found.problem is None, (found.problem, found.findings, found.detail)
    assert (found.encrypted, found.intact) == (True, True)
    assert found.signers[0].certificate == pair().certificate
    assert found.content is not None
    assert found.content.open().read() == ENTITY
