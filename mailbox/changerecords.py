"""What the audit says of a change: `subject:action`, the folder, and ids; never an identity."""

from __future__ import annotations

import hashlib

from dcc.mailbox.changes import (
    AccountMoved,
    AccountRequested,
    CapabilitiesSeen,
    CardSeen,
    Change,
    ConsentChanged,
    DelegationGiven,
    DelegationRevoked,
    EncryptionCertificateSeen,
    FactorConfirmed,
    FactorEnrolled,
    FactorRevoked,
    FolderClosed,
    FolderOpened,
    FormPublished,
    LanguageChosen,
    MandateGranted,
    MandateRevoked,
    NetworkAdded,
    Opposed,
    OppositionLifted,
    RulesLeft,
    RulesSet,
    TokenIssued,
    TokenUsed,
)

ACTIONS: dict[type, str] = {
    NetworkAdded: "network:added",
    FormPublished: "form:published",
    RulesSet: "network:rules_set",
    RulesLeft: "network:rules_left",
    AccountRequested: "account:requested",
    LanguageChosen: "account:language_chosen",
    CardSeen: "account:card_seen",
    EncryptionCertificateSeen: "account:encryption_certificate_seen",
    CapabilitiesSeen: "account:capabilities_seen",
    FolderOpened: "folder:opened",
    FolderClosed: "folder:closed",
    MandateGranted: "mandate:granted",
    MandateRevoked: "mandate:revoked",
    DelegationGiven: "delegation:given",
    DelegationRevoked: "delegation:revoked",
    Opposed: "opposition:added",
    OppositionLifted: "opposition:removed",
    FactorEnrolled: "factor:enrolled",
    FactorConfirmed: "factor:confirmed",
    FactorRevoked: "factor:revoked",
    TokenIssued: "token:issued",
    TokenUsed: "token:used",
}


def action_of(change: Change) -> str:
    """`subject:action` of a change, for the audit."""
    match change:
        case AccountMoved(_, _, after):
            return f"account:{after.value}"
        case ConsentChanged(_, state):
            return f"consent:{state.value}"
    return ACTIONS[type(change)]


def about(change: Change) -> tuple[str | None, dict[str, str]]:  # noqa: PLR0912  one line for each change
    """(folder, ids) of a change, for the audit: never an identity."""
    match change:
        case NetworkAdded(network):
            return None, {"network": network.id}
        case FormPublished(form):
            return None, {"network": form.network, "form": form.version}
        case RulesSet(rules, before):
            return None, {"network": rules.network, "rules": rules.sha256, "before": before or ""}
        case RulesLeft(network_id, before):
            return None, {"network": network_id, "before": before}
        case AccountRequested(account):
            return None, {"account": account.id, "network": account.network}
        case AccountMoved(account_id) | CardSeen(account_id):
            return None, {"account": account_id}
        case EncryptionCertificateSeen(account_id, certificate, before):
            return None, {"account": account_id, "certificate": _print(certificate), "before": _print(before)}
        case LanguageChosen(account_id, language):
            return None, {"account": account_id, "language": language}
        case CapabilitiesSeen(account_id):
            return None, {"account": account_id}
        case FolderOpened(folder, _, mandate):
            return folder.id, {"mandate": mandate.id, "form": change.form_version, "proof": change.proof or ""}
        case FolderClosed(folder_id):
            return folder_id, {}
        case ConsentChanged(folder_id, _, form, _, proof):
            return folder_id, {"form": form or "", "proof": proof or ""}
        case MandateGranted(mandate):
            return mandate.folder, {
                "mandate": mandate.id, "account": mandate.account or "", "structure": mandate.structure or "",
                "origin": mandate.origin.value, "grade": mandate.proof_grade or "",
            }  # fmt: skip
        case MandateRevoked(mandate_id, folder_id):
            return folder_id, {"mandate": mandate_id}
        case DelegationGiven(delegation):
            return None, {
                "delegation": delegation.id, "secretary": delegation.secretary, "professional": delegation.professional
            }  # fmt: skip
        case DelegationRevoked(delegation_id):
            return None, {"delegation": delegation_id}
        case Opposed(folder_id, account, type_code):
            return folder_id, {"account": account or "", "type": type_code or ""}
        case OppositionLifted(opposition, folder_id):
            return folder_id, {"opposition": opposition}
        case FactorEnrolled(factor) | FactorConfirmed(factor):
            return None, {"factor": factor.id, "account": factor.account, "kind": factor.kind}
        case FactorRevoked(factor_id, account_id, because):
            return None, {"factor": factor_id, "account": account_id, "because": because}
        case TokenIssued(token) | TokenUsed(token):
            return token.folder, {"purpose": token.purpose, "account": token.account or ""}


def _print(certificate: bytes | None) -> str:
    """What names a certificate in the trace."""
    return "" if certificate is None else hashlib.sha256(certificate).hexdigest()
