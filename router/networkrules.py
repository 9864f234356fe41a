"""Which document rules hold in a network: its own where it has set some, else the gateway's (mission S1)."""

from __future__ import annotations

from dataclasses import dataclass

from dcc.mailbox import documentrules
from dcc.mailbox.records import Account
from dcc.mailbox.snapshot import Snapshot
from dcc.router.typerules import Matrix, default_matrix, group_of, matrix_of

GATEWAY = "gateway"
SHORT = 12  # characters of a hash that tell two tables apart for a person
KEPT = 64  # tables kept at most; then all are read again


@dataclass(frozen=True, slots=True)
class RulesInForce:
    """The table of one network at one moment, and whose it is."""

    matrix: Matrix
    network: str  # Network.name
    named: str = GATEWAY  # the beginning of the hash of the network's own text

    def may_feed(self, account: Account, type_code: str, class_code: str | None) -> bool:
        """Whether this account may deposit a document of this type and class."""
        return self.matrix.may_feed(group_of(account.kind, account.profession), type_code, class_code)

    def may_read(self, account: Account, type_code: str, class_code: str | None) -> bool:
        """Whether this account may receive a document of this type and class."""
        return self.matrix.may_read(group_of(account.kind, account.profession), type_code, class_code)


class NetworkRules:
    """The rules of every network. What is in force is asked of the store each time; only tables read before are kept.

    A table goes by the hash of its text, so that what is kept can be old but never wrong. Safe for threads.
    """

    def __init__(self, gateway: Matrix | None = None) -> None:
        """`gateway`: the table of networks that have none; None: the careful default."""
        self._gateway = gateway or default_matrix()
        self._known: dict[str, Matrix] = {}

    def of(self, store: Snapshot, network_id: str) -> RulesInForce:
        """The rules of one network in this moment of the store.

        Raises LookupError, RulesWrong when they cannot be read: another table in their place would let through what
        the network forbids.
        """
        network = store.network(network_id)
        if network is None:
            raise LookupError("no network")
        if network.rules is None:
            return RulesInForce(self._gateway, network.name)
        matrix = self._known.get(network.rules)
        if matrix is None:
            matrix = matrix_of(documentrules.text(store.conn, network.id, network.rules))
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[network.rules] = matrix
        return RulesInForce(matrix, network.name, network.rules[:SHORT])
