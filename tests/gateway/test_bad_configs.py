"""Every way of getting the configuration wrong, one folder each: `dcc.toml`, and the lines that it gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cryptography import x509

from instancecopy import copied
from terminal import dcc

CASES = sorted((Path(__file__).resolve().parents[1] / "bad_configs").iterdir())
WATCH = "à surveiller : "


@pytest.fixture(scope="module")
def wrong(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo instance whose dcc.toml is replaced, and in which nothing else changes."""
    directory = tmp_path_factory.mktemp("wrong") / "instance"
    copied(made, directory)
    (directory / "var" / "vide.sqlite").touch()
    return directory


@pytest.mark.parametrize("command", ["check-config", "serve"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_wrong_configuration(case: Path, command: str, wrong: Path) -> None:
    """Each wrong configuration gives its lines on standard error, all of them and no other, and exit 78."""
    config = wrong / "dcc.toml"
    config.unlink(missing_ok=True)
    if (case / "dcc.toml").exists():
        shutil.copy(case / "dcc.toml", config)
    done = dcc(command, "-c", config)
    card = x509.load_pem_x509_certificate((wrong / "demo/people/expired_card-card.pem").read_bytes())
    expected = (case / "expected.txt").read_text(encoding="utf-8")
    expected = expected.replace("{config}", str(config))
    expected = expected.replace("{expired}", f"{card.not_valid_after_utc:%d/%m/%Y}")
    said = [line for line in done.err.splitlines() if not line.startswith(WATCH)]
    assert said == expected.splitlines()
    assert done.code == 78
    assert done.out == ""


def test_the_problems_as_json(wrong: Path) -> None:
    """`check-config --json` says the same problems in one document, and still exits 78."""
    shutil.copy(CASES[-1] / "dcc.toml", wrong / "dcc.toml")
    done = dcc("check-config", "-c", wrong / "dcc.toml", "--json")
    assert done.code == 78
    assert done.json["ok"] is False
    assert done.json["problems"] == (CASES[-1] / "expected.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        ("message", "list"), ("key", "list"), ("crl", "list"), ("audit", "verify"), ("migrate",),
        ("backup", "/nowhere/to/go"), ("account", "list"), ("outbox", "list"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_says_it_alike(arguments: tuple[str, ...], wrong: Path) -> None:
    """Any other command refuses a wrong dcc.toml with the same line and exit 78."""
    shutil.copy(CASES[0] / "dcc.toml", wrong / "dcc.toml")
    done = dcc(*arguments, "-c", wrong / "dcc.toml")
    assert (done.code, done.err) == (78, (CASES[0] / "expected.txt").read_text(encoding="utf-8"))
