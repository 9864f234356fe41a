"""Why a message ended as it did, in French sentences for a person: each check, what it rested on, what failed (I9)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

STATES = {
    "received": "reçu, pas encore traité",
    "opened": "ouvert, en cours de traitement",
    "identified": "expéditeur identifié, en cours de traitement",
    "read": "lu, en cours de traitement",
    "decided": "décidé, en cours d'enregistrement",
    "filed": "classé",
    "done": "traité (rien à classer)",
    "held": "en attente d'une personne",
    "refused": "refusé",
}
VERDICTS = {
    "VALID": "valable",
    "EXPIRED": "périmée",
    "NOT_YET_VALID": "pas encore valable",
    "OPPOSED": "opposée",
    "REVOCATION_UNKNOWN": "opposition non vérifiable",
    "WRONG_USAGE": "certificat d'un autre usage que la signature",
    "UNTRUSTED_CHAIN": "autorité inconnue",
    "BAD_SIGNATURE": "certificat mal signé",
    "TEST_CARD_IN_PROD": "carte de test sur une plate-forme de production",
    "WEAK_KEY": "clé ou algorithme trop faible",
    "UNPARSEABLE": "certificat illisible",
}
KINDS = {
    "Deposit": "un dépôt de documents cliniques",
    "PlainDeposit": "des fichiers simples",
    "Deletion": "une demande de suppression",
    "NotUnderstood": "rien que la passerelle puisse classer d'elle-même",
    "Report": "un accusé ou une réponse automatique",
    "Petition": "une demande de compte, de consentement ou de mandat",
}
FINDINGS = {
    "headers-not-protected": "l'objet et l'expéditeur ne sont pas couverts par la signature",
    "subject-differs-outside": "l'objet visible n'est pas celui du message protégé",
    "template-not-listed-for-type": "le modèle du document n'est pas de ceux de son type",
    "class-differs": "METADATA.XML annonce une autre classe",
    "format-differs": "METADATA.XML annonce un autre format",
    "unique-id-differs": "l'identifiant annoncé n'est pas celui du document",
    "metadata-without-ins": "METADATA.XML ne porte pas de matricule INS",
    "metadata-without-size-or-hash": "METADATA.XML ne donne pas la taille ou l'empreinte",
    "without-metadata": "document joint sans archive ni METADATA.XML",
    "plain-file": "fichier sans document CDA",
    "codecda-differs": "X-MSS-CODECDA n'annonce pas les types des documents",
    "mss-ins-differs": "X-MSS-INS ne dit pas ce que portent les documents",
}
FLAGS = {
    "forwarded": "les destinataires signés (To, Cc) ne nomment pas l'adresse servie : message transmis par un autre",
    "unprotected": "To et Cc ne sont pas couverts par la signature",
    "other-sender": "l'expéditeur de l'enveloppe (MAIL FROM) n'est pas l'adresse From",
}
PLACES = {
    "address": "désigné par son adresse",
    "reference": "désigné par la référence de l'objet",
    "answer": "désigné par l'avis auquel ce message répond",
    "identity": "trouvé par l'identité du document",
}
CHECKS = {
    "folder": "dossier",
    "identity": "identité",
    "account": "compte",
    "consent": "consentement",
    "opposition": "opposition",
    "mandate": "mandat",
    "author": "auteur",
}
WORDS = {
    "exact, QUAL": "égale trait pour trait à une identité qualifiée",
    "the folder's, QUAL": "celle du dossier, qualifiée",
    "author": "le signataire est l'auteur",
    "depositor": "le signataire dépose pour l'auteur",
    "structure": "la structure du signataire est celle de l'auteur ou de la conservation",
}
TRAITS = {
    "ins": "matricule INS",
    "oid": "domaine",
    "birth_name": "nom de naissance",
    "first_given": "premier prénom",
    "given_names": "prénoms",
    "sex": "sexe",
    "birth_date": "date de naissance",
    "birth_place": "lieu de naissance (code)",
}
SIGNS = {True: "=", False: "≠", None: "?"}
HOW = {"named": "désigné par le message", "ins": "même matricule", "resemblance": "traits proches"}


def explained(view: Mapping[str, Any]) -> list[str]:
    """The sentences for one message, from its JSON view; no identity, no clinical content."""
    return list(_sentences(view))


def _sentences(view: Mapping[str, Any]) -> Iterator[str]:
    yield f"Message {view['id']} : {STATES.get(view['state'], view['state'])}."
    yield f"  Reçu le {view['received_at']}, terminé le {view['settled_at'] or '– (pas encore)'}."
    why = view["reason"]
    if why is not None:
        yield f"  motif {why['code']} : {why['sender']}"
        yield f"  pour l'exploitant : {why['operator']}"
    evidence = view["evidence"]
    yield from _opened(evidence.get("opened"))
    yield from _card(evidence.get("card"))
    for flag in evidence.get("envelope", {}).get("flags", ()):
        yield f"    remarque : {FLAGS.get(flag, flag)}"
    signer = view["signer"]
    if signer is not None:
        yield f"  Signataire : compte {signer['account'] or 'inconnu'}, rôle {signer['role'] or '–'}."
    yield from _read(evidence.get("read"))
    yield from _decided(evidence.get("decision"))
    assigned = evidence.get("assigned")
    if assigned is not None:
        yield f"  Rapprochement : dossier {assigned['folder']} choisi par {assigned['by']} le {assigned['at']}."
    report = evidence.get("report")
    if report is not None:
        yield f"  Accusé de type {report['kind']}, {'signé' if report['authenticated'] else 'non signé'}."
    if "original" in evidence:
        yield "  Arrivé en clair : l'original est gardé sous clé."
    yield f"  Dossier : {view['folder'] or '–'} ; documents : {', '.join(view['documents']) or '–'}."
    for stage in view["stages"]:
        yield f"  {stage['at']}  {stage['name']:<11} {stage['ms']} ms"


def _opened(told: Mapping[str, Any] | None) -> Iterator[str]:
    if told is None:
        return
    encrypted = "chiffré pour la passerelle" if told["decrypted"] else "chiffré" if told["encrypted"] else "en clair"
    signed = "signature intacte" if told["intact"] else "signature non vérifiée" if told["signed"] else "sans signature"
    layers = " puis ".join(str(one.get("kind")) for one in told["layers"]) or "aucune couche"
    yield f"  Enveloppe : {encrypted}, {signed} ({layers})."
    for finding in told["findings"]:
        yield f"    remarque : {finding}"


def _card(told: Mapping[str, Any] | None) -> Iterator[str]:
    if told is None:
        return
    yield f"  Carte : {VERDICTS.get(told['verdict'], told['verdict'])} (jugée au {told['at']})."
    for one in told["checks"]:
        number = f", liste n° {one['crl_number']}" if one.get("crl_number") else ""
        yield f"    {one['check']} : {one['text']}{number}"


def _read(told: Mapping[str, Any] | None) -> Iterator[str]:
    if told is None:
        return
    count = f", {told['documents']} document(s)" if told["documents"] else ""
    yield f"  Contenu : {KINDS.get(told['kind'], told['kind'])}{count}."
    for finding in told["findings"]:
        yield f"    remarque : {FINDINGS.get(finding, finding)}"


def _decided(told: Mapping[str, str] | None) -> Iterator[str]:
    if not told:
        return
    yield "  Contrôles passés :"
    for name, basis in told.items():
        text = PLACES.get(basis, basis) if name == "folder" else WORDS.get(basis, basis)
        yield f"    {CHECKS.get(name, name)} : {text}"


def compared(examined: Mapping[str, Any]) -> list[str]:
    """The candidates of the reconciliation queue, traits side by side; for a person with the role only."""
    return list(_comparison(examined))


def _comparison(examined: Mapping[str, Any]) -> Iterator[str]:
    for one in examined["files"]:
        yield f"  pièce : {one['name']} ({one['media_type']}, {one['size']} octets)"
    if examined["needs_type"]:
        yield "  type à préciser : --type MOT-CLÉ"
    if not examined["identities"]:
        yield "  Le message ne nomme aucun patient."
    for one in examined["identities"]:
        said = ", ".join(f"{TRAITS[name]} {value}" for name, value in one.items() if value)
        yield f"  Patient lu : {said}"
    if not examined["candidates"]:
        yield "  Aucun dossier de votre réseau ne ressemble à cette identité."
    for one in examined["candidates"]:
        yield f"  Dossier {one['reference']} ({HOW[one['by']]}, identité {one['status']}) :"
        for trait in one["traits"]:
            read = "–" if trait["read"] is None else trait["read"]
            yield f"    {SIGNS[trait['equal']]} {TRAITS[trait['name']]:<26} lu : {read:<28} dossier : {trait['held']}"
