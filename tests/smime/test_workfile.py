"""The work file: memory first, then a file that says nothing to whoever finds it (R-KEYS)."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcc.smime import workfile
from dcc.smime.workfile import WorkFile


@given(st.lists(st.binary(max_size=300), max_size=12), st.integers(0, 900), st.data())
@settings(max_examples=50)
def test_reads_what_was_written(pieces: list[bytes], limit: int, data: st.DataObject) -> None:
    """Any region reads back, in memory or on disk."""
    file = WorkFile(memory_limit=limit)
    for piece in pieces:
        assert file.write(piece) == len(piece)
    whole = b"".join(pieces)
    assert file.size == len(whole)
    start = data.draw(st.integers(0, len(whole)))
    size = data.draw(st.integers(0, len(whole) + 5))
    view = file.view(start, size)
    assert view.read() == whole[start : start + size]
    view.seek(1)
    assert view.read(3) == whole[start : start + size][1:4]
    file.close()


def test_several_views_of_a_large_file() -> None:
    """Views are independent, across the blocks of the cipher."""
    clear = random.Random(1).randbytes(400_000)
    file = WorkFile(memory_limit=1000)
    for at in range(0, len(clear), 777):
        file.write(clear[at : at + 777])
    one, two = file.view(5, 300_000), file.view(17, 10)
    assert one.read(100_001) == clear[5:100_006]
    assert two.read() == clear[17:27]
    assert one.read() == clear[100_006:300_005]
    assert one.seek(-4, os.SEEK_END) == 299_996
    assert one.read(10) == clear[300_001:300_005]
    file.close()


@pytest.mark.parametrize("limit", [workfile.GROWING, workfile.GROWING + 1, 2 * workfile.GROWING, workfile.MEMORY])
def test_from_growing_memory_to_a_mapping_to_the_disk(limit: int) -> None:
    """Wherever the octets lie, those before and after each border are the ones that were written."""
    clear = random.Random(2).randbytes(2 * workfile.GROWING + 5)
    file = WorkFile(memory_limit=limit)
    for at in range(0, len(clear), 99_991):
        file.write(clear[at : at + 99_991])
    for border in (99_991, workfile.GROWING, 2 * workfile.GROWING):
        assert file.read_at(border - 3, 8) == clear[border - 3 : border + 5]
    assert file.view().read() == clear
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.read_at(0, 1)


def test_a_mapping_is_used_again_and_holds_nothing() -> None:
    """What is given back serves the next file, empty; never more than a few are kept."""
    first = WorkFile()
    first.write(b"x" * (workfile.GROWING + 70_001))
    mapping = first._memory
    first.close()
    assert mapping in workfile.MAPPINGS._spare
    assert not mapping[: workfile.GROWING + 70_001].strip(b"\0")
    files = [WorkFile(memory_limit=workfile.LARGEST) for _ in range(4)]
    for file in files:
        file.write(bytes(workfile.LARGEST - 1))
    assert len({id(file._memory) for file in files}) == len(files)
    assert any(file._memory is mapping for file in files)
    del file, files
    assert sum(one.touched for one in workfile.MAPPINGS._spare) <= workfile.SPARE


def test_closed_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-KEYS: a reader whose file is closed in the middle is refused, not given what lies there afterwards."""
    file = WorkFile()
    file.write(b"y" * (workfile.GROWING + 1))
    view = file.view()

    def slow(memory: object) -> memoryview:
        file.close()
        return memoryview(b"another file's octets")

    monkeypatch.setattr(workfile, "memoryview", slow, raising=False)
    with pytest.raises(ValueError, match="closed"):
        view.read(5)


def test_nothing_readable_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R-KEYS: the file has no name, mode 0600, and its octets are not the plaintext."""
    seen: list[tuple[int, int]] = []
    make = workfile.tempfile.mkstemp

    def spy(**options: str) -> tuple[int, str]:
        handle, name = make(**options)
        seen.append((handle, os.fstat(handle).st_mode & 0o777))
        return handle, name

    monkeypatch.setattr(workfile.tempfile, "mkstemp", spy)
    file = WorkFile(tmp_path, memory_limit=10)
    file.write(b"PAT-TROIS DOMINIQUE " * 100)
    assert list(tmp_path.iterdir()) == []
    (handle, mode) = seen[0]
    assert mode == 0o600
    kept = os.pread(handle, 1 << 16, 0)
    assert len(kept) == 2000
    assert b"PAT-TROIS" not in kept
    file.close()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(handle)


def test_small_files_stay_in_memory(tmp_path: Path) -> None:
    """Below the limit nothing touches the disk."""
    file = WorkFile(tmp_path / "absent", memory_limit=100)
    file.write(b"x" * 100)
    with pytest.raises(FileNotFoundError):
        file.write(b"x")


@pytest.mark.parametrize(("expected", "on_disk"), [(1000, False), (1001, True)])
def test_what_is_expected_to_be_large_goes_to_the_disk_at_once(tmp_path: Path, expected: int, on_disk: bool) -> None:
    """Nothing is held in memory that would be copied to the disk later; a wrong guess changes no octet."""
    file = WorkFile(tmp_path, memory_limit=1000)
    file.write(b"head")
    file.expect(expected - 4)
    assert (file._handle is not None) == on_disk
    file.write(bytes(range(200)))
    assert file.view().read() == b"head" + bytes(range(200))
    file.close()


def test_closed() -> None:
    """A closed file gives nothing any more."""
    file = WorkFile()
    file.write(b"x")
    view = file.view()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        view.read()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"y")
