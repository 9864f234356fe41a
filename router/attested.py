"""An attestation of consent (59284-0) that comes by itself opens the folder of a patient who has none here (facts §11 G).

It stands in the place of the network's form: the consent that it attests is a precondition met (mission S15), its signer is
mandated (S16), and every right is checked as for any other document. Decision 0017.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from dcc.mailbox import folders, people
from dcc.mailbox.records import ConsentState
from dcc.router.decision import Held, Refused
from dcc.router.doctypes import LOINC
from dcc.router.folderopening import OPENERS, Opening, plan_opening
from dcc.router.locate import Located, Named, networks_of
from dcc.router.reasons import Reason
from dcc.router.request import Deposit, Sender
from dcc.router.roles import role_of

ATTESTATION = "59284-0"
UNKNOWN_PATIENT = "902"


@dataclass(frozen=True, slots=True)
class Opener:
    """What opening a folder takes beside the deposit: the message that proves it, and where names come from."""

    message: str
    random_bytes: Callable[[int], bytes]


def open_attested(
    deposit: Deposit,
    named: Named,
    sender: Sender,
    found: Located | Held | Refused,
    *,
    conn: Connection,
    environment: str,
    now: datetime,
    opener: Opener | None,
) -> Located | Held | Refused:
    """The folder to open where `found` says that the patient has none, or else what was found.

    A mail that names a folder, or leaves open in which network it is meant, opens none.
    """
    if opener is None or not isinstance(found, Held) or found.reason.code != UNKNOWN_PATIENT:
        return found
    if not _is_attestation(deposit) or named.folders or named.misnamed is not None:
        return found
    meant = networks_of(named, sender)
    account = sender.account_in(next(iter(meant))) if len(meant) == 1 else None
    network = None if account is None else people.get_network(conn, account.network)
    if account is None or network is None or role_of(account) not in OPENERS:
        return found
    asked = Opening(deposit.documents[0].patient, True, ATTESTATION, opener.message, attested=True)
    planned = plan_opening(
        asked, account, network, conn=conn, environment=environment, now=now, random_bytes=opener.random_bytes
    )  # fmt: skip
    if isinstance(planned, Reason):
        return Held(planned, account) if planned.outcome == "held" else Refused(planned, account)
    patient = planned.patient or folders.patient(conn, planned.folder.patient)
    if patient is None:
        raise LookupError("a folder needs a patient")
    folder = replace(planned.folder, consent=ConsentState.GIVEN, consent_at=now)  # as it is once this is written
    return Located(folder, patient, account, "attestation", opening=planned)


def _is_attestation(deposit: Deposit) -> bool:
    kinds = [(one.type_code, one.type_system) for one in deposit.documents]
    return kinds == [(ATTESTATION, LOINC)] and not deposit.differs
