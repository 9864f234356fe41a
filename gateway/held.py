"""What a person decides about a held message: worked on again, or refused; each under a name and audited."""

from __future__ import annotations

from datetime import datetime

from dcc.gateway.services import Services
from dcc.mailbox import messages, outbox, people
from dcc.mailbox.records import AuditRecord, Message, MessageState
from dcc.mailbox.rows import new_id
from dcc.router.answer import plan_answer
from dcc.router.reasons import reason

FOR_OPERATOR = "D2R-OPR02"  # written to postmaster or abuse
RECHECKED = ("D2R-CRL03", "D2R-OPN03")  # could not be found out; was not looked at


def release_held(services: Services, message_id: str, operator: str, now: datetime) -> bool:
    """Put a held message back: every check is made again from its received bytes. False when it is not held."""
    with services.database.begin() as conn:
        message = messages.get(conn, message_id)
        if message is None or not messages.reopen(conn, message_id, now=now):
            return False
        services.audit.append(conn, _record(message, f"operator:{operator}", "operator:message:released", now))
    services.wake.set()
    return True


def refuse_held(services: Services, message_id: str, operator: str, now: datetime) -> bool:
    """Refuse a held message; a known sender is told. False when it is not held."""
    why = reason("D2R-OPR01", detail=operator)
    with services.database.begin() as conn:
        message = messages.get(conn, message_id)
        if message is None or message.state is not MessageState.HELD:
            return False
        # R-LOOP: nothing is told to the null sender
        signer = message.signer if message.mail_from else None
        account = None if signer is None else people.get_account(conn, signer)
        messages.settle(
            conn, message_id, expected=MessageState.HELD, end=MessageState.REFUSED, now=now, stages=message.stages,
            reason_code=why.code, reason_parameters=why.parameters,
        )  # fmt: skip
        outbox.enqueue_all(
            conn,
            plan_answer(
                why, account=account, authenticated=account is not None, message_id=message_id, now=now, new_id=new_id,
                folder=message.folder,
            ),
        )  # fmt: skip
        services.audit.append(conn, _record(message, f"operator:{operator}", "operator:message:refused", now, why.code))
    services.wake_relay.set()
    return True


def for_operator(services: Services, message_id: str, operator: str, now: datetime) -> bytes | None:
    """The octets of a mail that was written to the operator, and to nobody else; audited. None: it is not such a one.

    Any other held mail may carry clinical content, which an operator has no right to. Raises OSError.
    """
    with services.database.begin() as conn:
        message = messages.get(conn, message_id)
        if message is None or message.state is not MessageState.HELD or message.reason_code != FOR_OPERATOR:
            return None
        services.audit.append(conn, _record(message, f"operator:{operator}", "operator:message:read", now))
    with services.open_original(message) as source:
        return source.read()


def recheck_due(services: Services, now: datetime) -> int:
    """Held until something may be known, and due: worked on again (I10: never accepted by itself). How many."""
    with services.database.read() as conn:
        due = [one for code in RECHECKED for one in messages.due_for_retry(conn, code=code, now=now)]
    for message_id in due:
        with services.database.begin() as conn:
            message = messages.get(conn, message_id)
            if message is not None and messages.reopen(conn, message_id, now=now):
                services.audit.append(conn, _record(message, "gateway", "gateway:message:rechecked", now))
    if due:
        services.wake.set()
    return len(due)


def _record(message: Message, actor: str, tag: str, now: datetime, code: str | None = None) -> AuditRecord:
    return AuditRecord(
        at=now, tag=tag, actor=actor, certificate=None, message=message.id, mail_message_id=None, folder=message.folder,
        document=None, decision="done", code=code,
    )  # fmt: skip
