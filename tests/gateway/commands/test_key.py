"""`dcc key list|rotate|rewrap`: the gateway's keys, renewed without losing what the old ones opened."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from dcc.gateway.cast_reader import Cast
from dcc.gateway.clients import Envelope, mail, report_entity
from dcc.gateway.instance import open_keys
from dcc.gateway.settings import load_settings
from dcc.smime.open import open_message
from terminal import dcc
from workedinstance import Worked


def versions(own: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((own / "keys/key-encryption-keys.json").read_text(encoding="ascii"))
    return found


def test_list(own: Path) -> None:
    """Each certificate with its use, end and addresses, and the version of the documents' key; no secret."""
    done = dcc("key", "list", "-c", own / "dcc.toml", "--json")
    assert [(one["use"], one["usage"]) for one in done.json["keys"]] == [
        ("signing", "SIGNATURE"), ("decryption", "CONFIDENTIALITY"),
    ]  # fmt: skip
    assert done.json["key_encryption_key_version"] == 1
    assert not [secret for secret in (*versions(own).values(), "demonstration") if secret in done.out]


def test_rotate_then_rewrap(worked: Worked, own: Path, tmp_path: Path) -> None:
    """A rotated key leaves old documents readable; once they are wrapped anew the old version can be destroyed."""
    (document,) = worked.filed.json["documents"]
    config = own / "dcc.toml"
    assert dcc("key", "rotate", "-c", config, "--json").json == {"key_encryption_key_version": 2}
    assert sorted(versions(own)) == ["1", "2"]
    assert (own / "keys/key-encryption-keys.json").stat().st_mode & 0o077 == 0
    assert dcc("document", "get", document, "-c", config, "--out", tmp_path / "a").code == 0
    told = dcc("key", "rewrap", "-c", config, "--json").json
    assert told["key_encryption_key_version"] == 2
    assert told["rewrapped"] >= 3
    left = {"2": versions(own)["2"]}
    (own / "keys/key-encryption-keys.json").write_text(json.dumps(left), encoding="ascii")
    assert dcc("document", "get", document, "-c", config, "--out", tmp_path / "b").code == 0
    assert dcc("restore", own, "--verify").code == 0
    assert dcc("key", "rewrap", "-c", config, "--json").json["rewrapped"] == 0
    tags = [json.loads(line)["tag"] for line in dcc("audit", "export", "-c", config).out.splitlines()]
    assert [one for one in tags if one.startswith("operator:key:")] == [
        "operator:key:rotated", "operator:key:rewrapped", "operator:key:rewrapped",
    ]  # fmt: skip
    assert dcc("audit", "verify", "-c", config).code == 0


def test_a_version_that_is_missing(worked: Worked, own: Path, tmp_path: Path) -> None:
    """Without the version that wrapped a document, one sentence and exit 1: nothing is thrown away."""
    config = own / "dcc.toml"
    assert dcc("key", "rotate", "-c", config).code == 0
    left = {"2": versions(own)["2"]}
    (own / "keys/key-encryption-keys.json").write_text(json.dumps(left), encoding="ascii")
    done = dcc("key", "rewrap", "-c", config)
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    (document,) = worked.filed.json["documents"]
    assert dcc("document", "get", document, "-c", config, "--out", tmp_path / "a").code == 1


def test_several_decryption_keys(instance: Path) -> None:
    """A new decryption key is put first, the old one stays behind it: mail encrypted to either is opened."""
    cast = Cast.load(instance)
    shutil.copy(instance / "demo/people/automaton-encryption.p12", instance / "keys/nouvelle.p12")
    config = instance / "dcc.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('["keys/', '["keys/nouvelle.p12", "keys/'), encoding="utf-8")
    assert dcc("check-config", "-c", config).code == 0
    listed = [one["sha256"] for one in dcc("key", "list", "-c", config, "--json").json["keys"]]
    assert len(listed) == 3
    keys = open_keys(load_settings(config, {})).decryption
    now = datetime.now(UTC).replace(microsecond=0)
    envelope = Envelope("a@b.example", "c@d.example", "x", now, "<1@b.example>")
    for certificate in (cast.gateway_certificate(), cast.pair("automaton", "encryption").certificate):
        octets = mail(report_entity("x\n", []), cast.identity("gp"), [certificate], envelope, os.urandom)
        path = instance / "mail.eml"
        path.write_bytes(octets)
        with path.open("rb") as file:
            opened = open_message(file, keys=keys)
        assert opened.decrypted
        opened.close()
