"""Requests of people in the stages of a message: newcomers at a registration address, and forms of those enrolled."""

from __future__ import annotations

from sqlalchemy import Connection

from dcc.cards.verdict import Judgement, Verdict
from dcc.gateway.announcedkey import announced
from dcc.gateway.decided import ended_of
from dcc.gateway.progress import Ended, Progress
from dcc.gateway.services import Services
from dcc.mailbox import messages, people
from dcc.mailbox.changes import CardSeen, Change
from dcc.mailbox.records import MessageState, Network
from dcc.router.carried import Carried, Secrets
from dcc.router.decision import Done, Held, Refused
from dcc.router.desk import Desk
from dcc.router.petition import Petition
from dcc.router.petitions import decide_petition
from dcc.router.protected import from_address
from dcc.router.reasons import Reason, reason
from dcc.router.registration import Newcomer, register
from dcc.router.request import Sender
from dcc.router.sender import national_id_of
from dcc.smime.verdict import Opened


def newcomer(services: Services, progress: Progress, opened: Opened) -> Newcomer | None:
    """The holder of a good card who writes to a registration address; None for anybody else."""
    judgement = progress.judgement
    if judgement is None or judgement.verdict is not Verdict.VALID or judgement.certificate is None:
        return None
    if opened.content is None:
        return None
    with services.database.read() as conn:
        network = _registration(conn, progress)
    address = from_address(opened.content, opened.outer, services.limits)
    if network is None or isinstance(address, Reason):
        return None
    return Newcomer(judgement.certificate, address, network, _announced(services, progress, opened))


def renewed(sender: Sender, judgement: Judgement | None) -> list[Change]:
    """Another good card of the same national identifier keeps the account: it is the one that counts from now on."""
    if judgement is None or judgement.certificate is None or judgement.verdict is not Verdict.VALID:
        return []
    der = judgement.certificate.der
    return [CardSeen(one.id, der) for one in sender.accounts if one.card_certificate != der]


def petition_stage(services: Services, progress: Progress) -> Ended:
    """The decision on a form, or on a mail to a registration address."""
    with services.database.read() as conn:
        again = None if progress.replay_key is None else messages.find_replay(conn, progress.replay_key)
        if (
            again is not None and again != progress.message.id
        ):  # R-REPLAY: whatever is around it, it is the same request
            return ended_of(services, progress, Done(reason("D2R-ASK06")), conn)
        decision = _decided(services, progress, conn)
        if isinstance(decision, Reason):
            return Ended(MessageState.REFUSED, decision)
        return ended_of(services, progress, decision, conn)


def _decided(services: Services, progress: Progress, conn: Connection) -> Carried | Refused | Held | Reason:
    petition = progress.request if isinstance(progress.request, Petition) else None
    secrets = Secrets(services.random_bytes, services.seal_secret, services.unseal_secret)
    if progress.newcomer is not None:
        return register(
            petition, progress.newcomer, conn=conn, now=progress.at, message=progress.message.id, secrets=secrets
        )
    if petition is None or progress.sender is None:
        raise RuntimeError("nothing was read")
    found = (people.network_by_address(conn, one) for one in progress.message.recipients)
    desk = Desk(
        conn, progress.at, progress.message.id, services.settings.gateway.environment, secrets, services.limits,
        services.workdir, services.random_bytes, progress.message.received_at, _card(progress.judgement),
    )  # fmt: skip
    networks = tuple(one.id for one in found if one is not None)
    return decide_petition(petition, progress.sender, networks, desk)


def _card(judgement: Judgement | None) -> bytes | None:
    """The card that signed: a person's certificate of the card world, good now."""
    if judgement is None or judgement.certificate is None or judgement.verdict is not Verdict.VALID:
        return None
    return judgement.certificate.der if national_id_of(judgement.certificate.holder) else None


def _registration(conn: Connection, progress: Progress) -> Network | None:
    found = (people.network_by_registration(conn, one) for one in progress.message.recipients)
    return next((one for one in found if one is not None), None)


def _announced(services: Services, progress: Progress, opened: Opened) -> bytes | None:
    """The holder's own encryption certificate, announced by one of the signatures."""
    at = progress.message.received_at
    found = (announced(services, one, progress.judgement, at) for one in opened.signers)
    return next((one.der for one in found if one is not None), None)
