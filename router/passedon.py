"""Whether a received archive may be passed on as it is: it says all that a receiver of MSSanté mail checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from dcc.mailbox.records import Part, Patient
from dcc.router.archive import ArchiveRefusedError, SafeArchive
from dcc.router.identity import QUALIFIED
from dcc.router.metadata import Entry, read_metadata
from dcc.router.request import Attachment
from dcc.router.xdm import METADATA, METADATA_LIMIT
from dcc.router.xml import XmlRefusedError
from dcc.smime.limits import Limits
from dcc.smime.workfile import WorkFile


@dataclass(frozen=True, slots=True)
class _Stored:
    """A stored part as a file of which any region can be read."""

    part: Part
    open_part: Callable[[Part], BinaryIO]

    def view(self, start: int, size: int) -> BinaryIO:
        """The stored octets; only the whole is asked for."""
        if start or size != self.part.size:
            raise ValueError("only the whole part can be viewed")
        return self.open_part(self.part)


def may_pass_on(
    part: Part, patient: Patient, open_part: Callable[[Part], BinaryIO], work: Callable[[], WorkFile]
) -> bool:
    """Each entry of its METADATA names size, SHA-1, type and, for a qualified identity, this patient (facts §3.1).

    What it says was compared with its documents when it came in.
    """
    source = Attachment(part.name, part.media_type, part.size, part.sha256, part.role, _Stored(part, open_part))
    try:
        archive = SafeArchive(source, Limits())
        places = [name for name in archive.names if METADATA.fullmatch(name)]
        if len(places) != 1:
            return False
        found = archive.extract(places[0], work).attachment
        if found.size > METADATA_LIMIT:
            return False
        with found.open() as reader:
            entries = read_metadata(reader, found.size).entries
    except (ArchiveRefusedError, XmlRefusedError, ValueError):
        return False
    return bool(entries) and all(_says_all(one, patient) for one in entries)


def _says_all(entry: Entry, patient: Patient) -> bool:
    if entry.size is None or entry.sha1 is None or entry.type_code is None or entry.unique_id is None:
        return False
    if patient.status != QUALIFIED:
        return entry.ins is None  # facts §7: no matricule outside for an identity that is not qualified
    return entry.ins == (patient.ins, patient.oid)
