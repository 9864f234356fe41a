"""Names that MSSanté fixes: the subject of a mail and the file names of readable copies (ECO.2.1.3, ECO.2.1.6)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from dcc.mailbox.records import Document, Folder, Patient
from dcc.router.doctypes import document_type

LABEL_LENGTH = 40  # ECO.2.1.3
NAME_LENGTH = 120  # characters of a file name: archives and mail clients of today take more, older ones do not
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|_\u200b-\u200f\u202a-\u202e\u2066-\u2069]+')
_DATE = re.compile(r"\d{8}")
_LETTERS = str.maketrans({
    "œ": "oe", "Œ": "OE", "æ": "ae", "Æ": "AE", "’": "'", "‘": "'", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
    "đ": "d", "Đ": "D", "ß": "ss", "–": "-", "—": "-", "\u00a0": " ", "\u202f": " ",
})  # fmt: skip


def mss_subject(found: Sequence[Document], patient: Patient) -> str:
    """`XDM/1.0/DDM+<label> <NOM> <prénom> <date>`: label cut at 40, capitals, no accents (ECO.2.1.3)."""
    label = f"{len(found)} documents" if len(found) > 1 else label_of(found[0])[:LABEL_LENGTH]
    label = without_accents(label)[:LABEL_LENGTH].strip()
    name = without_accents(patient.birth_name).upper()
    given = without_accents(patient.given_names[0] if patient.given_names else "")
    return " ".join(f"XDM/1.0/DDM+{label} {name} {given} {patient.birth_date:%d/%m/%Y}".split())


def copy_name(document: Document, patient: Patient, folder: Folder, act: str | None, ending: str = "pdf") -> str:
    """`<date acte>_<type document>_<NOM>_<prénom>_<n° dossier>.pdf`; `act` is an HL7 TS (ECO.2.1.5, ECO.2.1.6).

    The folder's number is its opaque reference. Without a date of the act, the day it was received.
    """
    day = _DATE.match(act or "")
    given = patient.given_names[0] if patient.given_names else ""
    who = (patient.birth_name.upper(), given, folder.reference)
    date = day[0] if day else f"{document.received_at:%Y%m%d}"
    room = NAME_LENGTH - len(ending) - len(date) - sum(len(_plain(one)) + 1 for one in who) - 2
    return "_".join((date, _plain(label_of(document))[: max(10, room)].strip(), *map(_plain, who))) + f".{ending}"


def without_accents(text: str) -> str:
    """Letters without their accents, ligatures apart."""
    plain = unicodedata.normalize("NFD", text.translate(_LETTERS))
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


def label_of(document: Document) -> str:
    """The displayName of the document's type; its title where the type has none."""
    found = document_type(document.type_code, document.type_system)
    return document.title if found is None else found.label


def _plain(text: str) -> str:
    """One field of a file name: without what separates fields, names folders or deceives a reader (R-NAME)."""
    return " ".join(_UNSAFE.sub(" ", unicodedata.normalize("NFC", text)).split())
