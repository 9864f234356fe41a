"""`dcc card issue`: look-alike cards for a test PKI, never beside a production instance."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from dcc.cards.issue import LookAlikePki
from dcc.smime.keys import load_pkcs12
from terminal import Done, dcc


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test PKI, made by the first card that it issues."""
    folder = tmp_path_factory.mktemp("pki")
    assert issue(folder, folder / "first").code == 0
    return folder


def issue(pki: Path, out: Path, *options: str | Path) -> Done:
    return dcc(
        "card", "issue", "--pki", pki, "--out", out, "--family-name", "DUPONT", "--given-name", "ANNE", "--json", *options
    )  # fmt: skip


def judged(out: Path, *options: str) -> Done:
    lists = [part for one in sorted(out.glob("*.crl")) for part in ("--crl", one)]
    return dcc("card", *options, "--trust", out / "trust.pem", *lists, "--json")


def test_a_card_like_a_real_one(pki: Path, tmp_path: Path) -> None:
    """The card is a test CPS: its signature certificate is VALID for signing, the other one WRONG_USAGE."""
    done = issue(pki, tmp_path / "card", "--specialty", "SM36", "--encryption", "anne.dupont@medecin.mssante.fr")
    assert done.code == 0, done.err
    told = judged(tmp_path / "card", str(tmp_path / "card/signature.pem"))
    assert (told.code, told.json["verdict"]) == (0, "VALID")
    assert told.json["holder"]["family_name"] == "DUPONT"
    assert (told.json["holder"]["card_type"], told.json["holder"]["specialties"]) == ("CPS", ["SM36"])
    assert told.json["environment"] == "test"
    assert judged(tmp_path / "card", str(tmp_path / "card/authentication.pem")).json["verdict"] == "WRONG_USAGE"
    reader = judged(tmp_path / "card", str(tmp_path / "card/encryption.pem"), "--purpose", "encrypt")
    assert (reader.code, reader.json["verdict"]) == (0, "VALID")
    pair = load_pkcs12((tmp_path / "card/signature.p12").read_bytes(), done.json["password"].encode())
    assert pair.chain
    assert all(Path(one).stat().st_mode & 0o077 == 0 for one in done.json["files"] if one.endswith((".key", ".p12")))


def test_the_same_authorities_again(pki: Path, tmp_path: Path) -> None:
    """A second card comes from the PKI that is there: the first one's anchors judge it."""
    with patch.object(LookAlikePki, "create", side_effect=AssertionError("a second PKI")):
        assert issue(pki, tmp_path / "card", "--kind", "CPE", "--idnps", "30B0057881/CPET0002",
                     "--structure", "10B0057881").code == 0  # fmt: skip
    told = judged(pki / "first", str(tmp_path / "card/signature.pem"))
    assert told.json["verdict"] == "VALID"
    assert (told.json["holder"]["card_type"], told.json["holder"]["profession"]) == ("CPE", None)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("environment", ['environment = "production"', "", "environment = [broken"])
def test_never_in_production(pki: Path, tmp_path: Path, environment: str, named: bool) -> None:
    """A production instance, named or around the folder, or one that cannot be read: nothing is issued."""
    (tmp_path / "dcc.toml").write_text(f"[gateway]\n{environment}\n", encoding="utf-8")
    out = tmp_path / "elsewhere" / "card"
    options = ("-c", tmp_path / "dcc.toml") if named else ()
    done = issue(pki, out, *options)
    assert (done.code, done.out) == (1, "")
    assert "dcc.toml" in done.err
    assert not out.exists()


def test_beside_a_test_instance(pki: Path, tmp_path: Path) -> None:
    """A test instance may have test cards; what the environment says of production counts."""
    (tmp_path / "dcc.toml").write_text('[gateway]\nenvironment = "test"\n', encoding="utf-8")
    assert issue(pki, tmp_path / "one").code == 0
    with patch.dict("os.environ", {"DCC_GATEWAY__ENVIRONMENT": "production"}):
        assert issue(pki, tmp_path / "two").code == 1


@pytest.mark.parametrize(
    "options",
    [("--idnps", "899700523528"), ("--kind", "CPX"), ("--kind", "CPE"), ("--structure", "10B0057881")],
)
def test_wrong_options(pki: Path, tmp_path: Path, options: tuple[str, str]) -> None:
    """A wrong identifier, kind, or a structure where it does not belong: exit 2, nothing written."""
    assert issue(pki, tmp_path / "card", *options).code == 2
    assert not (tmp_path / "card").exists()


def test_nothing_is_written_over(pki: Path, tmp_path: Path) -> None:
    """A card that is there stays, and a folder with something else in it is no PKI."""
    assert issue(pki, pki / "first").code == 1
    (tmp_path / "note").write_text("x", encoding="ascii")
    done = issue(tmp_path, tmp_path / "card")
    assert done.code in (1, 2)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["note"]
