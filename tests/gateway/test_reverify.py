"""`dcc message reverify`: the verdict of a message reached again from what was kept with it, and from nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dcc.gateway.demo_deposits import Draft
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox.records import MessageState
from inprocess import Rooms
from instancecopy import copied
from terminal import dcc


@pytest.fixture(scope="module")
def settled(made: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """An instance that has settled one deposit of each of these people; who sent which message."""
    directory = tmp_path_factory.mktemp("settled") / "instance"
    copied(made, directory)
    with open_services(load_settings(directory / "dcc.toml")) as services:
        rooms = Rooms(services)
        ids = {who: rooms.deposit(Draft(who, "main")) for who in ("coordinator", "opposed_card", "expired_card")}
        rooms.work()
        assert rooms.message(ids["coordinator"]).state is MessageState.FILED
        assert rooms.message(ids["opposed_card"]).reason_code == "D2R-CRL02"
    return directory, ids


@pytest.fixture
def elsewhere(settled: tuple[Path, dict[str, str]], tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The same instance years later: other anchors, no list, none of its caches."""
    directory, ids = settled
    copy = tmp_path / "later"
    copied(directory, copy)
    for folder in ("demo/pki", "demo/crls", "var/crl"):
        shutil.rmtree(copy / folder)
        (copy / folder).mkdir()
    return copy, ids


def test_confirmed_without_the_anchors_and_lists_of_today(elsewhere: tuple[Path, dict[str, str]]) -> None:
    """A filed deposit's verdict is reached again although anchors and lists are gone; the signing time is judged too."""
    directory, ids = elsewhere
    done = dcc("message", "reverify", ids["coordinator"], "-c", directory / "dcc.toml", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["confirmed"], found["original"], found["signature"]) == (True, True, True)
    assert (found["verdict"], found["stored_verdict"], found["verdict_at_signing"]) == ("VALID", "VALID", "VALID")
    listed = next(one for one in found["checks"] if one["check"] == "revocation")
    assert {"crl_number", "crl_sha256"} <= set(listed)


@pytest.mark.parametrize(("who", "verdict"), [("opposed_card", "OPPOSED"), ("expired_card", "EXPIRED")])
def test_a_refusal_is_confirmed(who: str, verdict: str, elsewhere: tuple[Path, dict[str, str]]) -> None:
    """A card that was opposed, or expired, is found so again: what refused it was kept."""
    directory, ids = elsewhere
    done = dcc("message", "reverify", ids[who], "-c", directory / "dcc.toml", "--json")
    assert done.code == 0, done.err
    assert (done.json["verdict"], done.json["confirmed"]) == (verdict, True)


def test_the_sentences(settled: tuple[Path, dict[str, str]]) -> None:
    """Without --json each question has its line."""
    directory, ids = settled
    done = dcc("message", "reverify", ids["coordinator"], "-c", directory / "dcc.toml")
    assert done.code == 0
    assert "original inchangé       oui" in done.out
    assert "carte à la réception    VALID (alors : VALID)" in done.out


def test_a_changed_original_is_not_confirmed(elsewhere: tuple[Path, dict[str, str]]) -> None:
    """One octet of the received mail changed: contradicted, exit 1."""
    directory, ids = elsewhere
    (mail,) = (directory / "var/spool").rglob(f"{ids['coordinator']}*")
    octets = bytearray(mail.read_bytes())
    octets[-200] ^= 1
    mail.write_bytes(octets)
    done = dcc("message", "reverify", ids["coordinator"], "-c", directory / "dcc.toml", "--json")
    assert (done.code, done.json["original"], done.json["confirmed"]) == (1, False, False)


def test_a_lost_original(elsewhere: tuple[Path, dict[str, str]]) -> None:
    """Without the received mail the verdict is still reached, and the rest is not known: exit 3."""
    directory, ids = elsewhere
    shutil.rmtree(directory / "var/spool")
    done = dcc("message", "reverify", ids["coordinator"], "-c", directory / "dcc.toml", "--json")
    assert (done.code, done.json["verdict"], done.json["confirmed"]) == (3, "VALID", None)


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_lost_proof_is_said(damage: str, elsewhere: tuple[Path, dict[str, str]]) -> None:
    """A list that is gone from the proofs, or changed there, is named: the verdict cannot be reached, exit 3."""
    directory, ids = elsewhere
    shown = dcc("message", "show", ids["coordinator"], "-c", directory / "dcc.toml", "--json").json
    (sha256, *_) = shown["evidence"]["card"]["basis"]["lists"]
    (proof,) = (directory / "var/proofs").rglob(sha256)
    if damage == "gone":
        proof.unlink()
    else:
        proof.write_bytes(b"x" + proof.read_bytes())
    done = dcc("message", "reverify", ids["coordinator"], "-c", directory / "dcc.toml")
    assert done.code == 3
    assert sha256 in done.err


def test_no_such_message(settled: tuple[Path, dict[str, str]]) -> None:
    """An unknown id is said, exit 1."""
    assert dcc("message", "reverify", "nothing", "-c", settled[0] / "dcc.toml").code == 1


def test_proofs_are_kept_once(settled: tuple[Path, dict[str, str]]) -> None:
    """Three messages judged by the same anchors and lists keep each of them once, under its SHA-256."""
    files = [one for one in (settled[0] / "var/proofs").rglob("*") if one.is_file()]
    assert len(files) == len({one.name for one in files})
    assert len(files) < 30
    assert all(one.stat().st_mode & 0o077 == 0 for one in files)


def test_a_backup_holds_the_proofs(settled: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """A copy of the instance can prove the same verdicts."""
    directory, ids = settled
    assert dcc("backup", tmp_path / "copy", "-c", directory / "dcc.toml").code == 0
    assert dcc("message", "reverify", ids["opposed_card"], "-c", tmp_path / "copy" / "dcc.toml").code == 0
    assert dcc("restore", tmp_path / "copy", "--verify", "--json").json["ok"] is True
    (lost, *_) = (one for one in (tmp_path / "copy/var/proofs").rglob("*") if one.is_file())
    lost.unlink()
    assert dcc("restore", tmp_path / "copy", "--verify", "--json").json["missing"] == [f"preuve {lost.name}"]
