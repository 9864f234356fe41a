"""The mail that tells the operator of one written to postmaster or abuse: with it under a seal, or without it (0018)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from dcc.mailbox import operatormail
from dcc.mailbox.records import Delivery, DeliveryState, Message, Network
from dcc.mailbox.snapshot import Snapshot
from dcc.router.composeparts import EncodedPart, encoded_part
from dcc.router.readercard import in_time
from dcc.templates.render import Rendered, render

KIND = "operator"
CODE = "D2R-OPR02"
HOURLY = 20  # whoever writes to postmaster all day long does not fill the operator's mailbox through us (I8)
FILE_NAME = "courriel.eml"
MEDIA_TYPE = "application/octet-stream"  # octet for octet, and no mail program shows a stranger's page by itself


@dataclass(frozen=True, slots=True)
class OperatorBox:
    """Where the operator reads mail. `octets`: a received mail as it was received; None: too large to be enclosed."""

    address: str
    language: str
    certificate: bytes | None
    octets: Callable[[Message], bytes | None]


@dataclass(frozen=True, slots=True)
class Told:
    """The words of one mail, what it carries, and the certificate it is sealed for; None: it carries nothing."""

    network: Network
    words: Rendered
    parts: tuple[EncodedPart, ...]
    encrypt_to: bytes | None


def plan(
    conn: Connection, message: Message, address: str, *, automatic: bool, now: datetime, new_id: Callable[[], str]
) -> list[Delivery]:
    """The mail owed to the operator; none where enough were sent this hour: each tells how many wait.

    `automatic`: a program wrote it, perhaps about our own last one (RFC 3834 §2): once a day.
    """
    hour = [f"{KIND}:{now:%Y%m%d%H}:{place}" for place in range(HOURLY)]
    key = operatormail.free(conn, [f"{KIND}:{now:%Y%m%d}:automatic"] if automatic else hour)
    if key is None:
        return []
    return [
        Delivery(
            id=new_id(), dedupe_key=key, kind=KIND, mailbox=address, account=None, folder=None, message=message.id,
            documents=(), reason=CODE, state=DeliveryState.QUEUED, created_at=now, due=now,
        )
    ]  # fmt: skip


def told(
    message: Message, box: OperatorBox, store: Snapshot, now: datetime, random_bytes: Callable[[int], bytes]
) -> Told | None:
    """What the operator is told of one message; None: there is no network, and so nobody to speak for."""
    asked = [one.lower() for one in message.recipients]
    networks = store.networks()
    network = next((one for one in networks if asked[0].endswith(f"@{one.domain.lower()}")), None) or next(
        iter(networks), None
    )
    if network is None:
        return None
    certificate = box.certificate if box.certificate is not None and in_time(box.certificate, now) else None
    octets = None if certificate is None else box.octets(message)
    parts = () if octets is None else (encoded_part(FILE_NAME, MEDIA_TYPE, octets, random_bytes),)
    words = render(
        KIND, box.language,
        {
            "network": network, "message": message.id, "recipient": asked[0], "enclosed": bool(parts),
            "sealed": certificate is not None, "waiting": operatormail.waiting(store.conn, CODE),
        },
    )  # fmt: skip
    return Told(network, words, parts, certificate)
