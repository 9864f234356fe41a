"""Registration by signed mail: the identity is the card's, the address is proved, the network decides (mission S11, S12).

requested -> (the address answers) -> address verified -> (an administrator answers) -> validated or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dcc.cards.certificate import CardCertificate
from dcc.mailbox import people, tokens
from dcc.mailbox.changes import (
    AccountMoved,
    AccountRequested,
    Change,
    EncryptionCertificateSeen,
    LanguageChosen,
    TokenIssued,
    TokenUsed,
)
from dcc.mailbox.records import Account, AccountState, Network, Token
from dcc.mailbox.rows import new_id
from dcc.router.carried import Carried, OwedMail, Secrets, issue, seal_text
from dcc.router.decision import Refused
from dcc.router.petition import Petition
from dcc.router.reasons import Reason, reason
from dcc.router.roles import Role, role_of
from dcc.router.sender import national_id_of

VERIFY, DECIDE = "verify_address", "decide_account"
VERIFY_LIFE, DECIDE_LIFE = timedelta(days=7), timedelta(days=30)
OPEN = (AccountState.REQUESTED, AccountState.ADDRESS_VERIFIED)


@dataclass(frozen=True, slots=True)
class Newcomer:
    """The holder of a good card who writes to a registration address; nothing is known of the address yet."""

    certificate: CardCertificate
    address: str  # the protected From, in lower case
    network: Network
    encryption_certificate: bytes | None = None  # the holder's own, announced in the signature and judged good

    @property
    def national_id(self) -> str:
        """IDNPS or IDNST of the card; empty when the card names none."""
        return national_id_of(self.certificate.holder) or ""


def register(
    petition: Petition | None,
    newcomer: Newcomer,
    *,
    conn: Connection,
    now: datetime,
    message: str,
    secrets: Secrets,
) -> Carried | Refused | Reason:
    """What a mail to a registration address does. A bare Reason is told to nobody: it is for the trace (I5)."""
    if not newcomer.national_id:
        return reason("D2R-REG03")
    mine = [one for one in people.by_national_id(conn, newcomer.national_id) if one.network == newcomer.network.id]
    here = next((one for one in mine if one.mailbox == newcomer.address), None)
    if here is None and mine:
        return Refused(reason("D2R-REG02"), mine[0])  # told at the address that is known, never at a new one
    if here is None:
        return _request(newcomer, _language(petition), now, secrets)
    if petition is not None and petition.kind == "confirm" and here.state is AccountState.REQUESTED:
        return _confirm(petition, here, newcomer, conn, now, message, secrets)
    if here.state is AccountState.REQUESTED:
        return _ask_again(here, newcomer, conn, now, secrets)
    if here.state is AccountState.ADDRESS_VERIFIED:
        return Refused(reason("D2R-REG04"), here)
    return Refused(reason("D2R-REG01" if here.state is AccountState.VALIDATED else "D2R-REG05"), here)


def _request(newcomer: Newcomer, language: str | None, now: datetime, secrets: Secrets) -> Carried:
    """A new account with the identity of the card; its address must answer first."""
    account = _account(newcomer)
    account = account if language is None else replace(account, language=language)
    issued = issue(secrets, purpose=VERIFY, network=newcomer.network.id, account=account.id, now=now, life=VERIFY_LIFE)
    mail = OwedMail("registration", account, (("secret", issued.sealed), ("network", newcomer.network.id)))
    return Carried(reason("D2R-ASK01"), (AccountRequested(account), TokenIssued(issued.token)), None, (mail,))


def _ask_again(
    here: Account, newcomer: Newcomer, conn: Connection, now: datetime, secrets: Secrets
) -> Carried | Reason:
    """The first mail may be lost: another secret, at most one an hour."""
    latest = tokens.latest(conn, purpose=VERIFY, account=here.id)
    if latest is not None and now - latest.created_at < timedelta(hours=1):
        return reason("D2R-REG04")
    issued = issue(secrets, purpose=VERIFY, network=here.network, account=here.id, now=now, life=VERIFY_LIFE)
    mail = OwedMail("registration", here, (("secret", issued.sealed), ("network", newcomer.network.id)))
    return Carried(reason("D2R-ASK01"), (TokenIssued(issued.token),), None, (mail,))


def _confirm(
    petition: Petition,
    here: Account,
    newcomer: Newcomer,
    conn: Connection,
    now: datetime,
    message: str,
    secrets: Secrets,
) -> Carried | Refused:
    """The address has answered with the secret that was sent to it: the network is asked to decide."""
    token = usable(conn, petition.secret, VERIFY, now)
    if isinstance(token, Reason):
        return Refused(token, here)
    if token.account != here.id:
        return Refused(reason("D2R-TOK01"), here)
    changes: list[Change] = [
        TokenUsed(token, message),
        AccountMoved(here.id, (AccountState.REQUESTED,), AccountState.ADDRESS_VERIFIED),
    ]
    if newcomer.encryption_certificate is not None:
        changes.append(EncryptionCertificateSeen(here.id, newcomer.encryption_certificate, here.encryption_certificate))
    language = _language(petition)
    if language is not None:
        changes.append(LanguageChosen(here.id, language))
        here = replace(here, language=language)
    mails: list[OwedMail] = []
    others = _others(petition, here, conn)
    changes.extend(AccountRequested(one) for one in others)
    for asked in (here, *others):
        for administrator in administrators(conn, asked.network):
            issued = issue(secrets, purpose=DECIDE, network=asked.network, account=asked.id, now=now, life=DECIDE_LIFE)
            changes.append(TokenIssued(issued.token))
            mails.append(OwedMail("account_request", administrator, (("secret", issued.sealed), ("about", asked.id))))
    return Carried(reason("D2R-ASK02"), tuple(changes), here, tuple(mails))


def _language(petition: Petition | None) -> str | None:
    """The language that a form names; None: it names none that we write."""
    said = "" if petition is None else petition.fields.get("language", "")
    return next((one for one in ("fr", "en") if said.strip().lower().startswith(one)), None)


def _others(petition: Petition, here: Account, conn: Connection) -> list[Account]:
    """The accounts asked for in other networks that the form names: the address is proved for them as well."""
    wanted = {one.strip().lower() for one in petition.fields.get("networks", "").replace(";", ",").split(",")}
    known = {one.network for one in people.by_national_id(conn, here.national_id)}
    return [
        replace(here, id=new_id(), network=one.id, state=AccountState.ADDRESS_VERIFIED)
        for one in people.list_networks(conn)
        if one.id in wanted and one.id not in known and one.registration is not None
    ]


def decide_account(
    petition: Petition, signer: Sequence[Account], *, conn: Connection, now: datetime, message: str, secrets: Secrets
) -> Carried | Refused:
    """An administrator's VALIDER or REFUSER: by the administrator of that network, once, in time (mission S12).

    The reason that follows REFUSER is told to the person, under a seal only: it is somebody's own words (I3).
    """
    account = signer[0]
    token = usable(conn, petition.secret, DECIDE, now)
    if isinstance(token, Reason):
        return Refused(token, account)
    acting = next((one for one in signer if one.network == token.network and role_of(one) is Role.ADMINISTRATOR), None)
    if acting is None:
        return Refused(reason("D2R-ADM01"), account)
    about = None if token.account is None else people.get_account(conn, token.account)
    if about is None or about.state is not AccountState.ADDRESS_VERIFIED:
        return Refused(reason("D2R-TOK02"), acting)
    after = AccountState.VALIDATED if petition.kind == "validate" else AccountState.REFUSED
    changes: tuple[Change, ...] = (
        TokenUsed(token, message),
        AccountMoved(about.id, (AccountState.ADDRESS_VERIFIED,), after),
    )
    motive = petition.fields.get("motive", "") if after is AccountState.REFUSED else ""
    why = (("motive", seal_text(secrets, motive)),) if motive else ()
    told = OwedMail("account_decided", about, (("state", after.value), *why))
    done = OwedMail("carried", acting, (("about", about.id), ("state", after.value)))
    return Carried(reason("D2R-ASK03"), changes, None, (told, done))


def usable(conn: Connection, secret: str | None, purpose: str, now: datetime) -> Token | Reason:
    """The token of this secret, or why it is good for nothing: unknown, used, or too old."""
    token = None if secret is None else tokens.find(conn, secret, purpose)
    if token is None:
        return reason("D2R-TOK01")
    if token.used_at is not None:
        return reason("D2R-TOK02")
    if token.expires_at <= now:
        return reason("D2R-TOK03")
    return token


def administrators(conn: Connection, network: str) -> list[Account]:
    """The administrators of a network who may decide."""
    return [
        one
        for one in people.list_accounts(conn, network)
        if role_of(one) is Role.ADMINISTRATOR and one.state is AccountState.VALIDATED
    ]


def _account(newcomer: Newcomer, make_id: Callable[[], str] = new_id) -> Account:
    """The account asked for: nothing in it was typed by anybody but the issuer of the card."""
    holder = newcomer.certificate.holder
    if holder is None:
        raise LookupError("a certificate without a holder")
    organisation = holder.kind == "organisation"
    return Account(
        id=make_id(), network=newcomer.network.id, kind="organisation" if organisation else "person",
        national_id=newcomer.national_id, family_name=holder.family_name, given_name=holder.given_name,
        profession=holder.profession, structure=holder.structure_id, mailbox=newcomer.address,
        role=_role(newcomer, organisation=organisation).value, state=AccountState.REQUESTED,
        encryption_certificate=newcomer.encryption_certificate, card_certificate=newcomer.certificate.der,
    )  # fmt: skip


def _role(newcomer: Newcomer, *, organisation: bool) -> Role:
    """What the card makes of its holder; a network gives other roles, never a mail."""
    if organisation:
        return Role.AUTOMATON
    holder = newcomer.certificate.holder
    return Role.PROFESSIONAL if holder is not None and holder.profession is not None else Role.SECRETARY
