"""The patient: is the identity complete, of our domain, and exactly the one held locally (facts/clinical.md §7)."""

from __future__ import annotations

import unicodedata

from dcc.cards.identifiers import nir
from dcc.mailbox.records import Patient
from dcc.router import oids
from dcc.router.reasons import Reason, reason
from dcc.router.request import PatientIdentity

QUALIFIED = "QUAL"
MATRICULE = 15  # 13 characters and a key of two digits
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss", "-": " ", "'": " ", "’": " ", "‐": " ", "‑": " "})


def normal(text: str | None) -> str:
    """A name without its typography: case, accents, hyphens, apostrophes and spaces only (facts §7)."""
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text or "").casefold())
    plain = "".join(sign for sign in plain if not unicodedata.combining(sign)).translate(_LIGATURES)
    return " ".join(plain.split())


def key_is_right(matricule: str) -> bool:
    """Whether a 15-character matricule has its right key; nothing is tidied before (facts/cards.md §5)."""
    return len(matricule) == MATRICULE and matricule.isalnum() and nir(matricule).valid


def identity_of(local: Patient) -> PatientIdentity:
    """A local identity in the shape of a document's, for files that have none of their own."""
    return PatientIdentity(
        ins=local.ins,
        oid=local.oid,
        birth_name=local.birth_name,
        first_given=local.given_names[0] if local.given_names else None,
        given_names=local.given_names,
        sex=local.sex,
        birth_date=f"{local.birth_date:%Y%m%d}",
        birth_place=local.birth_place,
    )


def check_domain(patient: PatientIdentity, environment: str) -> Reason | None:
    """Whether there is an INS (903), of this platform's domain and with a right key (904); None: yes."""
    if patient.ins is None or patient.oid is None:
        return reason("903")
    if patient.oid not in oids.INS_DOMAINS[environment]:
        return reason("904", detail="domain", outcome="refused")
    if not key_is_right(patient.ins):
        return reason("904", detail="key", outcome="refused")
    return None


def check_form(patient: PatientIdentity, environment: str) -> Reason | None:
    """Whether an identity can be looked up at all: 903, 904 (domain, key) or 905, in this order; None: yes."""
    why = check_domain(patient, environment)
    missing = missing_traits(patient)
    return why or (reason("905", detail=",".join(missing)) if missing else None)


def missing_traits(patient: PatientIdentity) -> tuple[str, ...]:
    """The compulsory traits that are absent (facts §4: with an INS, all of them are compulsory)."""
    traits = {
        "birth_name": patient.birth_name,
        "first_given": patient.first_given,
        "given_names": patient.given_names,
        "sex": patient.sex,
        "birth_date": patient.birth_date,
        "birth_place": patient.birth_place,
    }
    return tuple(name for name, value in traits.items() if not value)


def differing_traits(patient: PatientIdentity, local: Patient) -> tuple[str, ...]:
    """The names, never the values, of the traits that are not equal; empty: an exact match.

    The first given name equals the first of the local list; all given names are compared as one text.
    """
    pairs = {
        "ins": ((patient.ins or "").upper(), local.ins.upper()),
        "oid": (patient.oid, local.oid),
        "birth_name": (normal(patient.birth_name), normal(local.birth_name)),
        "first_given": (normal(patient.first_given), normal(local.given_names[0] if local.given_names else "")),
        "given_names": (normal(" ".join(patient.given_names)), normal(" ".join(local.given_names))),
        "sex": (patient.sex, local.sex),
        "birth_date": (patient.birth_date, f"{local.birth_date:%Y%m%d}"),
        "birth_place": ((patient.birth_place or "").upper(), local.birth_place.upper()),
    }
    return tuple(name for name, (read, held) in pairs.items() if read != held)


def check_match(patient: PatientIdentity, local: Patient) -> Reason | None:
    """904 with the names of the differing traits, or D2R-IDN01 when the local identity is not qualified."""
    differing = differing_traits(patient, local)
    if differing:
        return reason("904", detail=",".join(differing))
    if local.status != QUALIFIED:
        return reason("D2R-IDN01", status=local.status)
    return None


def contradicting(said: PatientIdentity, known: PatientIdentity) -> tuple[str, ...]:
    """The names of the traits that both give and that are not equal; what one leaves out contradicts nothing.

    Two traits of an HL7 message are left out: the birth place (PID-11, BDL), an optional address that software fills
    from its own file, and all given names (PID-5.3), where many write the first again. The document's own are always
    compared with the folder's.
    """
    pairs = {
        "birth_name": (normal(said.birth_name), normal(known.birth_name)),
        "first_given": (normal(said.first_given), normal(known.first_given)),
        "sex": (said.sex or "", known.sex or ""),
        "birth_date": (said.birth_date or "", known.birth_date or ""),
    }
    return tuple(name for name, (one, other) in pairs.items() if one and other and one != other)
