"""Plain files made into a deposit: the type from a keyword, the identity from the folder (issue: files of clinicians).

What they lack of a clinical document is said by the folder and by the signature: the patient is the folder's, the
author is the signer. They are filed as they came; the CDA around them is made when they are sent (router/wrap.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from dcc.mailbox.records import Account, Folder, Patient
from dcc.mailbox.references import find_references
from dcc.router.content import kind_of
from dcc.router.doctypes import document_type, format_code
from dcc.router.hprim import HprimPatient, hprim_patients
from dcc.router.identity import identity_of
from dcc.router.keywords import types_named
from dcc.router.reasons import Reason, reason
from dcc.router.request import (
    Attachment,
    Deposit,
    DepositedDocument,
    Envelope,
    NotUnderstood,
    PlainDeposit,
    Professional,
)
from dcc.router.words import Words, matricules_in, text_inside

HPRIM = "hprim"
PORTABLE = "application/pdf"
READABLE = frozenset({"text/plain", "text/rtf"})


def read_plain(envelope: Envelope, attachments: tuple[Attachment, ...], words: Words) -> PlainDeposit | NotUnderstood:
    """A mail that carries files and no clinical document.

    D2R-XDM01: a file is nothing that this gateway knows. D2R-REQ01: there is no file at all.
    """
    kinds = [(one, kind_of(one)) for one in attachments if one.role != "inline"]
    unknown = next((one for one, kind in kinds if kind == "unknown"), None)
    if unknown is not None:
        return NotUnderstood(envelope, reason("D2R-XDM01", detail="format"), attachments)
    files = [(one, kind) for one, kind in kinds if kind != "decoration"]
    if not files:
        inline = [one for one in attachments if one.role == "inline" and kind_of(one) not in {"unknown", "unsafe"}]
        if not inline:
            return NotUnderstood(envelope, reason("D2R-REQ01"), attachments)
        files = [(one, kind_of(one)) for one in inline]  # a picture pasted into the text, and nothing else
    legacy = [one for one, kind in files if kind == HPRIM]
    others = [one for one, kind in files if kind != HPRIM]
    people: list[HprimPatient] = [found for one in legacy for found in hprim_patients(text_inside(one))]
    searched = [text_inside(one) for one, kind in files if kind in READABLE]
    portable = [text_inside(one) for one, kind in files if kind == PORTABLE]  # its metadata and plain streams
    written = matricules_in([envelope.subject, words.text, *(one.name for one in attachments), *searched])
    return PlainDeposit(
        envelope=envelope,
        files=tuple(others or legacy),
        attachments=attachments,
        types=types_named(envelope.subject) or types_named(words.first_line),
        references=find_references(words.text),
        matricules=tuple(dict.fromkeys((*written, *matricules_in(portable, grouped=False)))),
        why=reason("D2R-REQ03") if legacy else None,
        patients=tuple(people),
    )


def check_words(plain: PlainDeposit, local: Patient) -> Reason | None:
    """904 when a matricule in the words, a name or a text file is not the folder's; None: they agree."""
    if any(one != local.ins.upper() for one in plain.matricules):
        return reason("904", detail="words")
    return None


def typed(plain: PlainDeposit, kind: tuple[str, str], folder: Folder, local: Patient, account: Account) -> Deposit:
    """The deposit that these files are, once folder and type are known."""
    author = author_of(account)
    documents = tuple(_document(one, kind, folder, local, author) for one in _each_once(plain.files))
    return Deposit(plain.envelope, documents, plain.attachments, plain.findings)


def author_of(account: Account) -> Professional:
    """The signer as the author: a plain file names no other."""
    profession = f"G15_{account.profession}" if account.profession else None
    person = account.kind == "person"
    return Professional(
        id=account.national_id if person else None,
        profession=profession,
        structure=account.structure or (None if person else account.national_id),
        family_name=account.family_name,
        given_name=account.given_name,
    )


def plain_id(folder: Folder, type_code: str, digest: str) -> str:
    """The document id of a plain file: the same file of the same type in the same folder has the same one.

    An OID under 2.25 (ITU-T X.667 §6) from 122 bits of a hash: "déjà intégré" needs no id of the sender's.
    """
    seed = hashlib.sha256(f"{folder.id}|{type_code}|{digest}".encode()).digest()
    return f"2.25.{int.from_bytes(seed[:16], 'big')}"


def _each_once(files: Sequence[Attachment]) -> list[Attachment]:
    return list({one.sha256: one for one in files}.values())


def _document(
    one: Attachment, kind: tuple[str, str], folder: Folder, local: Patient, author: Professional
) -> DepositedDocument:
    found = document_type(*kind)
    if found is None:
        raise LookupError(kind[0])
    seen = kind_of(one)
    media_type = "text/plain" if seen == HPRIM else seen
    return DepositedDocument(
        unique_id=plain_id(folder, found.code, one.sha256),
        set_id=None,
        version=None,
        type_code=found.code,
        type_system=found.system,
        class_code=found.class_code,
        format_code=format_code(found, (), media_type),
        templates=(),
        title=found.label,
        patient=identity_of(local),
        authors=(author,),
        legal_authenticator=author if author.id else None,
        custodian=author.structure,
        recipients=(),
        replaces=None,
        confidentiality=("N",),
        structured=False,
        source=one,
        findings=("plain-file",),
    )
