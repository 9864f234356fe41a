"""`dcc backup` and `dcc restore --verify`: a copy of a running instance, put back elsewhere, proved and served."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dcc.gateway.backup import back_up
from dcc.gateway.running import serving
from dcc.gateway.settings import load_settings
from terminal import Done, dcc
from workedinstance import Worked, deposit


@pytest.fixture
def copy(worked: Worked, tmp_path: Path) -> Path:
    """A backup of the instance that has worked."""
    done = dcc("backup", tmp_path / "copy", "-c", worked.directory / "dcc.toml", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json == {"target": str(tmp_path / "copy"), "outside": []}
    return tmp_path / "copy"


def verified(directory: Path) -> Done:
    return dcc("restore", directory, "--verify", "--json")


def test_restored_elsewhere_and_served(worked: Worked, copy: Path, tmp_path: Path) -> None:
    """The copy, restored elsewhere, is whole, checks out, serves, files a new deposit and knows the old ones."""
    done = dcc("restore", copy, tmp_path / "again", "--verify", "--json")
    assert done.code == 0
    assert done.json == {"ok": True, "audit_ok": True, "messages": 3, "documents": 3, "missing": []}
    config = tmp_path / "again" / "dcc.toml"
    assert dcc("check-config", "-c", config).code == 0
    with serving(config):
        again = deposit(
            worked.cast, config, [worked.sources / "biology.xml", worked.sources / "copie.pdf"], "automaton",
            worked.cast.folder("main")["address"],
        )  # fmt: skip
    assert again.code == 0
    assert again.json["documents"] == worked.filed.json["documents"]  # already there: nothing is filed twice
    assert dcc("audit", "verify", "-c", config).code == 0


def test_what_a_copy_cannot_know_is_said(worked: Worked, copy: Path, tmp_path: Path) -> None:
    """Put back, it says what to do again first, and how many mails will leave, perhaps a second time."""
    with closing(sqlite3.connect(copy / "var/dcc.sqlite")) as conn:
        conn.execute("UPDATE outbox SET state = 'queued' WHERE kind = 'report'")
        conn.commit()
        (count,) = conn.execute("SELECT count(*) FROM outbox WHERE state = 'queued'").fetchone()
    done = dcc("restore", copy, tmp_path / "again")
    assert done.code == 0
    first, second = done.err.splitlines()
    assert first.startswith("à refaire avant dcc serve")
    assert count
    assert second.startswith(f"{count} envois attendaient")


def test_while_it_runs(instance: Path, tmp_path: Path) -> None:
    """A running instance can be copied, and goes on."""
    with serving(instance / "dcc.toml") as ready:
        assert dcc("backup", tmp_path / "copy", "-c", instance / "dcc.toml").code == 0
        assert json.loads((instance / "run/ready.json").read_text(encoding="ascii")) == ready
    assert verified(tmp_path / "copy").code == 0
    assert not (tmp_path / "copy/run/ready.json").exists()


def test_private(copy: Path) -> None:
    """The copy holds keys and identities: its owner alone can read it."""
    paths = [copy, copy / "dcc.toml", copy / "var/dcc.sqlite", *(copy / "keys").iterdir()]
    assert not [path for path in paths if path.stat().st_mode & 0o077]


def test_nothing_of_the_configuration_is_forgotten(instance: Path, tmp_path: Path) -> None:
    """Whatever a setting names is copied, under whichever name; what lies outside the instance is said."""
    shutil.move(instance / "demo/pki", instance / "autorites")
    shutil.move(instance / "keys/signature.p12", instance / "moi.p12")
    (tmp_path / "outside.crl").write_bytes(next((instance / "demo/crls").iterdir()).read_bytes())
    text = (instance / "dcc.toml").read_text(encoding="utf-8")
    text = text.replace("demo/pki", "autorites").replace("keys/signature.p12", "moi.p12")
    text = text.replace('"demo/crls"', f'"demo/crls", "{tmp_path / "outside.crl"}"')
    (instance / "dcc.toml").write_text(text, encoding="utf-8")
    done = dcc("backup", tmp_path / "copy", "-c", instance / "dcc.toml", "--json")
    assert done.code == 0
    assert done.json["outside"] == [f"trust.crls 2 : {tmp_path / 'outside.crl'}"]
    assert len(done.err.splitlines()) == 1
    shutil.rmtree(instance)
    assert dcc("restore", tmp_path / "copy", tmp_path / "again").code == 0
    assert dcc("check-config", "-c", tmp_path / "again/dcc.toml").code == 0


def test_files_of_every_section_are_copied(instance: Path, tmp_path: Path) -> None:
    """The table of types, the operator's certificate, those of the relay, a partner's anchors: they lie in the copy."""
    config = instance / "dcc.toml"
    text = config.read_text(encoding="utf-8")
    text = text.replace("[gateway]\n", '[gateway]\nmatrix = "types.csv"\n')
    text = text.replace("[relay]\n", '[relay]\nauthorities = "keys/voisin.pem"\n')
    text += '\n[operator]\naddress = "a@ailleurs.example"\ncertificate = "keys/exploitant.pem"\n'
    text += '\n[[partners]]\nname = "x"\ndomains = ["x.example"]\ncertificates = ["partenaires/x.pem"]\n'
    config.write_text(text, encoding="utf-8")
    (instance / "partenaires").mkdir()
    files = ("types.csv", "keys/voisin.pem", "keys/exploitant.pem", "partenaires/x.pem")
    for file in files:
        (instance / file).write_bytes(b"x")
    assert back_up(load_settings(config, {}), tmp_path / "copy") == ()
    for file in files:
        assert (tmp_path / "copy" / file).read_bytes() == b"x", file


@pytest.mark.parametrize("kind", ["document", "spool", "changed spool", "trail"])
def test_what_is_missing_is_found(kind: str, worked: Worked, copy: Path) -> None:
    """A document, an original or a record that is gone or changed is found: exit 1, and which."""
    if kind == "trail":
        connection = sqlite3.connect(copy / "var/dcc.sqlite")
        connection.execute("UPDATE audit SET actor = 'somebody' WHERE sequence = 2")
        connection.commit()
        connection.close()
    elif kind == "document":
        path = next(one for one in (copy / "var/documents").rglob("*") if one.is_file())
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    else:
        path = copy / "var/spool" / f"{worked.filed.json['id']}.eml"
        path.unlink() if kind == "spool" else path.write_bytes(
            path.read_bytes().replace(b"MIAG", b"MIAH", 1)[:-1] + b"x"
        )
    done = verified(copy)
    assert (done.code, done.json["ok"]) == (1, False)
    assert done.json["audit_ok"] is (kind != "trail")
    assert bool(done.json["missing"]) is (kind != "trail")


def test_nothing_is_written_over(worked: Worked, copy: Path, tmp_path: Path) -> None:
    """Neither a backup nor a restoration writes into a folder that holds anything: exit 1, one sentence."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full/precious").touch()
    config = worked.directory / "dcc.toml"
    for done in (
        dcc("backup", tmp_path / "full", "-c", config),
        dcc("backup", copy, "-c", config),
        dcc("backup", worked.directory / "inside", "-c", config),
        dcc("restore", copy, tmp_path / "full"),
        dcc("restore", tmp_path / "absent", tmp_path / "new"),
        dcc("restore", tmp_path / "full", tmp_path / "new"),
    ):
        assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert [one.name for one in (tmp_path / "full").iterdir()] == ["precious"]
    assert dcc("restore", copy).code == 2


def test_postgresql_is_said(worked: Worked, tmp_path: Path) -> None:
    """A database that has tools of its own is not copied behind their back: exit 1, and what to do."""
    done = dcc(
        "backup", tmp_path / "copy", "-c", worked.directory / "dcc.toml",
        environment={"DCC_DATABASE__URL": "postgresql://localhost/dcc"},
    )  # fmt: skip
    assert done.code == 1
    assert "ses propres outils" in done.err


def test_a_copy_that_is_broken(copy: Path) -> None:
    """A copy without its keys or its database is told as a configuration is: one line each, exit 78."""
    (copy / "keys/signature.p12").unlink()
    assert verified(copy).code == 78
    (copy / "var/dcc.sqlite").unlink()
    done = verified(copy)
    assert (done.code, done.out) == (78, "")
