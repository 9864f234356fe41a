"""The peer programs' key stores, made once: PEM files for openssl, a home for gpgsm, a database for NSS."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from throwaway import ENCRYPT, PASSWORD, intermediate, p12, pair, pem, pem_key, root

OWNERS = [
    (kind, use, who)
    for kind in ("rsa", "p256", "p384")
    for use, who in (("sign", "gateway"), (ENCRYPT, "reader"))
]  # fmt: skip


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """root.pem, chain.pem, and for each pair `KIND-USE.pem` and `KIND-USE.key`."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "root.pem").write_bytes(pem(root()))
    (folder / "chain.pem").write_bytes(pem(intermediate()))
    for kind, use, who in OWNERS:
        one = pair(kind, use, who)
        (folder / f"{kind}-{use}.pem").write_bytes(pem(one.certificate))
        (folder / f"{kind}-{use}.key").write_bytes(pem_key(one))
    return folder


@pytest.fixture(scope="session")
def gpgsm_home() -> Iterator[Path]:
    """A home with the RSA pairs, trusting the root, without CRL checks; its agent ends with the tests."""
    home = Path(tempfile.mkdtemp(prefix="dcc-g", dir="/tmp"))  # the agent's socket needs a short path
    home.chmod(0o700)
    fingerprint = hashlib.sha1(root()).hexdigest().upper()
    (home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
    (home / "gpgsm.conf").write_text("disable-crl-checks\ndisable-policy-checks\nbatch\n")
    (home / "gpg-agent.conf").write_text("allow-loopback-pinentry\n")
    environment = {**os.environ, "GNUPGHOME": str(home)}
    try:
        for name, data in (("root", root()), ("chain", intermediate())):
            (home / name).write_bytes(data)
            subprocess.run(["gpgsm", "--import", str(home / name)], env=environment, check=True, capture_output=True)
        for use, who in (("sign", "gateway"), (ENCRYPT, "reader")):
            (home / "one.p12").write_bytes(p12(pair("rsa", use, who), legacy=True))
            import_ = [
                "gpgsm",
                "--pinentry-mode",
                "loopback",
                "--passphrase-fd",
                "0",
                "--import",
                str(home / "one.p12"),
            ]
            subprocess.run(import_, input=PASSWORD.encode() + b"\n", env=environment, check=True, capture_output=True)
        yield home
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def nss(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the pairs (RSA and EC), trusting the root."""
    folder = tmp_path_factory.mktemp("nss")
    database = f"sql:{folder}"
    run = [["certutil", "-N", "-d", database, "--empty-password"]]
    for name, data, trust in (("root", root(), "CT,CT,CT"), ("chain", intermediate(), ",,")):
        (folder / f"{name}.der").write_bytes(data)
        run.append(["certutil", "-A", "-d", database, "-n", name, "-t", trust, "-i", str(folder / f"{name}.der")])
    for kind, use, who in OWNERS:
        path = folder / f"{kind}-{use}.p12"
        path.write_bytes(p12(pair(kind, use, who), f"{kind}-{use}".encode(), legacy=True))
        run.append(["pk12util", "-i", str(path), "-d", database, "-W", PASSWORD, "-K", ""])
    announced = folder / "announced.p12"
    announced.write_bytes(p12(pair("rsa", ENCRYPT, "gateway"), b"announced", legacy=True))
    run.append(["pk12util", "-i", str(announced), "-d", database, "-W", PASSWORD, "-K", ""])
    for command in run:
        subprocess.run(command, check=True, capture_output=True)
    return folder
