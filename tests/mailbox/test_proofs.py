"""The store of proofs: once each, durable, never believed without its SHA-256."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from dcc.mailbox.proofs import ProofLost, ProofStore
from dcc.mailbox.spool import StorageFull

DATA = b"a list"
NAME = hashlib.sha256(DATA).hexdigest()


def files(directory: Path) -> list[Path]:
    """Everything that is kept."""
    return [one for one in directory.rglob("*") if one.is_file()]


def test_kept_once_under_its_name(tmp_path: Path) -> None:
    """The same octets again add nothing, for this store or another of the same folder, which is made when needed."""
    folder = tmp_path / "absent" / "proofs"
    store = ProofStore(folder)
    assert not store.has(NAME)
    assert store.keep(DATA) == store.keep_as(NAME, DATA) == ProofStore(folder).keep(DATA) == NAME
    assert [one.name for one in files(folder)] == [NAME]
    assert ProofStore(folder).read(NAME) == DATA


def test_what_is_lost_or_damaged_is_said(tmp_path: Path) -> None:
    """Absent and changed octets are named, never given."""
    store = ProofStore(tmp_path)
    with pytest.raises(ProofLost, match=NAME):
        store.read(NAME)
    store.keep(DATA)
    (kept,) = files(tmp_path)
    kept.write_bytes(b"another list")
    with pytest.raises(ProofLost, match=NAME):
        store.read(NAME)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room is StorageFull, and nothing half written is taken for a proof afterwards."""

    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, "no room")

    store = ProofStore(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr("dcc.mailbox.proofs.os.fsync", full)
        with pytest.raises(StorageFull):
            store.keep(DATA)
    assert not store.has(NAME)
    assert store.keep(DATA) == NAME
    assert store.read(NAME) == DATA


def test_only_the_owner_reads_them(tmp_path: Path) -> None:
    """Certificates name people: the files are the gateway's alone."""
    ProofStore(tmp_path / "proofs").keep(DATA)
    assert [one.stat().st_mode & 0o777 for one in files(tmp_path)] == [0o600]
