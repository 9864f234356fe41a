"""The mails of a story: made by the clients of the demo, spoilt as the story wants, or by another program."""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.utils import format_datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from dcc.gateway.cast_reader import Cast
from dcc.gateway.clients import ClientIdentity, Envelope, Shape, enveloped_mail, mail, signed_entity
from dcc.gateway.demo_deposits import Draft, document, entity
from demoinstance import DemoInstance
from peerprograms import GPG_AGENT, import_into_gpgsm, run
from story import Send
from throwaway import PASSWORD, multipart, p12, part

SUBJECT = "Compte rendu"


@dataclass(frozen=True)
class Made:
    """A mail, and the octets of its attachments by SHA-256."""

    raw: bytes
    inner: bytes  # the entity that was signed
    attached: dict[str, str]


def make(send: Send, cast: Cast, demo: DemoInstance, at: datetime) -> Made:
    """The mail that a story sends."""
    inner = _entity(send, cast, at)
    return Made(wrap(send, inner, cast, demo, at), inner, _attached(inner, send.by))


def address_of(send: Send, cast: Cast) -> str:
    """Where a mail of a story goes."""
    network = next(one for one in cast.told["networks"] if one["id"] == send.network)
    return {
        "gateway": cast.told["gateway"]["address"], "network": network["address"],
        "registration": network["registration"], "folder": cast.folder(send.folder)["address"],
    }[send.to]  # fmt: skip


def wrap(send: Send, inner: bytes, cast: Cast, demo: DemoInstance, at: datetime) -> bytes:
    """Sign and encrypt an entity as the story wants."""
    sender = send.from_address or cast.person(send.from_person or send.by)["mailbox"]
    to = address_of(send, cast)
    name = f"<{secrets.token_hex(12)}@{sender.partition('@')[2]}>"
    envelope = Envelope(sender, to, SUBJECT, at, name)
    if send.client in PROGRAMS:
        fields = f"From: {sender}\nTo: {to}\nSubject: {SUBJECT}\nDate: {format_datetime(at)}\nMessage-ID: {name}\n"
        with tempfile.TemporaryDirectory(prefix="dcc-m", dir="/tmp", ignore_cleanup_errors=True) as folder:
            # The path is short because an agent's socket needs it
            made = PROGRAMS[send.client](inner, cast, send.by, Path(folder))
        return fields.replace("\n", "\r\n").encode() + made
    raw = _by_client(send, inner, cast, demo, envelope)
    if send.damage == "ciphertext":
        raw = _damaged(raw)
    return f"Disposition-Notification-To: {sender}\r\n".encode() + raw if send.receipt else raw


def _entity(send: Send, cast: Cast, at: datetime) -> bytes:
    draft = Draft(
        send.by, send.folder, send.type, author=send.author, patient=send.patient, structured=send.structured,
    )  # fmt: skip
    if send.metadata_patient is None:
        return entity(cast, draft, at, os.urandom)
    told = Draft(send.by, send.folder, send.type, patient=send.metadata_patient)
    return entity(cast, told, at, os.urandom, document(cast, draft, at, os.urandom))


def _attached(inner: bytes, by: str) -> dict[str, str]:
    found = {}
    for one in message_from_bytes(inner).walk():
        octets = one.get_payload(decode=True)
        if one.get_filename() is not None and isinstance(octets, bytes):
            found[hashlib.sha256(octets).hexdigest()] = f"the octets that {by} sent"
    return found


def _by_client(send: Send, inner: bytes, cast: Cast, demo: DemoInstance, envelope: Envelope) -> bytes:
    shape: Shape = "outlook" if send.client == "outlook" else "thunderbird"
    if send.card in {"forged", "renewed"}:
        card = demo.forged_card(send.by) if send.card == "forged" else demo.renewed_card(send.by)
        identity = ClientIdentity(card.certificate, card.key, card.chain)
    else:
        identity = cast.identity(send.by, send.card)
    to = cast.gateway_certificate()
    if send.damage == "recipient":
        to = cast.pair("nurse", "encryption").certificate
    if send.damage == "content":
        changed = signed_entity(inner, identity, opaque=False).replace(b"Veuillez trouver", b"Veuillez Trouver", 1)
        return enveloped_mail(changed, [to], envelope, os.urandom, shape=shape)
    return mail(
        inner, identity if send.signed else None, [to] if send.encrypted else [], envelope, os.urandom, shape=shape
    )


def _damaged(raw: bytes) -> bytes:
    """The last octet of the ciphertext changed: the padding under it is wrong."""
    head, _, body = raw.partition(b"\r\n\r\n")
    octets = bytearray(base64.b64decode(body))
    end = len(octets.rstrip(b"\0"))  # Thunderbird's end-of-contents octets follow the ciphertext
    octets[end - 1] ^= 1
    return head + b"\r\n\r\n" + base64.encodebytes(octets).replace(b"\n", b"\r\n")


def _with_openssl(inner: bytes, cast: Cast, by: str, folder: Path) -> bytes:
    card = cast.person(by)["card"]
    (folder / "entity").write_bytes(inner)
    certificates = [cast.directory / one for one in cast.told["anchors"] if "autorite" in one]
    (folder / "chain.pem").write_bytes(b"".join(one.read_bytes() for one in certificates))
    who = ("-signer", cast.directory / card["certificate"], "-inkey", cast.directory / card["private_key"])
    signed = run("openssl", "cms", "-sign", "-in", folder / "entity", "-md", "sha256", *who,
                 "-certfile", folder / "chain.pem")  # fmt: skip
    (folder / "signed").write_bytes(signed)
    made = run("openssl", "cms", "-encrypt", "-aes-256-cbc", "-in", folder / "signed",
               cast.directory / cast.told["gateway"]["certificate"])  # fmt: skip
    return made.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _enveloped(octets: bytes) -> bytes:
    return b"MIME-Version: 1.0\r\n" + part("application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m", octets)


def _with_gpgsm(inner: bytes, cast: Cast, by: str, folder: Path) -> bytes:
    folder.chmod(0o700)
    environment = {"GNUPGHOME": str(folder)}
    roots = [cast.directory / one for one in cast.told["anchors"] if "racine" in one]
    prints = [x509.load_pem_x509_certificate(one.read_bytes()).fingerprint(hashes.SHA1()).hex() for one in roots]
    (folder / "trustlist.txt").write_text("".join(f"{one.upper()} S relax\n" for one in prints))
    (folder / "gpgsm.conf").write_text("disable-crl-checks\ndisable-policy-checks\nbatch\n")
    (folder / "gpg-agent.conf").write_text(GPG_AGENT)
    card, to = cast.pair(by), cast.gateway_certificate()
    (folder / "gateway.der").write_bytes(to)
    (folder / "entity").write_bytes(inner)
    secret = ("--pinentry-mode", "loopback", "--passphrase-fd", "0")

    def gpgsm(*arguments: str | Path) -> bytes:
        return run("gpgsm", "--batch", *secret, *arguments, data=PASSWORD.encode() + b"\n", environment=environment)

    try:
        for one in (*(cast.directory / one for one in cast.told["anchors"]), folder / "gateway.der"):
            gpgsm("--import", one)
        import_into_gpgsm(lambda: p12(card, legacy=True), folder / "card.p12", folder)
        signature = gpgsm("-u", hashlib.sha1(card.certificate).hexdigest(), "--include-certs", "2",
                          "--digest-algo", "sha256", "--detach-sign", folder / "entity")  # fmt: skip
        (folder / "signed").write_bytes(multipart(inner, signature))
        return _enveloped(gpgsm("--encrypt", "--cipher-algo", "AES256", "-r", hashlib.sha1(to).hexdigest(),
                                folder / "signed"))  # fmt: skip
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, **environment}, check=False, timeout=60)


def _with_nss(inner: bytes, cast: Cast, by: str, folder: Path) -> bytes:
    database = f"sql:{folder}"
    run("certutil", "-N", "-d", database, "--empty-password")
    for one in cast.told["anchors"]:
        trust = "CT,CT,CT" if "racine" in one else ",,"
        run("certutil", "-A", "-a", "-d", database, "-n", Path(one).stem, "-t", trust, "-i", cast.directory / one)
    gateway = cast.directory / cast.told["gateway"]["certificate"]
    run("certutil", "-A", "-a", "-d", database, "-n", "gateway", "-t", ",,", "-i", gateway)
    for which in ("card", "encryption"):  # one subject, hence one name for both: NSS chooses by usage
        (folder / "one.p12").write_bytes(p12(cast.pair(by, which), b"card", legacy=True))
        run("pk12util", "-i", folder / "one.p12", "-d", database, "-W", PASSWORD, "-K", "")
    (folder / "entity").write_bytes(inner)
    how = ("-T", "-N", "card", "-G", "-P", "-Y", "card", "-H", "SHA256")  # with the encryption certificate announced
    signature = run("cmsutil", "-S", *how, "-i", folder / "entity", "-d", database)
    (folder / "signed").write_bytes(multipart(inner, signature))
    return _enveloped(run("cmsutil", "-E", "-r", "gateway", "-i", folder / "signed", "-d", database))


PROGRAMS: dict[str, Callable[[bytes, Cast, str, Path], bytes]] = {
    "openssl": _with_openssl, "gpgsm": _with_gpgsm, "nss": _with_nss,
}  # fmt: skip
