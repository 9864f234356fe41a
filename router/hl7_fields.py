"""What the fields of an HL7 v2 document message mean: intent, patient, ids, people, flags (facts/clinical.md §5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dcc.router import oids
from dcc.router.hl7 import Message, Segment
from dcc.router.reasons import Reason, reason
from dcc.router.request import Application, PatientIdentity, Professional

EVENTS = {"T10": "replace", "T04": "delete", "T11": "delete"}  # T02 and R01 carry a content: the order says why
ORDERS = {"NW": "new", "RO": "replace", "CA": "delete"}  # SC, seen in one v1.0 sample, says nothing
STATES = {"C": "replace", "D": "delete"}  # OBX-11; F says that the result is final, in either case
MASKS = {
    "MASQUE_PS": oids.MASQUE_PS,
    "INVISIBLE_PATIENT": oids.INVISIBLE_PATIENT,
    "INVISIBLE_REP_LEGAUX": oids.INVISIBLE_REPRESENTANTS_LEGAUX,
}
FLAGS = (
    *MASKS, "CONNEXION_SECRETE", "MODIF_CONF_CODE", "DESTDMP", "DESTMSSANTEPS", "DESTMSSANTEPAT", "ACK_RECEPTION",
    "ACK_LECTURE_MSS", "CORPSMAIL_PS",
)  # fmt: skip
MODIFIES = "MODIF_CONF_CODE"
_SAFE = re.compile(r"[^\w .:/+-]")


@dataclass(frozen=True, slots=True)
class Payload:
    """One encapsulated document: what OBX says of it, and where its base64 lies."""

    code: str  # OBX-3.1
    kind: str  # OBX-5.3 in capitals: XML, PDF, …
    status: str  # OBX-11
    start: int
    size: int


def application_of(message: Message) -> Application:
    """What an acknowledgement answers (MSH-3, -4, -9, -10, -12); names of software, cut and cleaned."""
    header, signs = message.first("MSH"), message.separators
    return Application(
        control_id=_safe(header.field(10)),
        event=_safe(signs.part(header.field(9), 2)),
        version=_safe(signs.part(header.field(12), 1)),
        sender=_safe(signs.part(header.field(3), 1)),
        facility=_safe(signs.part(header.field(4), 1)),
        flags=tuple(sorted(name for name, value in flags_of(message).items() if value == "Y")),
    )


def _safe(text: str) -> str:
    return _SAFE.sub("", text)[:40]


def kind_of_message(message: Message) -> str:
    """`MDM^T02`, `ORU^R01`, …"""
    signs, field = message.separators, message.first("MSH").field(9)
    return f"{signs.part(field, 1)}^{signs.part(field, 2)}"


def intent_of(message: Message) -> str | Reason:
    """ "new", "replace" or "delete"; D2R-HLM02 when event, ORC-1 and OBX-11 say different things."""
    event = EVENTS.get(message.separators.part(message.first("MSH").field(9), 2), "")
    orders = {ORDERS.get(one.field(1).strip(), "") for one in message.all("ORC")}
    states = {STATES.get(one.status, "") for one in payloads_of(message)}
    said = ({event} | orders | states) - {""}
    if len(said) > 1:
        return reason("D2R-HLM02")
    return next(iter(said), "new")


def flags_of(message: Message) -> dict[str, str]:
    """The MetaDMPMSS flags, Y or N; older profiles name no coding system."""
    found: dict[str, str] = {}
    for one in message.all("OBX"):
        name = message.separators.part(one.field(3), 1)
        if name in FLAGS:
            found[name] = message.separators.part(one.field(5), 1).upper()[:1]
    return found


def check_flags(flags: dict[str, str]) -> Reason | None:
    """The combinations that the profile does not list (facts §5; acceptance 36)."""
    if flags.get("MASQUE_PS") == "Y" and flags.get("DESTMSSANTEPS") == "Y":
        return reason("D2R-HLM01", detail="MASQUE_PS,DESTMSSANTEPS")
    if flags.get("INVISIBLE_PATIENT") == "Y" and flags.get("DESTMSSANTEPAT") == "Y":
        return reason("D2R-HLM01", detail="INVISIBLE_PATIENT,DESTMSSANTEPAT")
    return None


def masks_of(flags: dict[str, str]) -> tuple[str, ...]:
    """The confidentiality codes that flags add to the document's own."""
    return tuple(code for name, code in MASKS.items() if flags.get(name) == "Y")


def patient_of(message: Message) -> PatientIdentity:
    """PID-3 (component 5 INS), PID-5 (type L), PID-7, PID-8, and the BDL address of PID-11, as written."""
    pid, signs = message.first("PID"), message.separators
    ins = next((one for one in pid.field(3).split(signs.repetition) if signs.part(one, 5).upper() == "INS"), "")
    authority = signs.part(ins, 4).split(signs.subcomponent)
    names = pid.field(5).split(signs.repetition)
    legal = next((one for one in names if signs.part(one, 7).upper() == "L"), names[0])
    places = pid.field(11).split(signs.repetition)
    birth = next((one for one in places if signs.part(one, 7).upper() == "BDL"), "")
    first, others = signs.part(legal, 2), signs.part(legal, 3)
    return PatientIdentity(
        ins=signs.part(ins, 1) or None,
        oid=authority[1].strip() if len(authority) > 1 and authority[1] else None,
        birth_name=signs.part(legal, 1) or None,
        first_given=first or None,
        given_names=tuple((others or first).split()),
        sex=pid.field(8).strip() or None,
        birth_date=pid.field(7).strip()[:8] or None,
        birth_place=signs.part(birth, 9) or None,
    )


def ids_of(message: Message) -> tuple[str | None, str | None]:
    """(TXA-12, TXA-13): the document's id and the one of the document that it replaces or deletes."""
    txa = message.first("TXA")
    own, parent = (message.separators.part(txa.field(number), 1) for number in (12, 13))
    return own or None, parent or None


def type_said(message: Message) -> str | None:
    """TXA-2, the document's type."""
    return message.separators.part(message.first("TXA").field(2), 1) or None


def sender_of(message: Message) -> Professional | None:
    """The person and the structure of the participation SB (PRT-5, PRT-8)."""
    signs = message.separators
    found = next((one for one in message.all("PRT") if signs.part(one.field(4), 1) == "SB"), None)
    if found is None:
        return None
    person, organisation = found.field(5), found.field(8)
    return Professional(
        id=signs.part(person, 1) or None,
        structure=signs.part(organisation, 10) or None,
        structure_name=signs.part(organisation, 1) or None,
        family_name=signs.part(person, 2) or None,
        given_name=signs.part(person, 3) or None,
    )


def payloads_of(message: Message) -> list[Payload]:
    """The encapsulated documents (OBX type ED with a kind); the mail's text has none and is not a document."""
    return [found for one in message.all("OBX") if (found := _payload(message, one)) is not None]


def _payload(message: Message, one: Segment) -> Payload | None:
    signs = message.separators
    kind = signs.part(one.field(5), 3).upper()
    if one.field(2).strip() != "ED" or not kind or one.value is None:
        return None
    return Payload(signs.part(one.field(3), 1), kind, one.field(11).strip(), *one.value)
