"""Who reads what is written to postmaster and abuse: told by mail, if the settings say where (decision 0018)."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from dcc.gateway.rolebox import is_for_operator, is_served
from dcc.gateway.services import Services
from dcc.gateway.settings import ConfigurationError, Settings
from dcc.mailbox.records import Delivery, Message
from dcc.mailbox.rows import new_id
from dcc.router import operatormail
from dcc.router.operatormail import OperatorBox
from dcc.smime.errors import SmimeError
from dcc.smime.headers import read_headers

LARGEST = 5 << 20  # octets of a mail that is enclosed; the base64 of a larger one is refused by many mailboxes
SETTING = "operator.certificate"


def open_certificate(settings: Settings) -> x509.Certificate | None:
    """The operator's certificate; None: there is none. Raises ConfigurationError."""
    path = settings.operator.certificate
    if path is None:
        return None
    try:
        octets = settings.path(path).read_bytes()
        read = x509.load_pem_x509_certificate if octets.startswith(b"-----") else x509.load_der_x509_certificate
        found = read(octets)
    except OSError:
        raise ConfigurationError([f"{SETTING} : {path} est absent ou illisible"]) from None
    except ValueError:
        raise ConfigurationError([f"{SETTING} : {path.name} n'est pas un certificat lisible"]) from None
    if not _encrypts(found):
        raise ConfigurationError([f"{SETTING} : {path.name} ne sert pas à chiffrer"])
    return found


def open_box(services: Services) -> OperatorBox | None:
    """Where the operator reads mail; None: nowhere. Raises ConfigurationError."""
    settings = services.settings
    if settings.operator.address is None:
        return None
    certificate = open_certificate(settings)
    der = None if certificate is None else certificate.public_bytes(Encoding.DER)
    return OperatorBox(settings.operator.address, settings.gateway.language, der, partial(_octets, services))


def tell(services: Services, message: Message, source: BinaryIO, size: int, now: datetime) -> list[Delivery]:
    """The mail owed to the operator because of a message that nobody else was written to with."""
    address = services.settings.operator.address
    if address is None:
        return []
    automatic = _is_automatic(services, message, source, size)
    with services.database.read() as conn:
        if is_ours(conn, services.settings, address):  # it would come back to us, and be told again
            return []
        return operatormail.plan(conn, message, address, automatic=automatic, now=now, new_id=new_id)


def is_ours(conn: Connection, settings: Settings, address: str) -> bool:
    """Whether this gateway itself takes mail for the address."""
    wanted = address.lower()
    return is_served(conn, settings, wanted) or is_for_operator(conn, settings, wanted)


def _is_automatic(services: Services, message: Message, source: BinaryIO, size: int) -> bool:
    """Whether no person wrote it, or it may be our own come back (RFC 3834 §2): telling of each could have no end."""
    if message.mail_from.lower() in {"", services.settings.gateway.address}:
        return True
    source.seek(0)
    try:
        headers, _ = read_headers(source, services.limits, size)
    except SmimeError:
        return False
    submitted = (headers.get("Auto-Submitted") or "no").split(";")[0].strip().lower()
    return submitted != "no" or (headers.get("Precedence") or "").strip().lower() in {"bulk", "junk", "list"}


def _octets(services: Services, message: Message) -> bytes | None:
    with services.open_original(message) as source:
        found = source.read(LARGEST + 1)
    return found if len(found) <= LARGEST else None


def _encrypts(certificate: x509.Certificate) -> bool:
    """Whether its key may wrap another (RFC 5280 §4.2.1.3); without the extension it may."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return bool(usage.key_encipherment or usage.key_agreement)
