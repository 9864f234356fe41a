"""What an enrolled person may ask for by a form: folders, consents, mandates, delegations, oppositions (mission S15, S16).

Whoever may not change a folder is told the same as if it did not exist (I5). Everything is read here and written with the
message's end.
"""

from __future__ import annotations

from collections.abc import Callable

from dcc.mailbox import consentforms, delegations, folders, people
from dcc.mailbox.changes import (
    Change,
    ConsentChanged,
    DelegationGiven,
    DelegationRevoked,
    MandateGranted,
    MandateRevoked,
    Opposed,
    TokenIssued,
    TokenUsed,
)
from dcc.mailbox.records import (
    Account,
    AccountState,
    ConsentState,
    Delegation,
    Folder,
    Mandate,
    MandateOrigin,
)
from dcc.mailbox.references import find_reference
from dcc.mailbox.rows import new_id
from dcc.router.carried import Carried, OwedMail, issue
from dcc.router.decision import Held, Refused
from dcc.router.desk import Desk
from dcc.router.doctypes import type_by_code
from dcc.router.factors import activate, enrol
from dcc.router.folderopening import Opening, plan_opening
from dcc.router.oids import INS_DOMAINS
from dcc.router.permission import Mandated
from dcc.router.petition import Petition
from dcc.router.petitionsaid import day_of, person_named, unclear, unknown_form, until_of
from dcc.router.presence import AGE, check_presence, proof_among
from dcc.router.reasons import Reason, reason
from dcc.router.registration import decide_account, usable
from dcc.router.request import PatientIdentity, Sender
from dcc.router.roles import Role, role_of
from dcc.router.situation import basis_of

PRESENCE = "presence"
CARERS = frozenset({Role.PROFESSIONAL, Role.COORDINATOR})


Answer = Carried | Refused | Held


def decide_petition(petition: Petition, sender: Sender, networks: tuple[str, ...], desk: Desk) -> Answer:
    """The decision on one form of an enrolled signer. `networks`: those that the recipients name, if any."""
    account = next((one for one in sender.accounts if not networks or one.network in networks), sender.account)
    if petition.kind in {"validate", "refuse"}:
        return decide_account(
            petition, sender.accounts, conn=desk.conn, now=desk.now, message=desk.message, secrets=desk.secrets
        )
    if petition.kind == "help":
        return Carried(reason("D2R-ASK04", kind="help"), (), None, (OwedMail("forms", account),))
    if petition.kind in {"register", "confirm"}:
        return Refused(reason("D2R-REG01"), account)
    missing = petition.missing()
    if missing:
        return Refused(reason("D2R-FRM01", detail=", ".join(missing), form=petition.kind), account)
    if petition.kind == "open":
        return _open(petition, account, desk)
    if petition.kind in OWN:
        return OWN[petition.kind](petition, account, desk)
    folder = _folder(petition, sender, desk)
    if folder is None:
        return Refused(reason("D2R-FRM03"), account)
    mine = sender.account_in(folder.network) or account
    return FOLDERS[petition.kind](petition, folder, mine, sender, desk)


# --- Opening


def _open(petition: Petition, account: Account, desk: Desk) -> Answer:
    network = people.get_network(desk.conn, account.network)
    if network is None:
        return Refused(reason("D2R-FRM03"), account)
    said = petition.fields
    born = day_of(said["birth_date"])
    sex = said["sex"].strip().upper()[:1]
    if born is None or sex not in {"M", "F"}:
        return Refused(unclear(petition, "birth_date" if born is None else "sex"), account)
    names = tuple(said["given_names"].replace(",", " ").split())
    oid = said.get("oid") or _domain(desk.environment)
    traits = PatientIdentity(
        ins="".join(said["ins"].split()).upper(), oid=oid, birth_name=said["birth_name"], first_given=names[0],
        given_names=names, sex=sex, birth_date=f"{born:%Y%m%d}", birth_place=said["birth_place"].upper(),
    )  # fmt: skip
    checked = said.get("checked", "").strip().lower() in {"oui", "yes", "o", "y", "true"}
    planned = plan_opening(
        Opening(traits, checked, said["form"], desk.message), account, network, conn=desk.conn,
        environment=desk.environment, now=desk.now, random_bytes=desk.random_bytes,
    )  # fmt: skip
    if isinstance(planned, Reason):
        planned = unknown_form(petition, network.id, desk.conn) if planned.code == "D2R-CNS03" else planned
        return Held(planned, account) if planned.outcome == "held" else Refused(planned, account)
    mail = OwedMail("folder_opened", account, (), planned.folder.id)
    return Carried(reason("D2R-ASK04", kind="open"), (planned,), None, (mail,), planned.folder.id)


def _domain(environment: str) -> str:
    """The domain of a matricule that names none: the NIR of this environment."""
    return sorted(INS_DOMAINS[environment])[0]


# --- Consent, mandates, oppositions of one folder


def _consent(petition: Petition, folder: Folder, account: Account, sender: Sender, desk: Desk) -> Answer:
    given = petition.kind == "consent"
    form = petition.fields.get("form")
    if not _may_change(folder, account, desk, even_without_consent=True):
        return Refused(reason("D2R-FRM03"), account)
    if given and (form is None or not consentforms.known(desk.conn, folder.network, form)):
        return Refused(unknown_form(petition, folder.network, desk.conn), account, folder.id)
    state = ConsentState.GIVEN if given else ConsentState.WITHDRAWN
    if folder.consent is state:
        return Refused(reason("D2R-ASK06", outcome="refused"), account, folder.id)
    return _done(petition, ConsentChanged(folder.id, state, form, account.id, desk.message), account, folder)


def _mandate(petition: Petition, folder: Folder, account: Account, sender: Sender, desk: Desk) -> Answer:
    if not _may_change(folder, account, desk):
        return Refused(reason("D2R-FRM03"), account)
    if not consentforms.known(desk.conn, folder.network, petition.fields["form"]):
        return Refused(unknown_form(petition, folder.network, desk.conn), account, folder.id)
    person = person_named(petition.fields["person"], folder.network, desk.conn)
    if person is None or role_of(person) not in CARERS | {Role.SECRETARY}:
        return Refused(reason("D2R-FRM03"), account, folder.id)
    until = until_of(petition, desk.now)
    if isinstance(until, Reason):
        return Refused(until, account, folder.id)
    granted = Mandate(new_id(desk.random_bytes), folder.id, person.id, None, MandateOrigin.GRANTED, desk.now, until)
    return _done(petition, MandateGranted(granted), account, folder)


def _revoke(petition: Petition, folder: Folder, account: Account, sender: Sender, desk: Desk) -> Answer:
    person = person_named(petition.fields["person"], folder.network, desk.conn)
    if person is None or not (_may_change(folder, account, desk) or person.id == account.id):
        return Refused(reason("D2R-FRM03"), account)
    mine = [
        one for one in folders.mandates_of(desk.conn, folder.id) if one.account == person.id and one.covers(desk.now)
    ]
    if not mine:
        return Refused(reason("D2R-FRM03"), account, folder.id)
    changes = tuple(MandateRevoked(one.id, folder.id) for one in mine)
    return Carried(reason("D2R-ASK04", kind="revoke"), changes, account, (), folder.id)


def _oppose(petition: Petition, folder: Folder, account: Account, sender: Sender, desk: Desk) -> Answer:
    named, code = petition.fields.get("person"), petition.fields.get("type")
    if (named is None) == (code is None):
        return Refused(unclear(petition, "Professionnel, Type"), account)
    if not _may_change(folder, account, desk):
        return Refused(reason("D2R-FRM03"), account)
    if code is not None:
        if type_by_code(code) is None:
            return Refused(unclear(petition, "Type"), account, folder.id)
        return _done(petition, Opposed(folder.id, None, code), account, folder)
    person = person_named(named or "", folder.network, desk.conn)
    if person is None:
        return Refused(reason("D2R-FRM03"), account, folder.id)
    return _done(petition, Opposed(folder.id, person.id, None), account, folder)


def _presence(petition: Petition, folder: Folder, account: Account, sender: Sender, desk: Desk) -> Answer:
    """First the nonce, then the proof. Whoever holds a folder's reference may ask: only the patient's card gives it."""
    if role_of(account) not in CARERS or account.state is not AccountState.VALIDATED:
        return Refused(reason("D2R-FRM03"), account)
    proof = proof_among(petition.attachments)
    if proof is None:
        issued = issue(
            desk.secrets, purpose=PRESENCE, network=folder.network, account=account.id, now=desk.now, life=AGE,
            folder=folder.id,
        )  # fmt: skip
        mail = OwedMail("presence", account, (("secret", issued.sealed),), folder.id)
        return Carried(reason("D2R-ASK05"), (TokenIssued(issued.token),), None, (mail,), folder.id)
    patient = folders.patient(desk.conn, folder.patient)
    if patient is None:
        return Refused(reason("D2R-FRM03"), account)
    found = check_presence(
        proof, signer_sha256=sender.certificate_sha256, folder=folder, patient=patient, now=desk.now,
        limits=desk.limits, workdir=desk.workdir, random_bytes=desk.random_bytes,
    )  # fmt: skip
    if isinstance(found, Reason):
        return Refused(found, account, folder.id)
    token = usable(desk.conn, found.nonce, PRESENCE, desk.now)
    if isinstance(token, Reason):
        return Refused(token, account, folder.id)
    if token.account != account.id or token.folder != folder.id:
        return Refused(reason("D2R-PRS01", detail="nonce"), account, folder.id)
    until = until_of(petition, desk.now)
    if isinstance(until, Reason):
        return Refused(until, account, folder.id)
    mandate = Mandate(
        new_id(desk.random_bytes), folder.id, account.id, None, MandateOrigin.VITALE, desk.now, until, None, found.grade
    )
    changes: tuple[Change, ...] = (TokenUsed(token, desk.message), MandateGranted(mandate))
    proven = (("presence", found.sha256),)
    return Carried(reason("D2R-ASK04", kind="presence"), changes, account, (), folder.id, proven)


# --- Delegations


def _delegate(petition: Petition, account: Account, desk: Desk) -> Answer:
    helper = person_named(petition.fields["secretary"], account.network, desk.conn)
    if role_of(account) not in CARERS or helper is None or role_of(helper) is not Role.SECRETARY:
        return Refused(reason("D2R-FRM03"), account)
    until = until_of(petition, desk.now)
    if isinstance(until, Reason):
        return Refused(until, account)
    types = tuple(petition.fields.get("types", "").replace(",", " ").split())
    if any(type_by_code(one) is None for one in types):
        return Refused(unclear(petition, "Types"), account)
    given = Delegation(new_id(desk.random_bytes), account.network, helper.id, account.id, desk.now, until, None, types)
    return _done(petition, DelegationGiven(given), account, None)


def _undelegate(petition: Petition, account: Account, desk: Desk) -> Answer:
    helper = person_named(petition.fields["secretary"], account.network, desk.conn)
    given = [] if helper is None else delegations.held_by_secretary(desk.conn, helper.id)
    mine = [one for one in given if one.professional == account.id and one.covers(desk.now)]
    if not mine:
        return Refused(reason("D2R-FRM03"), account)
    changes = tuple(DelegationRevoked(one.id) for one in mine)
    return Carried(reason("D2R-ASK04", kind="undelegate"), changes, account)


# --- What they share


def _may_change(folder: Folder, account: Account, desk: Desk, *, even_without_consent: bool = False) -> bool:
    """A mandated professional, or an administrator of the folder's network for consent alone."""
    if account.network != folder.network or account.state is not AccountState.VALIDATED or folder.closed_at is not None:
        return False
    if role_of(account) is Role.ADMINISTRATOR:
        return even_without_consent
    if role_of(account) not in CARERS:
        return False
    if folder.consent is not ConsentState.GIVEN and not even_without_consent:
        return False
    basis = basis_of(account, folders.mandates_of(desk.conn, folder.id), desk.now)
    return basis.mandated is Mandated.IN_FORCE


def _folder(petition: Petition, sender: Sender, desk: Desk) -> Folder | None:
    named = petition.fields.get("folder", "")
    reference = find_reference(named) or find_reference(petition.envelope.subject or "")
    folder = None if reference is None else folders.folder(desk.conn, reference)
    return folder if folder is not None and sender.account_in(folder.network) is not None else None


def _done(petition: Petition, change: Change, account: Account, folder: Folder | None) -> Carried:
    told = None if folder is None else folder.id
    return Carried(reason("D2R-ASK04", kind=petition.kind), (change,), account, (), told)


FOLDERS: dict[str, Callable[[Petition, Folder, Account, Sender, Desk], Answer]] = {
    "consent": _consent, "withdraw": _consent, "mandate": _mandate, "revoke": _revoke, "oppose": _oppose,
    "presence": _presence,
}  # fmt: skip
OWN: dict[str, Callable[[Petition, Account, Desk], Answer]] = {
    "delegate": _delegate, "undelegate": _undelegate, "factor": enrol, "activate": activate
}  # fmt: skip
