"""What a form of an enrolled person says, read: whom it names, until when, and how it is answered where it is unclear."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from sqlalchemy import Connection

from dcc.mailbox import consentforms, people
from dcc.mailbox.records import Account, AccountState
from dcc.router.petition import Petition
from dcc.router.reasons import Reason, reason


def unknown_form(petition: Petition, network: str, conn: Connection) -> Reason:
    """The consent form named is not a published one: which are, and the request to be filled in again."""
    return reason("D2R-CNS03", forms=consentforms.names(conn, network), form=petition.kind)


def unclear(petition: Petition, detail: str) -> Reason:
    """A value that is not understood, and the request to be filled in again."""
    return reason("D2R-FRM02", detail=detail, form=petition.kind)


def person_named(named: str, network: str, conn: Connection) -> Account | None:
    """A validated account of the network, by its address or its national identifier."""
    text = named.strip()
    found = people.by_mailbox(conn, network, text) if "@" in text else people.by_national_id(conn, text)
    return next((one for one in found if one.network == network and one.state is AccountState.VALIDATED), None)


def until_of(petition: Petition, now: datetime) -> datetime | Reason | None:
    """The end of the last day that the form names; None: it names none; or why it is not understood."""
    said = petition.fields.get("until")
    if said is None:
        return None
    day = day_of(said)
    if day is None:
        return unclear(petition, "Jusqu'au")
    end = datetime.combine(day, time(), UTC) + timedelta(days=1)
    return end if end > now else unclear(petition, "Jusqu'au")


def day_of(text: str) -> date | None:
    """A date as people write it: JJ/MM/AAAA, or ISO."""
    for pattern in ("%d/%m/%Y", "%Y-%m-%d", "%d.%m.%Y", "%Y%m%d"):
        try:
            return datetime.strptime(text.strip(), pattern).date()  # noqa: DTZ007  a day has no zone
        except ValueError:
            continue
    return None
