"""HL7 v2 MDM and ORU messages as deposits or deletions: the same checks as for an archive (facts/clinical.md §5, §11 E)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from dcc.router.cda import CdaHeader
from dcc.router.clinical import (
    DepositRefusedError,
    Said,
    check_each_once,
    check_one_patient,
    document_from,
    header_of,
    ins_of,
    type_of,
)
from dcc.router.content import kind_of
from dcc.router.doctypes import format_code, type_by_code
from dcc.router.hl7 import Message, read_message
from dcc.router.hl7_fields import (
    Payload,
    application_of,
    check_flags,
    flags_of,
    ids_of,
    intent_of,
    kind_of_message,
    masks_of,
    patient_of,
    payloads_of,
    sender_of,
    type_said,
)
from dcc.router.identity import contradicting
from dcc.router.reasons import Reason, reason
from dcc.router.request import Attachment, Deletion, Deposit, DepositedDocument, Envelope, PatientIdentity, Professional
from dcc.router.xml import XmlRefusedError
from dcc.smime import transfer
from dcc.smime.errors import Malformed
from dcc.smime.workfile import WorkFile

READ = frozenset({"MDM^T02", "MDM^T04", "MDM^T10", "MDM^T11", "ORU^R01"})
DOCUMENTS = 50
MEDIA_TYPES = {"XML": ("text/xml", ".xml"), "PDF": ("application/pdf", ".pdf")}
PLAIN = frozenset({"application/pdf", "image/jpeg", "image/png", "image/tiff", "text/rtf", "text/plain"})


@dataclass(frozen=True, slots=True)
class Application:
    """One HL7 message, opened: its envelope (which names what to acknowledge) and its segments."""

    envelope: Envelope
    message: Message


def open_hl7(envelope: Envelope, source: Attachment) -> Application:
    """The message, and an envelope that names it. Raises Malformed, LimitPassed."""
    message = read_message(source)
    return Application(replace(envelope, application=application_of(message)), message)


def read_hl7(
    opened: Application, source: Attachment, attachments: tuple[Attachment, ...], work: Callable[[], WorkFile]
) -> Deposit | Deletion:
    """What the message asks for.

    Raises DepositRefusedError: D2R-REQ04 another kind of message, D2R-HLM01 flags, D2R-HLM02 intents that differ,
    D2R-HLM03 no document, 904 the message and its document name two patients, and the codes of a CDA.
    """
    message = opened.message
    kind = kind_of_message(message)
    if kind not in READ:
        raise DepositRefusedError(reason("D2R-REQ04", detail=kind if kind.replace("^", "").isalnum() else "?"))
    flags = flags_of(message)
    why = check_flags(flags)
    intent = intent_of(message)
    for one in (why, intent):
        if isinstance(one, Reason):
            raise DepositRefusedError(one)
    try:
        files = [_decoded(one, source, number, work) for number, one in enumerate(_bounded(message), 1)]
        if intent == "delete":
            return _deletion(opened, files, attachments)
        return _deposit(opened, files, attachments, masks_of(flags), intent == "replace")
    except XmlRefusedError as refused:
        raise DepositRefusedError(reason(refused.code, detail=refused.detail)) from None


def _bounded(message: Message) -> list[Payload]:
    found = payloads_of(message)
    if len(found) > DOCUMENTS:
        raise DepositRefusedError(reason("D2R-LIM01", limit="hl7_documents"))
    return found


def _decoded(
    payload: Payload, source: Attachment, number: int, work: Callable[[], WorkFile]
) -> tuple[Payload, Attachment]:
    """The encapsulated bytes, decoded as a stream into the work file."""
    file = work()
    start, digest = file.size, hashlib.sha256()
    with source.open() as reader:
        try:
            for block in transfer.decode(reader, payload.start, payload.start + payload.size, "base64"):
                digest.update(block)
                file.write(block)
        except Malformed:
            raise DepositRefusedError(reason("D2R-HLM03", detail="base64")) from None
    media_type, ending = MEDIA_TYPES.get(payload.kind, ("application/octet-stream", ""))
    name = f"document-{number}{ending}"
    return payload, Attachment(name, media_type, file.size - start, digest.hexdigest(), "document", file, start)


def _deposit(
    opened: Application,
    files: list[tuple[Payload, Attachment]],
    attachments: tuple[Attachment, ...],
    masks: tuple[str, ...],
    replaces: bool,
) -> Deposit:
    message = opened.message
    patient = patient_of(message)
    documents: list[DepositedDocument] = []
    differs: list[str] = []
    for payload, file in files:
        if payload.kind == "XML":
            header = header_of(file)
            documents.append(_clinical(message, payload, header, file, masks))
            differs += _compare(patient, header.patient)
        else:
            documents.append(_plain(message, payload, patient, file, masks))
    if not documents:
        raise DepositRefusedError(reason("D2R-HLM03", detail="document"))
    check_one_patient(documents, {ins_of(one.patient) for one in documents})
    check_each_once(documents)
    if patient.ins is None:  # the message is what identifies, as METADATA does for an archive (ECO.2.1.2): 903
        documents = [replace(one, patient=replace(one.patient, ins=None, oid=None)) for one in documents]
    if replaces:
        documents = _replacing(message, documents)
    parts = tuple(file for _, file in files)
    findings = tuple(dict.fromkeys(finding for one in documents for finding in one.findings))
    return Deposit(opened.envelope, tuple(documents), (*attachments, *parts), findings, tuple(dict.fromkeys(differs)))


def _clinical(
    message: Message, payload: Payload, header: CdaHeader, file: Attachment, masks: tuple[str, ...]
) -> DepositedDocument:
    code = payload.code or type_said(message)
    own, _ = ids_of(message)
    return document_from(header, type_of(header, code or None), file, Said(code, unique_id=own, masks=masks))


def _compare(said: PatientIdentity, inside: PatientIdentity) -> list[str]:
    """The traits in which message and document differ. Raises DepositRefusedError when the INS does (904)."""
    two = ins_of(said), ins_of(inside)
    if all(two) and two[0] != two[1]:
        raise DepositRefusedError(reason("904", detail="D2R-XDM05", outcome="refused"))
    return list(contradicting(said, inside))


def _plain(
    message: Message, payload: Payload, patient: PatientIdentity, file: Attachment, masks: tuple[str, ...]
) -> DepositedDocument:
    """An encapsulated file without a CDA: identity, type, author and id are those of the message."""
    media_type = kind_of(file)
    code = payload.code or type_said(message) or ""
    kind = type_by_code(code)
    if kind is None:
        raise DepositRefusedError(reason("D2R-TYP01"))
    if media_type not in PLAIN:
        raise DepositRefusedError(reason("D2R-CNT01", detail="format"))
    own, parent = ids_of(message)
    author = sender_of(message) or Professional(None)
    seed = hashlib.sha256(f"{patient.ins}|{kind.code}|{file.sha256}".encode()).digest()
    return DepositedDocument(
        unique_id=own or f"2.25.{int.from_bytes(seed[:16], 'big')}",
        set_id=None,
        version=None,
        type_code=kind.code,
        type_system=kind.system,
        class_code=kind.class_code,
        format_code=format_code(kind, (), media_type),
        templates=(),
        title=kind.label,
        patient=patient,
        authors=(author,),
        legal_authenticator=author if author.id else None,
        custodian=author.structure,
        recipients=(),
        replaces=parent,
        confidentiality=("N", *masks),
        structured=False,
        source=file,
        findings=("plain-file",),
    )


def _replacing(message: Message, documents: list[DepositedDocument]) -> list[DepositedDocument]:
    """What is replaced: the CDA says it (RPLC), or TXA-13 does; two answers are none (900)."""
    _, parent = ids_of(message)
    made = []
    for one in documents:
        if one.replaces is not None and parent is not None and one.replaces != parent:
            raise DepositRefusedError(reason("900"))
        if one.replaces is None and parent is None:
            raise DepositRefusedError(reason("900"))
        made.append(one if one.replaces is not None else replace(one, replaces=parent))
    return made


def _deletion(
    opened: Application, files: list[tuple[Payload, Attachment]], attachments: tuple[Attachment, ...]
) -> Deletion:
    """The document meant: TXA-13, or what the CDA replaces, or the CDA itself; the content need not be readable."""
    message = opened.message
    patient = patient_of(message)
    own, parent = ids_of(message)
    targets = [parent]
    for payload, file in files:
        if payload.kind != "XML":
            continue
        try:
            header = header_of(file)
        except XmlRefusedError:
            continue  # nothing is filed: an empty or replaced content is no fault of a deletion
        _compare(patient, header.patient)
        targets += [header.replaces, header.unique_id]
    named = tuple(dict.fromkeys(one for one in (*targets, own) if one))
    if not named:
        raise DepositRefusedError(reason("900"))
    return Deletion(opened.envelope, patient, named, attachments)
