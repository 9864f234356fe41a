"""An instance on disk: what `dcc init` makes, what it never overwrites, and that it can be moved."""

from __future__ import annotations

import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcc.gateway import restored
from dcc.gateway.instance import KEPT, open_keys
from dcc.gateway.services import open_services
from dcc.gateway.settings import ConfigurationError, load_settings
from dcc.mailbox import audit
from dcc.mailbox.auditchain import REKEYED
from terminal import dcc


def test_a_production_instance(tmp_path: Path) -> None:
    """`dcc init` makes the folders, the document and audit keys and the database, and says what is still missing."""
    directory = tmp_path / "srv" / "dcc"
    done = dcc("init", directory, "--json")
    assert done.code == 0
    assert done.json["config"] == str(directory / "dcc.toml")
    assert len(done.json["missing"]) == 4
    for name in ("keys/key-encryption-keys.json", "keys/audit.pem", "var/dcc.sqlite", "trust", "crls", "run"):
        assert (directory / name).exists(), name
    checked = dcc("check-config", "-c", directory / "dcc.toml")
    assert checked.code == 78
    named = {line.partition(" : ")[0] for line in checked.err.splitlines() if not line.startswith("à surveiller")}
    assert named == {
        "gateway.address", "keys.signing", "keys.decryption", "keys.password_file", "trust.certificates", "smtp.certificate",
    }  # fmt: skip


def test_a_network_before_the_gateway_has_ever_run(instance: Path, tmp_path: Path) -> None:
    """An operator's first steps: keys and anchors put in place, a network added; recorded, and the trace is whole."""
    directory = tmp_path / "dcc"
    assert dcc("init", directory).code == 0
    for name in ("signature.p12", "dechiffrement.p12", "smtp.pem", "smtp.key"):
        shutil.copy(instance / "keys" / name, directory / "keys" / name)
    (directory / "keys/password").write_text("demonstration")
    shutil.copytree(instance / "demo/pki", directory / "trust", dirs_exist_ok=True)
    shutil.copytree(instance / "demo/crls", directory / "crls", dirs_exist_ok=True)
    config = directory / "dcc.toml"
    text = config.read_text(encoding="utf-8").replace('"production"', '"test"').replace("VOTRE-DOMAINE", "dcc")
    config.write_text(text, encoding="utf-8")
    added = dcc(
        "network", "add", "rca", "--name", "RCA", "--address", "depot@rca.dcc.example", "--support-phone", "05 00",
        "--support-mail", "aide@rca.example", "--operator", "A. Martin", "-c", config,
    )  # fmt: skip
    assert (added.code, added.err) == (0, "")
    assert dcc("audit", "verify", "-c", config).code == 0
    again = dcc(
        "network", "add", "rca", "--name", "RCA", "--address", "autre@rca.dcc.example", "--support-phone", "05 00",
        "--support-mail", "aide@rca.example", "--operator", "A. Martin", "-c", config,
    )  # fmt: skip
    assert (again.code, len(again.err.splitlines())) == (1, 1)


def test_a_demo_instance_is_ready(instance: Path) -> None:
    """`dcc init --demo` makes an instance that check-config finds nothing wrong with, nor to watch."""
    done = dcc("check-config", "-c", instance / "dcc.toml", "--json")
    assert (done.code, done.json) == (0, {"ok": True, "problems": [], "warnings": []})


def test_every_port_of_the_demo_is_zero(instance: Path) -> None:
    """Every port may be 0, and is in a demo instance: two of them run side by side."""
    found = load_settings(instance / "dcc.toml", {})
    assert (found.smtp.port, found.metrics.port) == (0, 0)
    both = load_settings(instance / "dcc.toml", {"DCC_SMTP__TLS_PORT": "0"})
    assert both.smtp.tls_port == 0


def test_secrets_are_private(instance: Path) -> None:
    """Nobody but the owner can read keys, database, dcc.toml (it may hold passwords) or what is received."""
    paths = [instance / "dcc.toml", instance / "var/dcc.sqlite", *(instance / "keys").iterdir()]
    paths += [instance / "keys", instance / "var/spool", instance / "var/documents"]
    assert not [path for path in paths if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]


@pytest.mark.parametrize("name", KEPT)
def test_nothing_is_overwritten(name: str, tmp_path: Path) -> None:
    """Where any part of an instance lies, `dcc init` changes nothing and exits 1: its keys could never be made again."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("precious", encoding="utf-8")
    done = dcc("init", tmp_path, "--demo")
    assert done.code == 1
    assert done.err == f"{tmp_path} contient déjà une instance : rien n'a été changé\n"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text(encoding="utf-8") == "precious"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder that cannot be made is one sentence and exit 1."""
    (tmp_path / "file").touch()
    done = dcc("init", tmp_path / "file" / "dcc")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1


def test_an_instance_can_be_moved(instance: Path, tmp_path: Path) -> None:
    """Moved elsewhere, an instance is whole and checks out: no file of it holds the path it was made at."""
    moved = tmp_path / "elsewhere" / "dcc"
    moved.parent.mkdir()
    shutil.move(instance, moved)
    assert dcc("check-config", "-c", moved / "dcc.toml").code == 0
    assert restored.verify(moved).ok
    for path in moved.rglob("*"):
        if path.is_file():
            assert str(instance).encode() not in path.read_bytes(), path.name


def test_the_configuration_is_found_from_another_folder(
    instance: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative `-c` and any working directory do: paths start at dcc.toml."""
    monkeypatch.chdir(instance.parent)
    assert dcc("check-config", "-c", Path(instance.name) / "dcc.toml").code == 0
    monkeypatch.chdir(tmp_path)
    assert dcc("folder", "list", "-c", instance / "dcc.toml").code == 0


def test_a_command_makes_no_database(instance: Path) -> None:
    """A mistyped or lost database is said, never replaced by an empty one; `dcc migrate` makes it."""
    (instance / "var/dcc.sqlite").unlink()
    for command in (("message", "list"), ("check-config",), ("serve",)):
        done = dcc(*command, "-c", instance / "dcc.toml")
        assert done.code == 78
        assert done.err == "database.url : la base sqlite:///var/dcc.sqlite n'existe pas (dcc migrate)\n"
    assert not (instance / "var/dcc.sqlite").exists()


def test_several_problems_with_keys(instance: Path) -> None:
    """Every key that cannot be loaded is named, not the first only."""
    for name in ("signature.p12", "dechiffrement.p12", "audit.pem"):
        (instance / "keys" / name).write_bytes(b"nothing")
    with pytest.raises(ConfigurationError) as raised:
        open_keys(load_settings(instance / "dcc.toml", {}))
    assert [one.partition(" ")[0] for one in raised.value.problems] == ["keys.signing", "keys.decryption", "keys.audit"]


def test_a_renewed_signing_certificate_vouches_again(instance: Path) -> None:
    """After keys.signing is replaced the trail announces it, and verifies with the new certificate alone, or the old."""
    settings = load_settings(instance / "dcc.toml", {})
    before = open_keys(settings).signing.certificate
    shutil.copy(instance / "demo/people/automaton-card.p12", instance / "keys/signature.p12")
    with open_services(settings) as services, services.database.begin() as conn:
        services.audit.open(conn, datetime.now(UTC))
    after = open_keys(settings).signing.certificate
    assert after != before
    with open_services(settings) as services, services.database.read() as conn:
        assert audit.verify(conn, after).ok
        assert audit.verify(conn, before).ok
        assert list(audit.export(conn))[-1]["tag"] == REKEYED
