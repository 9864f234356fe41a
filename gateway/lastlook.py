"""The last look at a mail before the next host is given it: whether what its plan rests on may have changed (I4).

A batch is planned in one moment, and a slow smarthost takes its last mail minutes later. Where nothing has changed the
look costs no statement of its own: the number of the rights is compared where the beginning of the sending is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dcc.gateway.services import Services
from dcc.mailbox import rights
from dcc.mailbox.records import Delivery
from dcc.mailbox.snapshot import Snapshot

NOTHING = timedelta(0)
DATED = timedelta(seconds=1)  # mandates, cards and lists end at a time of their own, without any change
AT_ONCE = timedelta(seconds=0.1)  # a store that is asked beside the sending is not asked again within
LOOKS = 5  # changes that fall between a plan and its sending, one after the other; then the mail waits its turn


@dataclass(frozen=True, slots=True)
class Moment:
    """When a mail was planned: the number of the rights, the state of the opposition lists, the time."""

    rights: int
    lists: int
    at: datetime


class LastLook:
    """Says whether a plan still stands."""

    def __init__(self, services: Services, clock: Callable[[], datetime]) -> None:
        self._services = services
        self._clock = clock

    def moment(self, conn: Connection) -> Moment:
        """This moment; `conn` is the reading that the plan is made from."""
        # The lists first: one that is loaded meanwhile was not looked at by every judgement of the plan
        return Moment(rights.revision(conn), self._services.judge.crls.generation, self._clock())

    def is_dated(self, moment: Moment) -> bool:
        """Whether to look again whatever the store says: lists were loaded, or a term may have come."""
        older = self._clock() - moment.at
        return moment.lists != self._services.judge.crls.generation or not NOTHING <= older < DATED

    def has_moved(self, moment: Moment) -> bool:
        """Whether a right may have ended since, by the store."""
        with self._services.database.read() as conn:
            return rights.revision(conn) != moment.rights

    def stands(self, moment: Moment) -> bool:
        """Whether a plan stands for a relay before which nothing is written; within a blink it is not asked."""
        return self._clock() - moment.at < AT_ONCE or not self.has_moved(moment)


def basis(delivery: Delivery, store: Snapshot) -> tuple[object, ...]:
    """Every row that a mail to this reader speaks of: as long as they are the same, so is the mail."""
    account = None if delivery.account is None else store.account(delivery.account)
    network = None if account is None else store.network(account.network)
    folder = None if delivery.folder is None else store.folder(delivery.folder)
    return account, network, folder, tuple(store.documents(delivery.documents))
