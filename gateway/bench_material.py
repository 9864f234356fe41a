"""What the bench works on: keys, and one incoming mail of each size, signed and encrypted to the gateway."""

from __future__ import annotations

import base64
import io
import os
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from dcc.cards.issue import IssuedCertificate, LookAlikePki
from dcc.smime.keys import KeyPair
from dcc.smime.seal import MailHeaders, Profile, key_signer, seal

READERS = 3
LINE = 57


@dataclass(frozen=True, slots=True)
class Material:
    """Keys of the sender, the gateway and the readers."""

    sender: KeyPair
    gateway_signing: KeyPair
    gateway_encryption: KeyPair
    readers: tuple[KeyPair, ...]
    at: datetime


@dataclass(frozen=True, slots=True)
class Mail:
    """One incoming mail. `raw` as received; `body`: its base64 text; `entity`: what was signed and encrypted."""

    name: str
    raw: bytes
    body: bytes
    entity: bytes


def _pair(issued: IssuedCertificate) -> KeyPair:
    return KeyPair(issued.certificate, issued.key, issued.chain)


def material() -> Material:
    """A look-alike PKI, one sender, one gateway and three readers, RSA-2048 like the cards."""
    now = datetime.now(UTC).replace(microsecond=0)
    pki = LookAlikePki.create(now)
    period: dict[str, Any] = {"not_before": now - timedelta(days=30), "not_after": now + timedelta(days=300)}
    organisation: dict[str, Any] = {
        "idnst": "1750803447", "name": "RESEAU ESSAI", "department": "Paris (75)", "common_name": "dcc.example",
        **period,
    }  # fmt: skip

    def reader(number: int) -> KeyPair:
        return _pair(
            pki.issue_person_software(
                idnps=f"89970000{number:04d}",
                family_name=f"LECTEUR{number}",
                given_name="A",
                usage="CONF",
                addresses=(f"reader{number}@dcc.example",),
                **period,
            )
        )

    card = pki.issue_card(
        "CPS", idnps="899700009999", family_name="AUTEUR", given_name="B", card_number="2800000001", **period
    )
    return Material(
        sender=_pair(card.signature),
        gateway_signing=_pair(pki.issue_organisation(usage="SIGN", **organisation)),
        gateway_encryption=_pair(pki.issue_organisation(usage="CONF", **organisation)),
        readers=tuple(reader(number) for number in range(READERS)),
        at=now,
    )


def document(size: int) -> bytes:
    """Base64 text of a document, about `size` octets as it travels."""
    data = random.Random(size).randbytes(size * LINE // 78)
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def mail(keys: Material, name: str, size: int, *, detached: bool = True) -> Mail:
    """A mail with one document, signed and encrypted to the gateway as clients send it (AES-256-CBC)."""
    entity = document(size)
    raw = io.BytesIO()
    headers = MailHeaders(
        "author@dcc.example", "gateway@dcc.example", "bench", keys.at, f"<{os.urandom(8).hex()}@dcc.example>"
    )
    seal(
        headers, [entity], DOCUMENT_HEADERS, signer=key_signer(keys.sender),
        recipient=keys.gateway_encryption.certificate, profile=Profile(detached=detached), out=raw, random_bytes=os.urandom,
    )  # fmt: skip
    octets = raw.getvalue()
    return Mail(name, octets, octets.partition(b"\r\n\r\n")[2], entity)


DOCUMENT_HEADERS = (
    ("Content-Type", 'application/pdf; name="document.pdf"'),
    ("Content-Transfer-Encoding", "base64"),
)


def private(pair: KeyPair) -> rsa.RSAPrivateKey:
    """The RSA key of a pair."""
    if not isinstance(pair.key, rsa.RSAPrivateKey):
        raise TypeError("the bench uses RSA keys, as the cards do")
    return pair.key
