"""Writes docs/documents.md: what comes in, and where each field of a document is read, for each form.

Run `python docs/make_documents.py`; a test fails when the page is not what this writes, and another takes away what
each path of the table names and looks whether the field is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dcc.router.content import MARKS
from dcc.router.doctypes import document_type
from dcc.router.hl7_fields import EVENTS, FLAGS, MASKS, ORDERS, STATES
from dcc.router.keywords import keywords

ROOT = Path(__file__).resolve().parents[1]
PATIENT = "h:recordTarget/h:patientRole"
NAME = f"{PATIENT}/h:patient/h:name"
AUTHOR = "h:author/h:assignedAuthor"


@dataclass(frozen=True, slots=True)
class Row:
    """One field: its name in the code, its meaning, and where it stands in a CDA, in METADATA.XML and in HL7 v2."""

    field: str
    meaning: str
    cda: str
    metadata: str
    hl7: str


FIELDS = (
    Row("patient.ins", "matricule INS", f"{PATIENT}/h:id[@root='1.2.250.1.213.1.4.10']/@extension",
        "patientId, component 1", "PID-3 of type INS, component 1"),
    Row("patient.oid", "domain of the matricule", f"{PATIENT}/h:id[@root='1.2.250.1.213.1.4.10']/@root",
        "patientId, component 4", "PID-3 of type INS, component 4"),
    Row("patient.birth_name", "birth name", f"{NAME}/h:family[@qualifier='BR']", "–", "PID-5 of type L, component 1"),
    Row("patient.first_given", "first given name", f"{NAME}/h:given[@qualifier='BR']", "–",
        "PID-5 of type L, component 2"),
    Row("patient.given_names", "all given names", f"{NAME}/h:given[not(@qualifier)]", "–",
        "PID-5 of type L, component 3"),
    Row("patient.sex", "sex", f"{PATIENT}/h:patient/h:administrativeGenderCode/@code", "–", "PID-8"),
    Row("patient.birth_date", "birth date", f"{PATIENT}/h:patient/h:birthTime/@value", "–", "PID-7"),
    Row("patient.birth_place", "birth place (COG)", f"{PATIENT}/h:patient/h:birthplace/h:place/h:addr/h:county", "–",
        "PID-11 of type BDL, component 9 (a PDF only)"),
    Row("unique_id", "id of the document", "h:id", "uniqueId, compared", "TXA-12, compared (a PDF: taken)"),
    Row("set_id", "id of the series", "h:setId", "–", "–"),
    Row("version", "version", "h:versionNumber/@value", "–", "–"),
    Row("replaces", "document replaced", "h:relatedDocument[@typeCode='RPLC']/h:parentDocument/h:id", "–",
        "TXA-13, where the CDA says nothing; two answers: 900"),
    Row("type_code", "type", "h:code/@code", "typeCode, must be equal (D2R-XDM04)",
        "OBX-3 (or TXA-2), must be equal (D2R-XDM04)"),
    Row("type_system", "code system of the type", "h:code/@codeSystem", "–", "–"),
    Row("templates", "models", "h:templateId", "–", "–"),
    Row("title", "title", "h:title", "–", "–"),
    Row("confidentiality", "confidentiality", "h:confidentialityCode/@code", "confidentialityCode, added: the masks",
        "the flags, added: the masks"),
    Row("authors[0].id", "author", f"{AUTHOR}/h:id[@root='1.2.250.1.71.4.2.1']/@extension", "–",
        "PRT of SB, field 5, component 1 (a PDF only)"),
    Row("authors[0].profession", "profession and specialty of the author", f"{AUTHOR}/h:code/@code", "–", "–"),
    Row("authors[0].structure", "structure of the author",
        f"{AUTHOR}/h:representedOrganization/h:id[@root='1.2.250.1.71.4.2.2']/@extension", "–",
        "PRT of SB, field 8, component 10 (a PDF only)"),
    Row("legal_authenticator.id", "legal authenticator",
        "h:legalAuthenticator[h:signatureCode/@code='S']/h:assignedEntity/h:id/@extension", "–", "–"),
    Row("custodian", "custodian", "h:custodian/h:assignedCustodian/h:representedCustodianOrganization/h:id/@extension",
        "–", "–"),
    Row("recipients", "recipients named", "h:informationRecipient/h:intendedRecipient/h:id/@extension", "–", "–"),
    Row("structured", "N3 (or N1)", "h:component/h:structuredBody", "–", "–"),
)  # fmt: skip
HEAD = """# Clinical documents: what comes in, and how it is read

Written by `docs/make_documents.py` from the tables of the code; do not edit.

## What comes in

| what | how it is known | what becomes of it |
|---|---|---|
| MSSanté mail | an archive IHE_XDM.zip, by its name or its bytes | each document filed; size and SHA-1 of METADATA.XML checked; one patient a mail |
| HL7 v2 message | a file that begins with MSH: MDM T02, T04, T10, T11, ORU R01 | filed, replaced or deleted; the acknowledgement (AA, or AE with 900 to 906) is attached to the sealed answer |
| clinical document alone | a file that is a CDA | filed as if it came in an archive, without METADATA.XML |
| attestation of consent alone | one CDA of type 59284-0, by mail to the network | opens the folder of a patient who has none there, and is filed in it (decision 0017) |
| plain files | PDF, JPEG, PNG, TIFF, RTF, text | filed in the folder that the mail names, as the type that a keyword names, in the name of the signer |
| HPRIM Médecin, HPRIM Santé | the ending .hpr, `****FIN****`, `H\\|~^\\&` | held 903; its patient and the folders that resemble are shown to an identity officer, who may file it |
| MDN, DSN, automatic reply | RFC 8098, RFC 3464, RFC 3834 | matched to our mail, never a deposit, never answered |
| Apicrypt | .apz, `$APICRYPT` | refused unread |
| programs, pages, office files, winmail.dat, unknown octets | first bytes and endings | refused with the reason |

## Where each field is read

`h` is `urn:hl7-org:v3`, paths start at `/h:ClinicalDocument`. The matricule's root is the one of the platform's domain: .8 and .9
in production, .10 and .11 in test. "–": not taken from there. For an archive, METADATA.XML must name the same matricule as the CDA
(904 with D2R-XDM05), and without one there the document has none (903). For HL7 the same holds of PID-3; birth name, first given
name, sex and birth date of PID must not contradict the CDA (held 904).

| field | what | CDA | METADATA.XML | HL7 v2 |
|---|---|---|---|---|
"""
PLAIN = """
Class and format are not read but looked up: the class from the type (ASS_X04), the format of an N3 from the last listed templateId,
of an N1 from the media type of its body (ASS_A11). What a wrapper says otherwise is a finding, not a refusal.

A plain file has no fields: patient = the folder's, which must be qualified; author = the signer; type = the keyword; id = a hash of
folder, type and content, so that the same file is one document. A matricule with a right key in the subject, the text, a file name or
a text file must be the folder's (904). The CDA N1 and the archive around it are made when it is sent.

## How a mail names a folder

1. the folder's opaque address as envelope recipient; 2. the reference `[D-XXXX-XXXX]` in the subject, which every notice carries and
whose last character is a check; 3. for plain files, the Message-ID of our own mail that is answered, from the mailbox it was sent to;
4. for documents that carry an identity, that identity alone. What is named and what the document says must agree (904). A subject
never identifies anybody (acceptance 44), and a reference is not a right: consent, opposition, mandate and profession are checked as
for any deposit.

## Keywords of types (`router/data/keywords.csv`)

One of these words, whole, in the subject or else in the first line of the text. None or several: held, and asked back with the list.

| keyword | type | French label |
|---|---|---|
"""
HL7 = """
## HL7 v2

| said by | value | meaning |
|---|---|---|
"""
IDENTITY = """
Two that differ: D2R-HLM02. T02 and R01 carry a content; without an order they file it.

| flag (OBX-3, MetaDMPMSS) | effect |
|---|---|
"""
TAIL = """
MASQUE_PS with DESTMSSANTEPS, and INVISIBLE_PATIENT with DESTMSSANTEPAT, are refused (D2R-HLM01). A document that is filed already and
comes again with more masks from its author is masked (D2R-MSK03), also for mails that still wait; one that would be unmasked is held until a person lifts the mask (`dcc document unmask`)
(D2R-MSK02).

A deletion names its document by TXA-13, by what the enclosed CDA replaces, by that CDA's own id, or by TXA-12, in this order. Its
author, its depositor or the author's structure may delete (901 otherwise); the document is marked, its content is not served any
more, its row and its trace stay.

## Files by their first bytes

| begins with | filed as |
|---|---|
"""
END = """
## Identity and reconciliation

Filed without a person only when the matricule, its domain and every strict trait equal those of a qualified local identity; case,
accents, hyphens, apostrophes and spaces do not count. Anything else is held, nothing is created or merged: `dcc held show ID
--operator ACCOUNT` shows an identity officer (or the network's administrator) the folders that may be meant, traits side by side,
and writes that she looked; `dcc held assign` takes her decision, audits it, and sends the message through every check again.

## Types by profession

Each network may set a table of its own (`dcc network rules`): the folder's network decides. Elsewhere the table that
`gateway.matrix` in `dcc.toml` names holds, or else `router/data/professions.csv`. It is a CSV file (`group,label,feed,read`); a group
is a G15 profession code, `staff`, `organisation` or `other`. Terms: `*` everything, `class:10` a class, a type code, `-` takes away.
It is applied when a document is filed (D2R-TYP02), for each reader when the mails are planned, and again when each is sent
(D2R-TYP03): a change counts from the next mail on. A network's own table is refused at the least fault, each told by its line; of
`gateway.matrix`, `dcc check-config` warns of groups, types and classes that nobody has.
"""
SAID = {"new": "a new document", "replace": "replaces", "delete": "deletes"}


def page() -> str:
    """The page as it must be."""
    fields = [f"| `{one.field}` | {one.meaning} | `{_cell(one.cda)}` | {one.metadata} | {one.hl7} |" for one in FIELDS]
    words = [f"| {one.word} | {one.type_code} | {one.label} |" for one in keywords().values()]
    intents = [
        *(f"| event | {name} | {SAID[said]} |" for name, said in EVENTS.items()),
        *(f"| ORC-1 | {name} | {SAID[said]} |" for name, said in ORDERS.items()),
        *(f"| OBX-11 | {name} | {SAID[said]} |" for name, said in STATES.items()),
    ]
    flags = [f"| {name} | {_effect(name)} |" for name in FLAGS]
    marks = [f"| `{_shown(mark)}` | {kind} |" for mark, kind in MARKS]
    parts = [HEAD, _lines(fields), PLAIN, _lines(words), HL7, _lines(intents), IDENTITY, _lines(flags)]
    return "".join((*parts, TAIL, _lines(marks), END))


def _lines(rows: list[str]) -> str:
    return "".join(f"{row}\n" for row in rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _effect(name: str) -> str:
    if name in MASKS:
        return f"adds the mask {MASKS[name]}"
    if name == "MODIF_CONF_CODE":
        return "noted: masks of a document filed already are compared in any case"
    return "noted"


def _shown(mark: bytes) -> str:
    return "".join(chr(one) if 32 <= one < 127 else f"\\x{one:02x}" for one in mark)


def labels_are_known() -> bool:
    """Whether every keyword's type is one of JDV_J07."""
    return all(document_type(one.type_code, one.system) is not None for one in keywords().values())


if __name__ == "__main__":
    (ROOT / "docs" / "documents.md").write_text(page(), encoding="utf-8")
