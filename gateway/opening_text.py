"""The verification report as an operator reads it, opened by one sentence in French for everybody."""

from __future__ import annotations

from dcc.gateway.commands.common import iso, plain
from dcc.gateway.opening import AUTHENTIC, INDETERMINATE, Report
from dcc.gateway.opening_rules import FINDINGS, rule_of
from dcc.router.reasons import UnknownReasonError, reason

KINDS = {
    "enveloped": "chiffré", "auth-enveloped": "chiffré et authentifié (AEAD)", "signed": "signé",
    "compressed": "compressé",
}  # fmt: skip


def sentence(found: Report) -> str:
    """What to remember, for a person who is not a developer."""
    who = _who(found)
    if found.outcome == AUTHENTIC:
        kept = "chiffré et signé" if found.opened.encrypted else "signé"
        return f"Ce message est authentique : {kept} par {who}, inchangé depuis."
    if found.outcome == INDETERMINATE:
        return f"On ne peut pas le dire : le message est intact, signé par {who}, mais {_reason(found)}"
    return f"Ce message ne doit pas être cru : {_reason(found)}"


def text(found: Report) -> str:
    """The whole report, one line a fact."""
    opened = found.opened
    lines = [sentence(found), "", f"Résultat      {found.outcome}" + (f" ({found.reason})" if found.reason else "")]
    for place, layer in enumerate(opened.layers, 1):
        used = ", ".join(f"{name} {value}" for name, value in layer.algorithms.items() if value)
        lines.append(f"Couche {place}      {KINDS.get(layer.kind, layer.kind)} : {used}")
    lines.append(f"Questions     {_questions(found)}")
    judged = found.judgement
    if judged is not None and judged.certificate is not None:
        lines.append(f"Signataire    {judged.certificate.subject}")
        lines.append(f"Émetteur      {judged.certificate.issuer}")
        lines.append(f"Empreinte     {judged.certificate.sha256}")
    if found.signing_time is not None:
        lines.append(f"Signé le      {iso(found.signing_time)} (annoncé par le signataire)")
    lines.append(f"Jugé le       {iso(found.at)}")
    for one in () if judged is None else judged.evidence:
        mark = "oui " if one.verdict is None else "NON " if one.verdict != "REVOCATION_UNKNOWN" else "?   "
        lines.append(f"  {mark} {one.check} : {one.text}")
    if opened.detail:
        lines.append(f"Détail        {opened.detail}")
    rule = rule_of(found.reason, opened.detail)
    if rule is not None:
        lines.append(f"Règle         {rule.name} : {rule.text} ({rule.reference})")
        lines.append(f"Que faire     {rule.todo}")
    lines.extend(f"Remarque      {code} : {FINDINGS.get(code, code)}" for code in found.findings)
    if opened.covered is not None:
        lines.append(f"Contenu       {opened.covered.size} octets, SHA-256 {opened.covered.sha256}")
    return "\n".join(map(plain, lines))


def _questions(found: Report) -> str:
    opened = found.opened
    answers = (
        ("chiffré", opened.encrypted), ("déchiffré", opened.decrypted), ("signé", opened.signed),
        ("intact", opened.intact), ("de confiance", found.trusted),
    )  # fmt: skip
    words = {True: "oui", False: "non", None: "inconnu"}
    return ", ".join(f"{name} {words[answer]}" for name, answer in answers)


def _who(found: Report) -> str:
    judged = found.judgement
    if judged is None or judged.certificate is None:
        return "un signataire inconnu"
    holder = judged.certificate.holder
    if holder is not None and holder.family_name:
        return f"{holder.given_name or ''} {holder.family_name}".strip()
    if holder is not None and (holder.structure_name or holder.common_name):
        return holder.structure_name or holder.common_name or ""
    return judged.certificate.subject


def _reason(found: Report) -> str:
    if found.reason is None:
        return "sans raison connue."
    rule = rule_of(found.reason, found.opened.detail)
    if rule is not None:
        return f"{rule.text}."
    try:
        return reason(found.reason, detail=found.opened.detail or "", limit=found.opened.detail or "").operator
    except UnknownReasonError:
        return found.reason
