"""The public extraction of MSSanté mailboxes, read line by line: a ZIP or its text (facts/cards §10)."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

SEPARATOR = "|"
LINE = 16_384  # characters; the longest observed is far below
MOST_OCTETS = 2 << 30  # of text; 89 MB were observed
ADDRESS, KIND = "Adresse BAL", "Type de BAL"
STRUCTURE, STRUCTURE_KIND = "Identification Structure", "Type identifiant structure"
FIELDS = {
    "national_id": "Identification nationale PP", "family_name": "Nom d'exercice", "given_name": "Prénom d'exercice",
    "profession": "Code Profession", "structure_name": "Raison Sociale structure BAL",
}  # fmt: skip
KINDS = frozenset({"PER", "ORG", "CAB", "APP"})
# G07; whether the file writes the code or its name is not confirmed: both are understood
PREFIXES = {"FINESS": "1", "SIREN": "2", "SIRET": "3", "RPPS": "4", **{one: one for one in "01234"}}


class NotAnExtraction(Exception):
    """The file is not the extraction; the text says where and why, without what stands there."""


class Extraction:
    """The rows of one file. `skipped` and `sha256` are known at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._digest = hashlib.sha256()
        self.skipped = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def sha256(self) -> str:
        """Of the text that was read."""
        return self._digest.hexdigest()

    def rows(self) -> Iterator[dict[str, str | None]]:
        """One mapping a mailbox, every value bounded. Raises NotAnExtraction, OSError."""
        try:
            yield from self._rows()
        except (zipfile.BadZipFile, UnicodeDecodeError, EOFError, NotImplementedError, RuntimeError) as error:
            raise NotAnExtraction("le fichier est abîmé ou coupé") from error

    def _rows(self) -> Iterator[dict[str, str | None]]:
        lines = self._lines(self._open())
        header = [one.strip() for one in next(lines, "").lstrip("\ufeff").split(SEPARATOR)]
        place = {name: number for number, name in enumerate(header)}
        missing = [one for one in (KIND, ADDRESS, *FIELDS.values()) if one not in place]
        if missing:
            raise NotAnExtraction(f"la première ligne ne nomme pas {', '.join(missing)}")
        kind, address = place[KIND], place[ADDRESS]
        wanted = [(name, place[column]) for name, column in FIELDS.items()]
        structure, structure_kind = place.get(STRUCTURE), place.get(STRUCTURE_KIND)
        width = len(header)
        for line in lines:
            values = line.split(SEPARATOR)
            if not width <= len(values) <= width + 1 or values[kind] not in KINDS or "@" not in values[address]:
                self.skipped += 1  # said at the end; one bad line does not keep half a million out
                continue
            row: dict[str, str | None] = {name: values[number].strip() or None for name, number in wanted}
            row["kind"], row["address"] = values[kind], values[address].strip().lower()
            row["structure"] = _structure(values, structure, structure_kind)
            row["profession"] = (row["profession"] or "")[:8] or None
            yield row

    def _open(self) -> BinaryIO:
        file = self._stack.enter_context(self._path.open("rb"))
        if file.read(4) != b"PK\x03\x04":
            file.seek(0)
            return file
        archive = self._stack.enter_context(zipfile.ZipFile(file))
        names = [one for one in archive.namelist() if one.lower().endswith((".txt", ".csv"))]
        if len(names) != 1:
            raise NotAnExtraction("l'archive ne contient pas un seul fichier de texte")
        return io.BufferedReader(self._stack.enter_context(archive.open(names[0])))  # type: ignore[type-var]

    def _lines(self, source: BinaryIO) -> Iterator[str]:
        read = 0
        while raw := source.readline(LINE * 4):
            read += len(raw)
            if len(raw) >= LINE * 4 or read > MOST_OCTETS:
                raise NotAnExtraction("une ligne ou le fichier dépasse toute mesure")
            self._digest.update(raw)
            line = raw.decode("utf-8").rstrip("\r\n")
            if line:
                yield line


def _structure(values: list[str], place: int | None, kind: int | None) -> str | None:
    """The IDNST: the prefix of its kind, then the identifier (G07)."""
    if place is None or not values[place].strip():
        return None
    prefix = "" if kind is None else PREFIXES.get(values[kind].strip().upper(), "")
    return prefix + values[place].strip()
