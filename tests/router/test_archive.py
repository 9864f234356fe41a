"""Archives from strangers (acceptance 28): unsafe ones are refused in bounded memory and time."""

from __future__ import annotations

import contextlib
import io
import stat
import struct
import time
import tracemalloc
import zipfile
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcc.router.archive import ArchiveRefusedError, SafeArchive, looks_like_zip
from dcc.smime.limits import Limits
from dcc.smime.workfile import WorkFile


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def opened(kit: Any, data: bytes) -> SafeArchive:
    return SafeArchive(kit.attachment(data), Limits())


def everything(kit: Any, data: bytes) -> None:
    archive = opened(kit, data)
    for name in archive.names:
        archive.extract(name, WorkFile)


def refusal(kit: Any, data: bytes) -> tuple[str, str]:
    with pytest.raises(ArchiveRefusedError) as caught:
        everything(kit, data)
    return caught.value.code, caught.value.detail


def test_files_come_back(kit: Any) -> None:
    """Stored and deflated files are read, with both digests."""
    archive = opened(kit, zipped(("a/b.xml", b"x" * 100)))
    found = archive.extract("a/b.xml", WorkFile)
    assert found.attachment.open().read() == b"x" * 100
    assert found.attachment.name == "b.xml"
    assert len(found.sha1) == 40


def test_stored_file_is_not_copied(kit: Any) -> None:
    """A stored file is a region of the archive."""
    source = kit.attachment(zipped(("a.pdf", b"y" * 100), method=zipfile.ZIP_STORED))
    found = SafeArchive(source, Limits()).extract("a.pdf", WorkFile)
    assert found.attachment.file is source.file
    assert found.attachment.open().read() == b"y" * 100


def test_bomb_is_refused_quickly_in_little_memory(kit: Any) -> None:
    """A gigabyte of zeros in a megabyte is refused from the listing alone."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a", "w") as target:
        for _ in range(200):
            target.write(bytes(1 << 20))
    data = out.getvalue()
    tracemalloc.start()
    start = time.process_time()
    assert refusal(kit, data)[0] == "D2R-XDM02"
    assert time.process_time() - start < 0.5
    assert tracemalloc.get_traced_memory()[1] < 5 << 20
    tracemalloc.stop()


def test_lying_size_is_refused(kit: Any) -> None:
    """A listing that declares less than there is does not let more through."""
    data = bytearray(zipped(("a", bytes(3 << 20))))
    place = data.rfind(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 10)
    assert refusal(kit, bytes(data))[0] in {"D2R-XDM01", "D2R-XDM02"}


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("../x", "path"),
        ("a/../../x", "path"),
        ("a//x", "path"),
        ("./x", "path"),
        ("/etc/x", "absolute"),
        ("\\\\server\\x", "absolute"),
        ("C:\\x", "absolute"),
        ("a\\..\\x", "path"),
        ("a\u202etxt.exe", "name"),
        ("a\x07", "name"),
        ("x" * 300, "name"),
    ],
)
def test_deceiving_names_are_refused(kit: Any, name: str, detail: str) -> None:
    """Names that point elsewhere, or deceive, are D2R-XDM02."""
    assert refusal(kit, zipped((name, b"x"))) == ("D2R-XDM02", detail)


def test_backslashes_are_folders(kit: Any) -> None:
    """Old tools write backslashes between folders: read as such."""
    assert opened(kit, zipped(("IHE_XDM\\SUBSET01\\X.XML", b"x"))).names == ("IHE_XDM/SUBSET01/X.XML",)


def test_link_is_refused(kit: Any) -> None:
    """A symbolic link is D2R-XDM02."""
    link = zipfile.ZipInfo("link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert refusal(kit, zipped((link, b"/etc/passwd"))) == ("D2R-XDM02", "link")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubled_names_are_refused(kit: Any) -> None:
    """Two entries of one name, whatever their case, are D2R-XDM02."""
    assert refusal(kit, zipped(("a", b"1"), ("A", b"2"))) == ("D2R-XDM02", "duplicate")


def test_encrypted_entry_is_refused(kit: Any) -> None:
    """A password-protected entry is D2R-XDM02."""
    data = bytearray(zipped(("a", b"1")))
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    assert refusal(kit, bytes(data)) == ("D2R-XDM02", "encrypted")


def test_other_methods_are_refused(kit: Any) -> None:
    """Only stored and deflated entries are read."""
    assert refusal(kit, zipped(("a", b"1" * 99), method=zipfile.ZIP_LZMA)) == ("D2R-XDM02", "method")


def test_many_entries_are_refused(kit: Any) -> None:
    """The number of entries is bounded, before the listing is read."""
    assert refusal(kit, zipped(*((str(n), b"") for n in range(501)))) == ("D2R-XDM02", "entries")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"%PDF-1.4", b"\x00" * 100, b"PK\x05\x06" + b"\xff" * 18])
def test_other_bytes_are_unreadable(kit: Any, data: bytes) -> None:
    """Anything else is refused."""
    assert refusal(kit, data)[0] in {"D2R-XDM01", "D2R-XDM02"}


def test_truncated_and_altered_archives(kit: Any) -> None:
    """A cut archive is unreadable; an altered byte is found by the checksum."""
    data = zipped(("a", b"hello" * 50), method=zipfile.ZIP_STORED)
    assert refusal(kit, data[:-30])[0] == "D2R-XDM01"
    assert refusal(kit, data.replace(b"hello", b"jello", 1)) == ("D2R-XDM01", "zip")


def test_zip_is_known_by_its_bytes(kit: Any) -> None:
    """An archive under another name is still an archive."""
    assert looks_like_zip(kit.attachment(zipped(("a", b"")), name="rapport.bin"))
    assert not looks_like_zip(kit.attachment(b"%PDF"))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), piece=st.binary(max_size=12), cut=st.integers(0, 400))
def test_damaged_archives_never_crash(kit: Any, place: int, piece: bytes, cut: int) -> None:
    """Bytes replaced anywhere, or an end missing: read or refused, nothing else."""
    whole = zipped(("IHE_XDM/SUBSET01/METADATA.XML", b"<a/>" * 20), ("IHE_XDM/SUBSET01/D.XML", b"<b/>" * 20))
    damaged = whole[:place] + piece + whole[place + len(piece) :]
    damaged = damaged[: len(damaged) - cut] if cut > 300 else damaged
    with contextlib.suppress(ArchiveRefusedError):
        everything(kit, damaged)
