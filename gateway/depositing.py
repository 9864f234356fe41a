"""What an establishment's script needs: documents in files become a sealed deposit, sent, and reported on."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import date, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from uuid import UUID

from dcc.mailbox.records import Patient
from dcc.router.cda import CdaHeader
from dcc.router.cda_write import new_document_id
from dcc.router.xdm_write import XdmDocument, XdmSubmission, build_xdm
from dcc.router.xml import XmlRefusedError
from dcc.smime.headerprotection import MailHeaders
from dcc.smime.keys import KeyPair
from dcc.smime.seal import Profile, key_signer, seal

MEDIA_TYPES = {
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".rtf": "text/rtf",
    ".jpg": "image/jpeg",
    ".png": "image/png",
}


class NotADeposit(Exception):
    """The files cannot make a deposit; the text is a sentence for the person."""


def build_deposit(
    files: Sequence[Path],
    *,
    sender: str,
    recipient: str,
    signer: KeyPair,
    gateway_certificate: bytes,
    now: datetime,
    random_bytes: Callable[[int], bytes],
    post_quantum: bool = False,
) -> bytes:
    """The sealed mail that carries these files: the CDA in an archive, everything else beside it.

    Raises NotADeposit, OSError.
    """
    documents: list[XdmDocument] = []
    beside: list[tuple[str, str, bytes]] = []
    for path in files:
        octets = path.read_bytes()
        if path.suffix.lower() == ".xml":
            documents.append(_document(path, octets))
        elif path.suffix.lower() in MEDIA_TYPES:
            beside.append((path.name, MEDIA_TYPES[path.suffix.lower()], octets))
        else:
            raise NotADeposit(f"{path.name} : ce type de fichier n'est pas accepté")
    if not documents:
        raise NotADeposit("il faut au moins un document CDA (.xml)")
    archive = build_xdm(
        documents,
        XdmSubmission(new_document_id(random_bytes), _source(random_bytes), now, _patient(documents[0].header), sender),
    )
    entity = EmailMessage(policy=SMTP)
    entity.set_content("Documents joints.\n")
    for name, media_type, octets in (("IHE_XDM.zip", "application/zip", archive), *beside):
        maintype, _, subtype = media_type.partition("/")
        entity.add_attachment(octets, maintype=maintype, subtype=subtype, filename=name)
    _, _, body = entity.as_bytes().partition(b"\r\n\r\n")
    content_type = entity["Content-Type"]  # read afterwards: writing it chose the boundary
    headers = MailHeaders(
        sender, recipient, "XDM/1.0/DDM+Documents", now, f"<{random_bytes(12).hex()}@{sender.partition('@')[2]}>"
    )
    out, own = io.BytesIO(), key_signer(signer)
    seal(
        headers, [body], [("Content-Type", str(content_type))], signer=own, recipient=gateway_certificate,
        profile=Profile(digest=own.digest, post_quantum=post_quantum), out=out, random_bytes=random_bytes,
    )  # fmt: skip
    return out.getvalue()


def _document(path: Path, octets: bytes) -> XdmDocument:
    try:
        return XdmDocument.of(octets)
    except XmlRefusedError as error:
        raise NotADeposit(f"{path.name} n'est pas un document CDA lisible") from error


def _patient(header: CdaHeader) -> Patient:
    """The identity as the document says it: the gateway compares it with its own, we only copy it."""
    found = header.patient
    if found.ins is None or found.oid is None:
        raise NotADeposit("le document ne porte pas de matricule INS")
    birth = found.birth_date or ""
    try:
        born = date(int(birth[:4]), int(birth[4:6]), int(birth[6:8]))
    except ValueError as error:
        raise NotADeposit("le document ne porte pas de date de naissance complète") from error
    given = (found.first_given, *(one for one in found.given_names if one != found.first_given))
    return Patient(
        "deposit", found.ins, found.oid, found.birth_name or "", tuple(one for one in given if one), found.sex or "",
        born, found.birth_place or "", "QUAL",
    )  # fmt: skip


def _source(random_bytes: Callable[[int], bytes]) -> str:
    return f"2.25.{UUID(bytes=random_bytes(16), version=4).int}"
