"""Networks and accounts: who takes part, and which mailbox is bound to which national identifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select, update

from dcc.mailbox.records import Account, AccountState, Network
from dcc.mailbox.schema import accounts, networks


def add_network(conn: Connection, network: Network) -> None:
    """Add one network."""
    conn.execute(insert(networks).values(**asdict(network)))


# Asked for every mail: built once, since building a statement costs twice what running it does.
NETWORK = select(networks).where(networks.c.id == bindparam("wanted"))
ACCOUNT = select(accounts).where(accounts.c.id == bindparam("wanted"))
SOME_ACCOUNTS = select(accounts).where(accounts.c.id.in_(bindparam("ids", expanding=True)))
BY_MAILBOX = select(accounts).where(accounts.c.mailbox == bindparam("wanted"))
BY_NATIONAL_ID = select(accounts).where(accounts.c.national_id == bindparam("wanted")).order_by(accounts.c.id)


def get_network(conn: Connection, network_id: str) -> Network | None:
    """One network by its id."""
    row = conn.execute(NETWORK, {"wanted": network_id}).one_or_none()
    return None if row is None else Network(**row._mapping)


def network_by_address(conn: Connection, address: str) -> Network | None:
    """The network that owns this gateway address."""
    row = conn.execute(select(networks).where(networks.c.address == address.lower())).one_or_none()
    return None if row is None else Network(**row._mapping)


def network_by_registration(conn: Connection, address: str) -> Network | None:
    """The network that takes registrations at this address."""
    row = conn.execute(select(networks).where(networks.c.registration == address.lower())).one_or_none()
    return None if row is None else Network(**row._mapping)


def list_networks(conn: Connection) -> list[Network]:
    """Every network of the platform."""
    return [Network(**row._mapping) for row in conn.execute(select(networks).order_by(networks.c.id))]


def add_account(conn: Connection, account: Account) -> None:
    """Add one account; its mailbox is kept in lower case."""
    values = asdict(account) | {"state": account.state.value, "mailbox": account.mailbox.lower()}
    conn.execute(insert(accounts).values(**values))


def get_account(conn: Connection, account_id: str) -> Account | None:
    """One account by its id."""
    row = conn.execute(ACCOUNT, {"wanted": account_id}).one_or_none()
    return None if row is None else _account(row)


def some_accounts(conn: Connection, ids: Sequence[str]) -> list[Account]:
    """Those of these accounts that there are, in any order."""
    return [_account(row) for row in conn.execute(SOME_ACCOUNTS, {"ids": list(ids)})]


def by_mailbox(conn: Connection, network: str | None, address: str) -> list[Account]:
    """The accounts bound to an address, in one network or in all (None)."""
    found = [_account(row) for row in conn.execute(BY_MAILBOX, {"wanted": address.lower()})]
    return [one for one in found if network is None or one.network == network]


def by_national_id(conn: Connection, national_id: str) -> list[Account]:
    """The accounts of a holder, one a network (and mailbox)."""
    return [_account(row) for row in conn.execute(BY_NATIONAL_ID, {"wanted": national_id})]


def of_structure(conn: Connection, network: str, structure: str) -> list[Account]:
    """The accounts of one structure in one network."""
    query = select(accounts).where(accounts.c.network == network, accounts.c.structure == structure)
    return [_account(row) for row in conn.execute(query)]


def list_accounts(conn: Connection, network: str | None = None) -> list[Account]:
    """Every account, by network and mailbox."""
    query = select(accounts).order_by(accounts.c.network, accounts.c.mailbox)
    if network is not None:
        query = query.where(accounts.c.network == network)
    return [_account(row) for row in conn.execute(query)]


def set_account_state(conn: Connection, account_id: str, state: AccountState) -> bool:
    """Change the state of an account; False when there is none."""
    done = conn.execute(update(accounts).where(accounts.c.id == account_id).values(state=state.value))
    return done.rowcount == 1


def set_language(conn: Connection, account_id: str, language: str) -> None:
    """In which language this account is written to."""
    conn.execute(update(accounts).where(accounts.c.id == account_id).values(language=language))


def set_card(conn: Connection, account_id: str, certificate: bytes) -> None:
    """Remember the card (DER) last seen for this account."""
    conn.execute(update(accounts).where(accounts.c.id == account_id).values(card_certificate=certificate))


def set_encryption_certificate(conn: Connection, account_id: str, certificate: bytes | None) -> None:
    """Enrol, replace or remove the certificate (DER) that encrypts to this account."""
    conn.execute(update(accounts).where(accounts.c.id == account_id).values(encryption_certificate=certificate))


def replace_encryption_certificate(
    conn: Connection, account_id: str, certificate: bytes, *, before: bytes | None
) -> bool:
    """Put a certificate (DER) in the place of the one that was looked at; False when another is there by now."""
    where = (accounts.c.id == account_id, accounts.c.encryption_certificate.is_not_distinct_from(before))
    return conn.execute(update(accounts).where(*where).values(encryption_certificate=certificate)).rowcount == 1


def _account(row: Row[Any]) -> Account:
    return Account(**{**row._mapping, "state": AccountState(row.state)})
