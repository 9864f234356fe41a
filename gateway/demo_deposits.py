"""Reports as the members of the cast would send them: real documents, real archives, real signatures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from dcc.gateway.cast_reader import Cast
from dcc.gateway.clients import Envelope, Shape, mail, report_entity
from dcc.router.cda_write import CdaDraft, Section, Structure, new_document_id, write_n1, write_n3
from dcc.router.doctypes import LOINC, document_type
from dcc.router.pdf import small_pdf
from dcc.router.xdm_write import XdmDocument, XdmSubmission, build_xdm

RCP, PATHOLOGY, BIOLOGY, CONSULTATION = "34794-8", "60568-3", "11502-2", "11488-4"
SOURCE = "1.2.250.1.213.9.9.9"  # OID of the sending software in the demo


@dataclass(frozen=True, slots=True)
class Draft:
    """What one deposit says."""

    sender: str
    folder: str
    type_code: str = RCP
    author: str | None = None  # None: the sender
    patient: str | None = None  # None: the folder's
    structured: bool = True
    shape: Shape = "thunderbird"
    identity: str = "card"
    unique_id: str | None = None
    replaces: str | None = None
    from_: str | None = None
    confidentiality: Sequence[str] = ()


def document(cast: Cast, draft: Draft, at: datetime, random_bytes: Callable[[int], bytes]) -> bytes:
    """The clinical document (CDA) of a deposit."""
    patient = cast.patient(draft.patient or draft.folder)
    author = cast.professional(draft.author or draft.sender)
    structure = author.structure or "10B0057881"
    found = document_type(draft.type_code, LOINC)
    title = found.label if found is not None else "Document"
    told = CdaDraft(
        unique_id=draft.unique_id or new_document_id(random_bytes), type_code=draft.type_code, type_system=LOINC,
        title=title, patient=patient, author=author, custodian=Structure(structure, "Structure de démonstration"),
        effective_time=at, replaces=draft.replaces,
    )  # fmt: skip
    if not draft.structured:
        return write_n1(told, small_pdf(title, ["Document de démonstration.", "Conclusion : sans particularité."]))
    return write_n3(told, [Section("Avis de la réunion", ("Proposition thérapeutique de démonstration.",))])


def entity(
    cast: Cast, draft: Draft, at: datetime, random_bytes: Callable[[int], bytes], cda: bytes | None = None
) -> bytes:
    """The MIME entity that a clinician's software makes: text, IHE_XDM.zip, and the readable copy."""
    octets = document(cast, draft, at, random_bytes) if cda is None else cda
    patient = cast.patient(draft.patient or draft.folder)
    archive = build_xdm(
        [XdmDocument.of(octets, draft.confidentiality)],
        XdmSubmission(new_document_id(random_bytes), SOURCE, at, patient, cast.person(draft.sender)["mailbox"]),
    )
    copy = small_pdf("Compte rendu", ["Copie lisible du document."])
    attachments = [("IHE_XDM.zip", "application/zip", archive), ("compte-rendu.pdf", "application/pdf", copy)]
    return report_entity("Bonjour,\n\nVeuillez trouver le compte rendu joint.\n", attachments)


def deposit(
    cast: Cast,
    draft: Draft,
    at: datetime,
    random_bytes: Callable[[int], bytes] = os.urandom,
    *,
    to: str | None = None,
    body: bytes | None = None,
    encrypted: bool = True,
    signed: bool = True,
) -> bytes:
    """A whole mail, as the sender's client makes it."""
    address = to or cast.folder(draft.folder)["address"]
    sender = draft.from_ or cast.person(draft.sender)["mailbox"]
    envelope = Envelope(sender, address, "Compte rendu", at, f"<{random_bytes(12).hex()}@{sender.partition('@')[2]}>")
    inner = entity(cast, draft, at, random_bytes) if body is None else body
    return mail(
        inner, cast.identity(draft.sender, draft.identity) if signed else None,
        [cast.gateway_certificate()] if encrypted else [], envelope, random_bytes, shape=draft.shape,
    )  # fmt: skip


def tampered(cast: Cast, draft: Draft, at: datetime, random_bytes: Callable[[int], bytes] = os.urandom) -> bytes:
    """A deposit whose signed part was changed after signing, then encrypted."""
    from dcc.gateway.clients import enveloped_mail, signed_entity

    inner = signed_entity(entity(cast, draft, at, random_bytes), cast.identity(draft.sender), opaque=False)
    changed = inner.replace(b"Veuillez trouver", b"Veuillez Trouver", 1)
    if changed == inner:
        raise ValueError("nothing was changed")
    sender = cast.person(draft.sender)["mailbox"]
    envelope = Envelope(
        sender, cast.folder(draft.folder)["address"], "Compte rendu", at, f"<{random_bytes(12).hex()}@demo.example>"
    )
    return enveloped_mail(changed, [cast.gateway_certificate()], envelope, random_bytes, shape="thunderbird")
