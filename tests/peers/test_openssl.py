"""What only openssl can say of our mail, beside the tables: CAdES, headers wrapped, and its own odd default."""

from __future__ import annotations

from pathlib import Path

import pytest

from dcc.smime.seal import Profile
from dcc.smime.verdict import Problem
from interop import Case
from peerprograms import FROM_TO, OpenSsl, run
from throwaway import CONTENT, ENTITY, opened, sealed

pytestmark = pytest.mark.peer("openssl")


@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
def test_openssl_verifies_the_certificate_attribute(detached: bool, store: Path, tmp_path: Path) -> None:
    """signingCertificateV2 names the signer's certificate (RFC 5035): openssl checks it in its CAdES mode."""
    (tmp_path / "mail.eml").write_bytes(sealed(Profile(detached=detached), recipient=None)[0])
    root = ("-CAfile", store / "root.pem", "-purpose", "smimesign")
    assert CONTENT in run("openssl", "cms", "-verify", "-cades", "-in", tmp_path / "mail.eml", *root)


def test_openssl_reads_wrapped_headers(store: Path, tmp_path: Path) -> None:
    """The older header protection is one message/rfc822 part: openssl gives it back whole."""
    mail, _ = sealed(Profile(header_protection="wrapped"))
    assert CONTENT in OpenSsl(store).read(mail, Case(recipients=("rsa",)), tmp_path)


def test_a_salt_longer_than_the_hash_is_weak(store: Path, tmp_path: Path) -> None:
    """openssl's default PSS salt, as long as the key allows, verifies and is said to be weak (R-ALGO)."""
    (tmp_path / "entity").write_bytes(ENTITY)
    signer = ("-signer", store / "rsa-sign.pem", "-inkey", store / "rsa-sign.key", "-keyopt", "rsa_padding_mode:pss")
    found = opened(run("openssl", "cms", "-sign", "-in", tmp_path / "entity", "-md", "sha256", *signer, *FROM_TO))
    assert (found.intact, found.problem) == (True, Problem.WEAK)
