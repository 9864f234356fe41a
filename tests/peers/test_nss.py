"""NSS, the library of Thunderbird, writes attributes of its own: they are read, and do no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop import Case, Unable, made_by_us
from peerprograms import Nss, OpenSsl
from throwaway import ENCRYPT, opened, pair

pytestmark = pytest.mark.peer("nss", "openssl")


@pytest.mark.parametrize("signer", ["rsa", "p256"])
def test_the_key_preference_of_nss_is_read(signer: str, nss: Path, tmp_path: Path) -> None:
    """Both forms of the encryption key preference, the standard and Microsoft's, lead to the announced certificate."""
    found = opened(Nss(nss).make(Case(signer=signer, recipients=("rsa",), cipher="aes128-cbc"), tmp_path))
    assert found.problem is None, (found.problem, found.findings, found.detail)
    assert found.signers[0].signing_time is not None
    assert found.signers[0].encryption_key_preference == pair("rsa", ENCRYPT, "gateway").certificate


def test_one_curve_recipient_hides_the_whole_message_from_nss(store: Path, nss: Path, tmp_path: Path) -> None:
    """NSS reads openssl's mail to its RSA key, and none of it once an EC recipient stands beside: we never write that."""
    alone, beside = Case(recipients=("rsa",)), Case(recipients=("p256", "rsa"))
    Nss(nss).read(made_by_us(alone), alone, tmp_path)
    made = OpenSsl(store).make(beside, tmp_path).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    with pytest.raises(Unable, match="SEC_ERROR_BAD_DER"):
        Nss(nss).read(made, beside, tmp_path)
