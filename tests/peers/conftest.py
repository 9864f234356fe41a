"""The peer programs' key stores, made once: PEM files for openssl, a home for gpgsm, a database for NSS."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path

import pytest

from interop import Unable
from peerprograms import GPG_AGENT, BouncyCastle, import_into_gpgsm, key_file
from throwaway import ENCRYPT, PASSWORD, intermediate, pair, pem, pem_key, root

OWNERS = [
    *((kind, "sign", "gateway") for kind in ("rsa", "p256", "p384", "p521", "ed25519")),
    *((kind, ENCRYPT, "reader") for kind in ("rsa", "p256", "p384", "p521", "x25519")),
]


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
def gpgsm_home(store: Path) -> Iterator[Path]:
    """A home with the pairs that gpgsm imports, trusting the root, without CRL checks; its agent ends with the tests."""
    home = Path(tempfile.mkdtemp(prefix="dcc-g", dir="/tmp"))  # the agent's socket needs a short path
    home.chmod(0o700)
    fingerprint = hashlib.sha1(root()).hexdigest().upper()
    (home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
    (home / "gpgsm.conf").write_text("disable-crl-checks\ndisable-policy-checks\nbatch\n")
    (home / "gpg-agent.conf").write_text(GPG_AGENT)
    environment = {**os.environ, "GNUPGHOME": str(home)}
    try:
        for name, data in (("root", root()), ("chain", intermediate())):
            (home / name).write_bytes(data)
            subprocess.run(["gpgsm", "--import", str(home / name)], env=environment, check=True, capture_output=True)
        for kind, use, who in OWNERS:
            one = home / f"{kind}-{use}"
            one.with_suffix(".der").write_bytes(pair(kind, use, who).certificate)
            # What it does not import it will not read: the tables say so, and the tests see it.
            subprocess.run(["gpgsm", "--import", str(one.with_suffix(".der"))], env=environment, capture_output=True)
            with nullcontext() if kind == "rsa" else suppress(Unable):
                import_into_gpgsm(partial(key_file, store, kind, use, who, one.name), one.with_suffix(".p12"), home)
        yield home
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False, capture_output=True)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def nss(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the pairs that NSS imports, trusting the root."""
    folder = tmp_path_factory.mktemp("nss")
    database = f"sql:{folder}"
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True, capture_output=True)
    for name, data, trust in (("root", root(), "CT,CT,CT"), ("chain", intermediate(), ",,")):
        (folder / f"{name}.der").write_bytes(data)
        add = ["certutil", "-A", "-d", database, "-n", name, "-t", trust, "-i", str(folder / f"{name}.der")]
        subprocess.run(add, check=True, capture_output=True)
    for kind, use, who in [*OWNERS, ("rsa", ENCRYPT, "gateway")]:
        name = "announced" if (use, who) == (ENCRYPT, "gateway") else f"{kind}-{use}"
        path = folder / f"{name}.p12"
        path.write_bytes(key_file(store, kind, use, who, name))
        add = ["pk12util", "-i", str(path), "-d", database, "-W", PASSWORD, "-K", ""]
        done = subprocess.run(add, check=kind == "rsa", capture_output=True)
        if done.returncode:  # at least the certificate, so that it may be a recipient
            path.write_bytes(pair(kind, use, who).certificate)
            add = ["certutil", "-A", "-d", database, "-n", name, "-t", ",,", "-i", str(path)]
            subprocess.run(add, check=False, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def bouncycastle(store: Path) -> Iterator[BouncyCastle]:
    """BouncyCastle in one Java process, with the keys of `store`."""
    program = BouncyCastle(store)
    yield program
    program.close()
