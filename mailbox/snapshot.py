"""One moment of the store, each row asked of the engine once: for everything that is said of one deposit at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection

from dcc.mailbox import capabilities, documents, factors, folders, messages, people
from dcc.mailbox.factors import Factor
from dcc.mailbox.records import Account, Document, Folder, Mandate, Message, Network, Opposition, Patient

Row = TypeVar("Row")


class Snapshot:
    """Rows as they are in one read transaction; to be dropped with it, never kept across mails of different deposits."""

    def __init__(self, conn: Connection) -> None:
        self.conn = conn
        self._kept: dict[tuple[str, Any], Any] = {}

    def expect(self, account_ids: Sequence[str]) -> None:
        """Read these accounts and what their mail clients can read in one statement each; they are asked for next."""
        ids = list(dict.fromkeys(account_ids))
        known = capabilities.some(self.conn, ids)
        self._kept |= {("account", one): None for one in ids}
        self._kept |= {("account", one.id): one for one in people.some_accounts(self.conn, ids)}
        self._kept |= {("capabilities", one): known.get(one, ()) for one in ids}

    def account(self, account_id: str) -> Account | None:
        """One account by its id."""
        return self._once("account", account_id, lambda: people.get_account(self.conn, account_id))

    def capabilities(self, account_id: str) -> tuple[str, ...]:
        """What an account's mail client says it can read."""
        return self._once("capabilities", account_id, lambda: capabilities.announced(self.conn, account_id))

    def network(self, network_id: str) -> Network | None:
        """One network by its id."""
        return self._once("network", network_id, lambda: people.get_network(self.conn, network_id))

    def networks(self) -> list[Network]:
        """Every network of the platform."""
        return self._once("networks", None, lambda: people.list_networks(self.conn))

    def folder(self, folder_id: str) -> Folder | None:
        """One folder by its id."""
        return self._once("folder", folder_id, lambda: folders.folder(self.conn, folder_id))

    def factor(self, factor_id: str) -> Factor | None:
        """One second factor by its id."""
        return self._once("factor", factor_id, lambda: factors.get(self.conn, factor_id))

    def patient(self, patient_id: str) -> Patient | None:
        """One local identity by its id."""
        return self._once("patient", patient_id, lambda: folders.patient(self.conn, patient_id))

    def documents(self, ids: Sequence[str]) -> list[Document]:
        """These documents with their parts, in the order asked."""
        return self._once("documents", tuple(ids), lambda: documents.some(self.conn, ids))

    def message(self, message_id: str) -> Message | None:
        """One received message by its id."""
        return self._once("message", message_id, lambda: messages.get(self.conn, message_id))

    def documents_of_message(self, message_id: str) -> tuple[str, ...]:
        """The ids of every document that a message brought, known ones too; empty: not known."""
        return self._once("brought", message_id, lambda: messages.documents_of(self.conn, message_id))

    def mandates(self, folder_id: str) -> list[Mandate]:
        """Every mandate of a folder, ended ones too."""
        return self._once("mandates", folder_id, lambda: folders.mandates_of(self.conn, folder_id))

    def oppositions(self, folder_id: str) -> list[Opposition]:
        """The oppositions of a folder."""
        return self._once("oppositions", folder_id, lambda: folders.oppositions_of(self.conn, folder_id))

    def _once(self, kind: str, key: Any, read: Callable[[], Row]) -> Row:
        found = self._kept.get((kind, key), self)
        if found is self:
            found = self._kept[kind, key] = read()
        return cast("Row", found)
