"""The files of a ZIP or a .tgz that are wanted, each within a size: an archive may say anything of what it holds."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator

from dcc.cards.nomenclature import NotANomenclature

HIGHEST_MEMBER = 20 << 20
MOST_MEMBERS = 20_000
HIGHEST_UNPACKED = 1 << 30  # a .tgz is read in order, wanted or not
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"


def is_archive(data: bytes) -> bool:
    """Whether these octets begin as a ZIP or a gzip file does."""
    return data.startswith((_ZIP, _GZIP))


def members(data: bytes, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """(name, octets) of each wanted file. Raises NotANomenclature."""
    try:
        yield from (_zipped if data.startswith(_ZIP) else _tarred)(data, wanted)
    except (
        zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError,
    ) as error:  # fmt: skip
        raise NotANomenclature("l'archive ne s'ouvre pas") from error


def _zipped(data: bytes, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist()[:MOST_MEMBERS]:
            if not info.is_dir() and wanted(info.filename):
                with archive.open(info) as file:
                    yield info.filename, _bounded(file.read(HIGHEST_MEMBER + 1), info.filename)


def _tarred(data: bytes, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|gz") as archive:
        passed = 0
        for number, info in enumerate(archive):
            passed += info.size
            if number >= MOST_MEMBERS or passed > HIGHEST_UNPACKED:
                raise NotANomenclature("l'archive est trop grande")
            file = archive.extractfile(info) if info.isfile() and wanted(info.name) else None
            if file is not None:
                yield info.name, _bounded(file.read(HIGHEST_MEMBER + 1), info.name)


def _bounded(octets: bytes, name: str) -> bytes:
    if len(octets) > HIGHEST_MEMBER:
        raise NotANomenclature(f"{name} : trop grand")
    return octets
