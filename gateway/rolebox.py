"""The mailboxes that every mail domain has: what is written to them is for the operator, and is never opened."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from dcc.gateway.settings import Settings
from dcc.mailbox import folders, people
from dcc.mailbox.database import Database

POSTMASTER = "postmaster"  # RFC 5321 §4.5.1: every domain that takes mail has it, in any case of letters
ROLES = frozenset({POSTMASTER, "abuse"})  # RFC 2142 §4: complaints about mail that we send


def is_role(address: str) -> bool:
    """Whether the address may be one of these, whatever the domain."""
    return address.lower().partition("@")[0] in ROLES


def is_for_operator(conn: Connection, settings: Settings, address: str) -> bool:
    """Whether this is such a mailbox in one of our own domains, and nobody else's address: the door relays nothing."""
    wanted = address.lower()
    if not is_role(wanted) or is_served(conn, settings, wanted):
        return False
    networks = people.list_networks(conn)
    addresses = [settings.gateway.address, *(one.address for one in networks)]
    domains = {one.rpartition("@")[2].lower() for one in addresses} | {one.domain.lower() for one in networks}
    return wanted.rpartition("@")[2] in domains


def is_served(conn: Connection, settings: Settings, address: str) -> bool:
    """Whether this is the gateway's address, one of a network's, or a folder's."""
    if address == settings.gateway.address:
        return True
    if people.network_by_address(conn, address) or people.network_by_registration(conn, address):
        return True
    return folders.folder(conn, address) is not None


def all_for_operator(database: Database, settings: Settings, recipients: Sequence[str]) -> bool:
    """Whether a message was for the operator alone; the door takes no mail that is for both."""
    if not recipients or not all(is_role(one) for one in recipients):
        return False
    with database.read() as conn:
        return all(is_for_operator(conn, settings, one) for one in recipients)
