"""The verification report as a page in French for whoever runs the network: no script, nothing that is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dcc.cards.certificate import CardCertificate, read_certificate
from dcc.cards.errors import Unparseable
from dcc.cards.verdict import Evidence
from dcc.gateway.opening import AUTHENTIC, INDETERMINATE, Report
from dcc.gateway.opening_rules import FINDINGS, rule_of
from dcc.gateway.opening_text import KINDS, sentence
from dcc.templates.render import verification_page

# Controls, and what turns a text round: names of certificates may hold them (R-NAME)
UNSEEN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufeff]")
OUTCOMES = {
    AUTHENTIC: ("Authentique", "yes"), INDETERMINATE: ("On ne peut pas le dire", "unknown"),
}  # fmt: skip
CHECKS = {
    "environment": "Environnement (test ou production)", "path": "Chaîne de confiance", "dates": "Dates du certificat",
    "dates at signing": "Dates à la signature annoncée", "usage": "Usage du certificat", "strength": "Clé et algorithme",
    "profile": "Politiques de l'IGC-Santé", "revocation": "Opposition", "read": "Lecture du certificat",
    "revocation of the authority": "Opposition de l'autorité",
    "revocation of the same card": "Opposition des autres certificats de la carte",
}  # fmt: skip
QUESTIONS = (
    ("Chiffré", "encrypted", "Personne en chemin n'a pu le lire."),
    ("Déchiffré ici", "decrypted", "Une clé donnée l'a ouvert."),
    ("Signé", "signed", "Quelqu'un en répond."),
    ("Intact", "intact", "Pas un octet n'a changé depuis la signature."),
)  # fmt: skip
WORDS = {
    "content": "contenu", "key": "clé", "digest": "empreinte", "form": "forme", "signers": "signataires",
    "detached": "détachée", "opaque": "enveloppée", "yes": "oui", "no": "non",
}  # fmt: skip
DETAILS = {
    "product": "code de produit", "test_bit": "bit de test", "test_authority": "autorité de test",
    "authority_1": "autorité 1", "authority_2": "autorité 2", "authority_3": "autorité 3",

    "crl_number": "numéro de la liste", "crl_this_update": "liste publiée le", "crl_next_update": "prochaine liste le",
    "crl_age_hours": "âge de la liste, en heures", "crl_sha256": "empreinte de la liste",
    "delta_number": "numéro du complément", "delta_this_update": "complément publié le",
    "delta_next_update": "prochain complément le", "delta_age_hours": "âge du complément, en heures",
    "delta_sha256": "empreinte du complément", "revoked_at": "opposé depuis", "signing_time": "signature annoncée le",
    "not_before": "valable du", "not_after": "valable jusqu'au", "subject": "certificat",
    "usage": "usage", "wanted": "usage voulu", "policies": "politiques", "crl_locations": "listes publiées à",
}  # fmt: skip


def page(found: Report) -> str:
    """The page, whole. What comes from the message or a certificate is escaped by the template."""
    return UNSEEN.sub("\N{REPLACEMENT CHARACTER}", verification_page(_context(found)))


def _context(found: Report) -> dict[str, Any]:
    word, tone = OUTCOMES.get(found.outcome, ("À ne pas croire", "no"))
    opened = found.opened
    judged = found.judgement
    rule = rule_of(found.reason, opened.detail)
    return {
        "word": word,
        "tone": tone,
        "sentence": sentence(found),
        "code": found.reason,
        "rule": rule,
        "todo": "Rien : le message peut être utilisé." if found.outcome == AUTHENTIC else None if rule is None else rule.todo,
        "detail": opened.detail,
        "questions": [
            *((name, _answer(getattr(opened, field)), meaning) for name, field, meaning in QUESTIONS),
            ("De confiance", _answer(found.trusted), "Le certificat vient d'une autorité connue et n'est pas opposé."),
        ],
        "layers": [(KINDS.get(one.kind, one.kind), _pairs(one.algorithms), _pairs(one.details)) for one in opened.layers],
        "signer": _certificate(None if judged is None else judged.certificate),
        "from_address": found.from_address,
        "chain": [] if judged is None else [one for one in map(_authority, judged.chain) if one is not None],
        "checks": [] if judged is None else [_check(one) for one in judged.evidence],
        "clock": list(_clock(found)),
        "findings": [(code, FINDINGS.get(code, code)) for code in found.findings],
        "content": opened.covered,
        "profile": "adresse (RFC 8550)" if found.profile == "address" else "carte (IGC-Santé)",
    }  # fmt: skip


def _answer(value: bool | None) -> tuple[str, str]:
    return {True: ("Oui", "yes"), False: ("Non", "no"), None: ("Inconnu", "unknown")}[value]


def _pairs(given: Any) -> str:
    return ", ".join(f"{_word(name)} : {_word(value)}" for name, value in given.items() if value)


def _word(text: str) -> str:
    return WORDS.get(text, text)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%d/%m/%Y %H:%M:%S")


def _certificate(one: CardCertificate | None) -> list[tuple[str, str]]:
    if one is None:
        return []
    holder = one.holder
    known = [("Certificat", one.subject), ("Émis par", one.issuer), ("Numéro de série", format(one.serial, "x")),
             ("Valable du", _moment(one.not_before)), ("au", _moment(one.not_after)),
             ("Adresses nommées", ", ".join(one.addresses) or "aucune (une carte n'en porte pas)"),
             ("Empreinte SHA-256", one.sha256)]  # fmt: skip
    if holder is not None:
        name = f"{holder.given_name or ''} {holder.family_name or ''}".strip()
        known = [("Titulaire", name or holder.structure_name or holder.common_name or "–"),
                 ("Profession", holder.profession_label or holder.profession or "–"),
                 ("Structure", holder.structure_name or holder.structure_id or "–"), *known]  # fmt: skip
    return known


def _authority(der: bytes) -> tuple[str, str, str, str] | None:
    try:
        one = read_certificate(der)
    except Unparseable:
        return None
    return one.subject, _moment(one.not_before), _moment(one.not_after), one.sha256


def _check(one: Evidence) -> tuple[str, tuple[str, str], str, list[tuple[str, str]]]:
    passed = {None: True, "REVOCATION_UNKNOWN": None}.get(one.verdict, False)
    details = [(DETAILS.get(name, name), _word(value)) for name, value in one.details.items() if value]
    return CHECKS.get(one.check, one.check), _answer(passed), one.text, details


def _clock(found: Report) -> Iterator[tuple[str, str]]:
    yield "Jugé à la date du", _moment(found.at)
    yield "Date de l'en-tête (non vérifiable)", found.opened.outer.get("Date") or "absente"
    signed = found.signing_time
    yield "Date de signature (annoncée par le signataire)", "absente" if signed is None else _moment(signed)
    if signed is not None:
        hours = round(abs((found.at - signed).total_seconds()) / 3600, 1)
        yield "Écart entre signature et jugement", f"{hours} heures"
