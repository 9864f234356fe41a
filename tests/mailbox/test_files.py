"""The spool, the blob store and the key ring: durable files, and no other octet than was written."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcc.mailbox.blobs import CHUNK, TAG, BlobDamaged, BlobStore, sealed_size
from dcc.mailbox.keyring import KeyMissing, KeyRing
from dcc.mailbox.spool import Spool, StorageFull

EDGES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 17]
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """An empty spool."""
    (tmp_path / "spool").mkdir()
    return Spool(tmp_path / "spool")


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """An empty blob store."""
    (tmp_path / "documents").mkdir()
    return BlobStore(tmp_path / "documents", KeyRing.create(os.urandom), os.urandom)


def _path(store: BlobStore, blob_id: str) -> Path:
    (found,) = (path for path in store.files() if path.name == blob_id)
    return found


# --- the spool


def test_spooled_bytes_are_those_received(spool: Spool) -> None:
    """What was received is kept unchanged, behind our own Received field, and hashed without it (I6)."""
    with spool.create("one") as writer:
        writer.write_front(b"Received: by us\r\n")
        writer.write(b"From: a\r\n")
        writer.write(bytearray(b"\r\nbody"))
        assert not spool.path("one").exists(), "not there before it is durable"
        path = writer.commit()
    assert (writer.size, writer.sha256) == (15, hashlib.sha256(b"From: a\r\n\r\nbody").hexdigest())
    assert path == spool.path("one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with spool.open("one") as file:
        assert file.read() == b"Received: by us\r\nFrom: a\r\n\r\nbody"


def test_abandoned_message_leaves_nothing(spool: Spool) -> None:
    """A session that ends before its message was accepted leaves no file."""
    with spool.create("one") as writer:
        writer.write(b"half")
    assert list(spool.directory.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"x")
    with pytest.raises(ValueError, match="closed"):
        writer.commit()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_full_disk_is_said_and_leaves_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, code: int, step: str
) -> None:
    """No room at the last step is StorageFull, and nothing stays of a message that nobody accepted."""

    def full(*_arguments: Any) -> None:
        raise OSError(code, "full")

    with spool.create("one") as writer:
        writer.write(b"x")
        owner: Any = os if step == "fsync" else Path
        monkeypatch.setattr(owner, step, full)
        with pytest.raises(StorageFull):
            writer.commit()
    assert list(spool.directory.iterdir()) == []


def test_other_errors_stay_what_they_are(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing disk is not taken for a full one."""

    def broken(*_arguments: Any) -> None:
        raise OSError(errno.EIO, "broken")

    with spool.create("one") as writer:
        monkeypatch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="broken"):
            writer.commit()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_really_full_device(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC of the kernel itself becomes StorageFull while writing."""
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, flags, mode=0o777: real("/dev/full", os.O_WRONLY))
    writer = spool.create("one")
    with pytest.raises(StorageFull):
        writer.write(b"x" * 100)
    writer.discard()


def test_an_id_is_used_once(spool: Spool) -> None:
    """Two messages never share a file."""
    with spool.create("one"), pytest.raises(FileExistsError):
        spool.create("one")


def test_orphans_are_old_files(spool: Spool) -> None:
    """Old files are reported, complete or not; young ones, and files of others, are not."""
    spool.create("done").commit()
    spool.create("half")._file.close()  # type: ignore[union-attr]
    (spool.directory / "README").write_text("x")
    assert sorted(spool.orphans(FUTURE)) == ["done.eml", "half.part"]
    assert list(spool.orphans(datetime.now(UTC) - timedelta(hours=24))) == []
    spool.discard_file("half.part")
    spool.remove("done")
    assert list(spool.orphans(FUTURE)) == []
    assert spool.free_bytes() > 0


# --- documents


@pytest.mark.parametrize("size", EDGES)
def test_documents_come_back(store: BlobStore, size: int) -> None:
    """A document of any size comes back, with its size and hash, and its file tells neither name nor content."""
    data = random.Random(size).randbytes(size)
    ref = store.put([data])
    assert (ref.size, ref.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert store.read(ref) == data
    assert store.exists(ref)
    path = _path(store, ref.id)
    assert path.stat().st_size == sealed_size(size)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    if size > 64:
        assert data[:64] not in path.read_bytes()


def test_same_document_twice_looks_different(store: BlobStore) -> None:
    """Two copies of a document have other names, keys and bytes: nobody learns who shares it."""
    one, two = store.put([b"same"]), store.put([b"same"])
    assert one.id != two.id
    assert one.wrapped_key != two.wrapped_key
    assert _path(store, one.id).read_bytes() != _path(store, two.id).read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.sampled_from([0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK]), max_size=5),
    steps=st.lists(st.tuples(st.integers(0, 5 * CHUNK), st.integers(0, 2 * CHUNK)), max_size=8),
)
def test_reader_is_the_clear_bytes(store: BlobStore, pieces: list[int], steps: list[tuple[int, int]]) -> None:
    """Written in whatever pieces, read from whatever place: the octets are those of the document."""
    data = random.Random(1).randbytes(sum(pieces))
    ref = store.put(_cut(data, pieces))
    with store.open(ref) as file:
        for place, count in steps:
            file.seek(place)
            assert file.read(count) == data[place : place + count]
        file.seek(-min(5, len(data)), os.SEEK_END)
        assert file.read() == data[len(data) - min(5, len(data)) :]


def _cut(data: bytes, pieces: list[int]) -> Iterator[bytes]:
    start = 0
    for piece in pieces:
        yield data[start : start + piece]
        start += piece


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_octet_is_seen(store: BlobStore, data: st.DataObject) -> None:
    """One octet changed anywhere in the file is found when it is read."""
    ref = store.put([bytes(CHUNK + 100)])
    path = _path(store, ref.id)
    sealed = bytearray(path.read_bytes())
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(sealed)
    with pytest.raises(BlobDamaged):
        store.read(ref)


@pytest.mark.parametrize("kept", [0, 1, TAG - 1, CHUNK + TAG, CHUNK + TAG + 5, 2 * CHUNK + 2 * TAG])
def test_cut_file_is_seen(store: BlobStore, kept: int) -> None:
    """A file cut short, at the edge of a chunk too, is found, even when its row was made to agree."""
    ref = store.put([bytes(2 * CHUNK + 100)])
    path = _path(store, ref.id)
    path.write_bytes(path.read_bytes()[:kept])
    assert not store.exists(ref)
    with pytest.raises(BlobDamaged):
        store.read(ref)
    if kept >= CHUNK + TAG:
        with pytest.raises(BlobDamaged):
            store.read(replace(ref, size=kept // (CHUNK + TAG) * CHUNK))


def test_swapped_files_are_seen(store: BlobStore) -> None:
    """A file put in the place of another does not open, even with the other's key."""
    one, two = store.put([b"one"]), store.put([b"two"])
    _path(store, one.id).write_bytes(_path(store, two.id).read_bytes())
    with pytest.raises(BlobDamaged):
        store.read(one)
    with pytest.raises(BlobDamaged):
        store.read(replace(one, wrapped_key=two.wrapped_key))


def test_swapped_chunks_are_seen(store: BlobStore) -> None:
    """Chunks that changed places inside a file are found."""
    ref = store.put([bytes(3 * CHUNK)])
    path = _path(store, ref.id)
    sealed, step = path.read_bytes(), CHUNK + TAG
    path.write_bytes(sealed[step : 2 * step] + sealed[:step] + sealed[2 * step :])
    with pytest.raises(BlobDamaged):
        store.read(ref)


def test_failing_source_leaves_nothing(store: BlobStore) -> None:
    """A source that fails in the middle leaves no file."""

    def source() -> Iterator[bytes]:
        yield bytes(2 * CHUNK)
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        store.put(source())
    assert [path for path in store.files() if path.is_file()] == []


def test_disk_that_fills_up_takes_a_part_first(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is continued, and a full disk is StorageFull: never a shorter document."""
    real = os.fdopen

    class Short:
        """Takes at most 1 000 octets a write, 5 000 in all."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._file = real(*arguments, **options)
            self.room = 5000

        def __enter__(self) -> Short:
            return self

        def __exit__(self, *_exc: object) -> None:
            self._file.close()

        def fileno(self) -> int:
            return int(self._file.fileno())

        def write(self, data: memoryview) -> int:
            taken = min(1000, self.room, len(data))
            if not taken:
                raise OSError(errno.ENOSPC, "full")
            self.room -= taken
            return int(self._file.write(data[:taken]))

    monkeypatch.setattr(os, "fdopen", Short)
    whole = store.put([bytes(4000)])
    with pytest.raises(StorageFull):
        store.put([bytes(9000)])
    monkeypatch.undo()
    assert store.read(whole) == bytes(4000)
    assert len([path for path in store.files() if path.is_file()]) == 1


def test_orphan_documents(store: BlobStore) -> None:
    """Files that no row names, and writes cut short, are reported once they are old."""
    kept, lost = store.put([b"kept"]), store.put([b"lost"])
    part = _path(store, kept.id).with_suffix(".part")
    part.write_bytes(b"half")
    assert {path.name for path in store.orphans(FUTURE, {kept.id}.__contains__)} == {lost.id, part.name}
    assert list(store.orphans(datetime.now(UTC) - timedelta(hours=24), {kept.id}.__contains__)) == []
    store.remove(lost)
    assert not store.exists(lost)
    with pytest.raises(FileNotFoundError):
        store.read(lost)


# --- keys


def test_rotation_leaves_documents_readable(tmp_path: Path, store: BlobStore) -> None:
    """After a rotation old documents open, new ones use the new key, and rewrapping changes rows, not files."""
    ring = KeyRing.create(os.urandom)
    old_store = BlobStore(tmp_path / "documents", ring, os.urandom)
    ref = old_store.put([b"old"])
    rotated = ring.rotated(os.urandom)
    new_store = BlobStore(tmp_path / "documents", rotated, os.urandom)
    before = _path(new_store, ref.id).read_bytes()
    assert new_store.read(ref) == b"old"
    assert (ref.key_version, new_store.put([b"new"]).key_version) == (1, 2)
    version, wrapped = rotated.rewrap(ref.key_version, ref.wrapped_key)
    rewrapped = replace(ref, key_version=version, wrapped_key=wrapped)
    assert new_store.read(rewrapped) == b"old"
    assert _path(new_store, ref.id).read_bytes() == before
    with pytest.raises(KeyMissing):
        old_store.read(rewrapped)


def test_key_ring_file(tmp_path: Path) -> None:
    """The key ring file is private, comes back as it was, and a damaged one is refused."""
    path = tmp_path / "keys.json"
    ring = KeyRing.create(os.urandom).rotated(os.urandom)
    ring.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    version, wrapped = ring.wrap(bytes(32))
    assert KeyRing.load(path).unwrap(version, wrapped) == bytes(32)
    for wrong in ("", "[]", "{}", '{"1": "00"}', '{"1": 5}', '{"x": "00"}'):
        path.write_text(wrong)
        with pytest.raises(ValueError):
            KeyRing.load(path)


def test_wrong_key_does_not_unwrap() -> None:
    """A key wrapped by another ring is refused, as is an altered one."""
    ring = KeyRing.create(os.urandom)
    version, wrapped = ring.wrap(bytes(32))
    for other, text in ((KeyRing.create(os.urandom), wrapped), (ring, wrapped[:-1] + b"\x00"), (ring, b"")):
        with pytest.raises(KeyMissing):
            other.unwrap(version, text)


# --- power loss: a file is on the disk before its name is, and the name before anybody is told


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The order of what is made durable: file, rename, folder, and the folder of such folders."""
    told: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(handle: int) -> None:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            told.append("file")
        else:
            with os.scandir(handle) as entries:
                told.append("folders" if any(entry.is_dir() for entry in entries) else "folder")
        real_fsync(handle)

    def rename(self: Path, target: Path) -> Path:
        told.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    return told


def test_spool_survives_power_loss(spool: Spool, steps: list[str]) -> None:
    """File, rename, folder: in this order, all three before commit returns (facts/mail §4)."""
    with spool.create("one") as writer:
        writer.write(b"x")
        writer.commit()
    assert steps == ["file", "rename", "folder"]


def test_documents_survive_power_loss(store: BlobStore, steps: list[str]) -> None:
    """The file, its name once it has it, and the name of the folder made for it are durable before put returns."""
    store.put([b"x"])
    assert sorted(steps) == ["file", "folder", "folders", "rename"]
    assert steps.index("rename") < steps.index("folder")


def test_documents_kept_together_survive_power_loss(store: BlobStore, steps: list[str]) -> None:
    """Each file is made durable, and the one folder of their names once, after the last of them."""
    with store.together() as kept:
        refs = [kept.put([bytes([number])]) for number in range(20)]
    assert steps.count("file") == steps.count("rename") == 20
    assert (steps.count("folders"), steps.count("folder")) == (1, 1)  # made; filled
    assert steps.index("folder") > max(at for at, step in enumerate(steps) if step == "rename")
    assert [store.read(one) for one in refs] == [bytes([number]) for number in range(20)]
    assert len({one.id[:2] for one in refs}) == 1


def test_a_folder_survives_power_loss_whoever_made_it(tmp_path: Path, steps: list[str]) -> None:
    """A process waits once for the name of each folder, also of one that was there: who made it may not have waited."""
    (tmp_path / "documents" / "00").mkdir(parents=True)
    ring = KeyRing.create(os.urandom)
    for _ in range(2):
        store = BlobStore(tmp_path / "documents", ring, lambda size: bytes(1) if size == 1 else os.urandom(size))
        steps.clear()
        store.put([b"x"])
        assert sorted(steps) == ["file", "folder", "folders", "rename"]
        steps.clear()
        store.put([b"x"])
        assert steps.count("folders") == 0
        assert sorted(steps) == ["file", "folder", "rename"]
    assert sorted(path.name for path in (tmp_path / "documents").iterdir()) == ["00"]


def test_an_empty_folder_that_somebody_took_away_is_made_again(store: BlobStore, steps: list[str]) -> None:
    """A folder may go while the process runs, as a tidy operator removes empty ones: the next document makes it durably."""
    store._random = lambda size: bytes(1) if size == 1 else os.urandom(size)
    ref = store.put([b"x"])
    store.remove(ref)
    (store._directory / "00").rmdir()
    steps.clear()
    assert store.read(store.put([b"y"])) == b"y"
    assert sorted(steps) == ["file", "folder", "folders", "rename"]


def test_a_folder_that_the_disk_refuses_is_waited_for_again(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, steps: list[str]
) -> None:
    """Where the name of a new folder could not be made durable, nothing is kept, and the next put waits for it."""
    store._random = lambda size: bytes(1) if size == 1 else os.urandom(size)
    durable = os.fsync

    def full(handle: int) -> None:
        before = len(steps)
        durable(handle)
        if "folders" in steps[before:]:
            raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(StorageFull):
            store.put([b"x"])
    assert [one for one in store.files() if one.is_file()] == []
    steps.clear()
    store.put([b"x"])
    assert steps.count("folders") == 1


@pytest.mark.parametrize("named", [False, True])
def test_documents_kept_together_are_all_there_or_none(store: BlobStore, named: bool) -> None:
    """What fails after some were written leaves nothing, whether their names were made durable or not."""
    with pytest.raises(ValueError, match="cut short"):
        _keep_badly(store, named)
    assert [one for one in store.files() if one.is_file()] == []


def test_disk_that_fails_at_fsync_keeps_nothing(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that the disk refuses late is no document: no row may name it."""
    store.put([b"before"])

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        store.put([b"x"])
    assert sum(one.is_file() for one in store.files()) == 1


def _keep_badly(store: BlobStore, named: bool) -> None:
    with store.together() as kept:
        kept.put([b"one"])
        if named:
            kept.last()
        kept.put(_failing())


def _failing() -> Iterator[bytes]:
    yield b"some"
    raise ValueError("cut short")


def test_keys_survive_power_loss(tmp_path: Path, steps: list[str]) -> None:
    """A new key-encryption key is durable before anything is wrapped by it."""
    KeyRing.create(os.urandom).save(tmp_path / "keys.json")
    assert steps == ["file", "rename", "folder"]
