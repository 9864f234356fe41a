"""Behind each refusal of the verification report: the rule, where it is written, and what a person can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule in words. `name` is the one that the code cites."""

    name: str
    text: str
    reference: str
    todo: str


RESEND = "Demander à l'expéditeur de renvoyer le message, chiffré et signé avec sa carte."
HIS_CARD = "L'expéditeur doit voir avec l'ANS ou son établissement pour obtenir une carte valable, puis renvoyer."
NOBODY = "Ne rien tirer de ce message. Joindre l'expéditeur par un autre moyen avant toute décision."
RULES: Mapping[str, Rule] = {
    "D2R-ENC01": Rule("R-AUTH", "un message doit être chiffré pour la passerelle", "RFC 8551 §3.3", RESEND),
    "D2R-SIG01": Rule("R-AUTH", "un message sans signature ne prouve pas qui l'a écrit, même chiffré", "EFAIL ; RFC 8551 §6",
                      RESEND),
    "D2R-SIG02": Rule("R-SIGNERS", "chaque signature doit être exacte et couvrir le message entier", "RFC 5652 §5.4, §5.6",
                      f"{NOBODY} Une passerelle de l'expéditeur a peut-être réécrit le message après la signature."),
    "D2R-SIG03": Rule("R-PATH", "le certificat doit mener à une racine de confiance", "RFC 5280 §6.1",
                      "Vérifier que les racines IGC-Santé sont installées. Si elles le sont, ne pas croire ce message."),
    "D2R-OPN01": Rule("R-ORACLE", "ce qui ne s'ouvre pas n'est jamais expliqué au-dehors", "RFC 3218 ; RFC 8551 §6",
                      RESEND),
    "D2R-OPN02": Rule("R-USAGE", "le message doit être chiffré pour une clé de la passerelle", "RFC 5652 §6.2",
                      "Donner à l'expéditeur le certificat de chiffrement actuel de la passerelle."),
    "D2R-LIM01": Rule("R-BOMB", "aucun message ne passe une limite de taille, de nombre ou de profondeur", "RFC 8551 §6",
                      "Voir la limite au détail. Un logiciel honnête ne l'atteint pas ; elle se règle dans [limits]."),
    "D2R-MAL01": Rule("R-ASN1", "la structure doit être exactement ce qu'elle annonce", "RFC 5652 ; X.690 §8, §10",
                      f"{RESEND} Si cela revient, transmettre ce rapport à l'éditeur du logiciel de messagerie."),
    "D2R-MAL02": Rule("R-FROM", "un message ne doit pas se lire de deux façons", "RFC 5322 §3.6 ; RFC 1847 §2.1", NOBODY),
    "D2R-ALG01": Rule("R-ALGO", "seuls les algorithmes d'aujourd'hui font foi : SHA-256 et plus, RSA 2048 et plus",
                      "RFC 8551 §2 ; ANSSI, RGS B1",
                      "L'expéditeur doit changer un réglage, ou de logiciel. Une archive se lit avec dcc open --legacy."),
    "D2R-ALG02": Rule("R-ALGO", "un algorithme post-quantique ne sert que si la passerelle l'a activé",
                      "RFC 9882 ; RFC 9936", "L'expéditeur doit employer un algorithme d'aujourd'hui. Pour accepter ceux-là : "
                      "smime.post_quantum dans dcc.toml, ou dcc open --post-quantum."),
    "D2R-CRL01": Rule("R-TIME", "le certificat doit être dans ses dates", "RFC 5280 §4.1.2.5", HIS_CARD),
    "D2R-CRL02": Rule("R-REVOC", "un certificat opposé ne fait plus foi", "RFC 5280 §6.3", NOBODY),
    "D2R-CRL03": Rule("R-REVOC", "sans liste d'opposition à jour, personne ne sait", "RFC 5280 §6.3",
                      "Mettre à jour les listes d'opposition (dcc crl update), puis vérifier de nouveau."),
    "D2R-CRD01": Rule("R-USAGE", "le certificat doit être fait pour signer", "RFC 8550 §4.4.2",
                      "L'expéditeur doit choisir le certificat de signature de sa carte."),
    "D2R-CRD02": Rule("R-PATH", "une carte de test n'entre pas en production", "IGC-Santé, politique de test", HIS_CARD),
    "D2R-CRD03": Rule("R-TIME", "le certificat doit être dans ses dates, à la signature aussi", "RFC 5280 §4.1.2.5",
                      "Vérifier l'horloge de l'expéditeur et celle de cette machine."),
    "D2R-CRD04": Rule("R-PATH", "le certificat doit pouvoir être lu", "RFC 5280 §4", HIS_CARD),
    "D2R-ACC02": Rule("R-FROM", "l'adresse From doit être celle du signataire", "RFC 8550 §3",
                      "L'expéditeur doit écrire depuis la boîte que son certificat nomme."),
}  # fmt: skip
# Each finding in words (facts/smime.md §3)
FINDINGS: Mapping[str, str] = {
    "R-ATTRS": "attributs signés absents, doublés ou contradictoires (RFC 5652 §5.3, §11)",
    "R-SIGNERS": "un signataire sans certificat, ou aucun signataire",
    "R-ALGO": "algorithme ou clé trop faible pour faire confiance",
    "R-CT": "smime-type contredit le contenu ; le contenu décide (RFC 8551 §3.2)",
    "R-LINES": "fins de ligne rétablies en CRLF avant de vérifier (RFC 8551 §3.1.1)",
    "R-FROM": "l'adresse From manque, est double, ou n'est pas nommée par le certificat",
    "R-FROM-SHOWN": "le nom affiché, Sender ou Reply-To désigne une autre adresse que From",
    "R-HEADERS": "un en-tête qui ne peut figurer qu'une fois est double (RFC 5322 §3.6)",
    "R-ECONTENT": "la signature détachée contient aussi un contenu, ou les parties ne sont pas deux (RFC 1847 §2.1)",
    "R-INTENDED": "en-têtes extérieurs seulement : ils ne sont pas couverts par la signature",
    "R-OUTER": "un en-tête extérieur n'est pas celui que l'auteur a signé ; celui sous la signature compte (RFC 9788)",
    "R-REPLAY": "date de signature à plus de 7 jours de la vérification",
    "R-DATE": "la date de l'en-tête et la date de signature diffèrent de plus d'une heure",
    "R-USAGE": "chiffré pour un certificat qui n'est pas un certificat de chiffrement",
    "REVOCATION_SKIPPED": "opposition non vérifiée, à la demande",
}


def rule_of(code: str | None, detail: str | None) -> Rule | None:
    """The rule behind a reason; where the engine named one itself (R-ECONTENT, R-HEADERS), that one."""
    found = None if code is None else RULES.get(code)
    if found is not None and detail in FINDINGS and code == "D2R-MAL02":
        return Rule(str(detail), FINDINGS[str(detail)], found.reference, found.todo)
    return found
