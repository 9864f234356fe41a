"""Every mail that the gateway sends, in every wording: made by the composer itself, out of a demo instance's own rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from email import message_from_bytes

from sqlalchemy import Connection, update

from dcc.gateway.demo_deposits import Draft
from dcc.mailbox import factors, people
from dcc.mailbox.factors import Factor
from dcc.mailbox.records import Account, AccountState, Delivery, DeliveryState
from dcc.mailbox.schema import accounts
from dcc.mailbox.snapshot import Snapshot
from dcc.router.carried import Secrets, seal_text
from dcc.router.compose import Composer
from dcc.router.composeparts import EncodedDeposits
from dcc.router.operatormail import OperatorBox
from dcc.router.petition import forms
from dcc.router.reasons import table
from dcc.smime.segments import body_chunks
from inprocess import Rooms

LANGUAGES = ("fr", "en")
SECRET = bytes(range(16))
MOTIVE = "Vous n'exercez pas dans la région ; adressez-vous au réseau voisin."


@dataclass(frozen=True)
class Wording:
    """One mail of one kind, in one case."""

    name: str
    kind: str
    to: str = "oncologist"
    code: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    folder: bool = True
    sealed: bool = True
    documents: int = 0  # how many of the documents deposited it is about
    why: str | None = None  # a notice in place of a report


@dataclass(frozen=True)
class Page:
    """A mail as its reader sees it."""

    name: str
    language: str
    subject: str
    text: str
    html: str
    sealed: bool


def wordings(secrets: Secrets) -> Iterator[Wording]:
    """Every branch of every template."""
    secret, whom = ("secret", secrets.seal(SECRET)), ("about", "newcomer")
    for sealed in (True, False):
        end = "" if sealed else "-clear"
        yield Wording(f"registration{end}", "registration", "no_account", "D2R-ASK01", (secret,), False, sealed)
        yield Wording(
            f"account_request{end}", "account_request", "administrator", "D2R-ASK02", (secret, whom), False, sealed
        )
        yield Wording(f"carried-address{end}", "carried", "no_account", "D2R-ASK02", (), False, sealed)
        yield Wording(f"held{end}", "held", "coordinator", "904", (("detail", "birth_name,sex"),), True, sealed)
        yield Wording(f"refusal{end}", "refusal", "gp", "D2R-MAN01", (), True, sealed)
        yield Wording(f"acknowledgement{end}", "acknowledgement", "coordinator", None, (), True, sealed, 2)
        refused = (("state", "refused"), ("motive", seal_text(secrets, MOTIVE)))
        told = (("state", "validated"),)
        yield Wording(
            f"account_decided-validated{end}", "account_decided", "no_account", "D2R-ASK03", told, False, sealed
        )
        yield Wording(
            f"account_decided-refused{end}", "account_decided", "no_account", "D2R-ASK03", refused, False, sealed
        )
    for state in ("validated", "refused"):
        told = ("state", state)
        if state == "refused":
            yield Wording("account_decided-no-reason", "account_decided", "no_account", "D2R-ASK03", (told,), False)
        yield Wording(f"carried-decision-{state}", "carried", "administrator", "D2R-ASK03", (told, whom), False)
    for key, form in forms().items():
        if form.done[0]:
            yield Wording(f"carried-{key}", "carried", "gp", "D2R-ASK04", (("kind", key),))
    yield Wording("folder_opened", "folder_opened", "gp", "D2R-ASK04", (("kind", "open"),))
    yield Wording("presence", "presence", "gp", "D2R-ASK05", (secret,))
    for sealed in (True, False):
        told = ("factor", "factor")
        yield Wording(f"factor{'' if sealed else '-clear'}", "factor", "gp", "D2R-ASK04", (told,), False, sealed)
    for code in ("D2R-DEL03", "D2R-OLD02"):
        for sealed in (True, False):
            end = "" if sealed else "-clear"
            yield Wording(f"change-{code}{end}", "change", "gp", code, (), True, sealed, 2)
    for code in ("D2R-DLV01", "D2R-DLV02"):
        for sealed in (True, False):
            end = "" if sealed else "-clear"
            yield Wording(f"undelivered-{code}{end}", "undelivered", "coordinator", code, (), False, sealed)
    for code in ("D2R-DLV03", "D2R-DLV04"):
        for sealed in (True, False):
            end = "" if sealed else "-clear"
            yield Wording(f"uncertain-{code}{end}", "uncertain", "coordinator", code, (), False, sealed)
    for name in ("enclosed", "large", "none"):
        yield Wording(f"operator-{name}", "operator", "administrator", "D2R-OPR02", (), False, name != "none")
    yield Wording("forms", "forms", "gp", "D2R-ASK04", (("kind", "help"),), False)
    yield Wording("report-one", "report", documents=1)
    yield Wording("report-two", "report", documents=2)
    yield Wording("report-replaces", "report", parameters=(("replaces", "1"),), documents=1)
    yield Wording("notice-no-certificate", "notice", code="D2R-CRT01", why="D2R-CRT01", sealed=False)
    yield Wording("notice-expired-card", "notice", code="D2R-CRL01", why="D2R-CRL01", sealed=False)
    for name, code, told in (
        ("deleted", "D2R-DEL00", ()), ("masks", "D2R-MSK03", ()), ("already", "D2R-DUP00", ()),
        ("masked-all", None, (("masked", "all"),)), ("masked-some", None, (("masked", "1"),)),
        ("without-mandate", None, (("without_mandate", "2"),)), ("opened", None, (("opened", "1"),)),
    ):  # fmt: skip
        yield Wording(f"acknowledgement-{name}", "acknowledgement", "coordinator", code, told, True, True, 1)
    for name, told in (("mistyped", (("misnamed", "mistyped"),)), ("unknown", (("misnamed", "unknown"),))):
        yield Wording(f"acknowledgement-reference-{name}", "acknowledgement", "coordinator", None, told, True, True, 1)
    for code in ("D2R-DLV01", "D2R-DLV02"):
        for sealed in (True, False):
            yield Wording(
                f"undelivered-{code}{'' if sealed else '-clear'}", "undelivered", "coordinator", code, (), False, sealed
            )
    for code in ("D2R-DEL03", "D2R-OLD02"):
        for sealed in (True, False):
            yield Wording(f"change-{code}{'' if sealed else '-clear'}", "change", "gp", code, (), True, sealed, 2)
    for key in forms():
        told = (("detail", "Dossier, Professionnel"), ("form", key))
        yield Wording(f"refusal-form-{key}", "refusal", "gp", "D2R-FRM01", told, False)
    for code, entry in table().items():
        kind = {"refused": "refusal", "held": "held", "deferred": "held"}.get(entry.outcome)
        if kind is not None:
            told = (("detail", "key"), ("forms", "2009-1"), ("type", "34794-8"), ("limit", "size"), ("fields", "Date"),
                    ("reference", "D-7F3K-9QXA"), ("keywords", "RCP, ACP, CRH"))  # fmt: skip
            yield Wording(f"{kind}-{code}", kind, "gp", code, told, False)


def newcomer(rooms: Rooms) -> Account:
    """Somebody who has asked for an account."""
    told = rooms.cast.person("no_account")
    return Account(
        id="newcomer", network="rca", kind="person", national_id=told["idnps"], family_name="MOREL",
        given_name="Denis", profession="10", structure=None, mailbox=told["mailbox"], role="professional",
        state=AccountState.ADDRESS_VERIFIED, encryption_certificate=rooms.cast.pair("gp", "encryption").certificate,
    )  # fmt: skip


class Writer:
    """Composes them, out of rooms in which two documents were deposited."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms, services = rooms, rooms.services
        with services.database.begin() as conn:
            people.add_account(conn, newcomer(rooms))
            factors.add(conn, self._factor(conn))
            self.accounts = {one.mailbox: one.id for one in people.list_accounts(conn, "rca")}
        self.deposited = []
        for kind in ("34794-8", "11488-4"):
            self.deposited.append(rooms.deposit(Draft("coordinator", "main", kind)))
            rooms.work()
        self.documents = [one for message in self.deposited for one in rooms.message(message).documents]
        gateway = services.settings.gateway
        encoded = EncodedDeposits(services.blobs, services.workdir, services.random_bytes)
        self.composer = Composer(
            gateway.address, gateway.name, gateway.product, encoded, os.urandom, services.unseal_secret, lambda _: None
        )

    def _factor(self, conn: Connection) -> Factor:
        """A key that waits for its first code."""
        gp = people.by_mailbox(conn, "rca", self.rooms.cast.person("gp")["mailbox"])[0]
        version, wrapped = self.rooms.services.keyring.wrap(bytes(range(20)).ljust(24, b"\0"))
        at = self.rooms.clock.at
        return Factor("factor", gp.id, "totp", gp.national_id, b"card", at, at, version, wrapped)

    def page(self, wording: Wording, language: str) -> Page:
        """One mail, in the language of its reader."""
        services = self.rooms.services
        with services.database.begin() as conn:
            conn.execute(update(accounts).values(language=language))
        if wording.kind == "operator":
            octets = None if wording.name.endswith("large") else b"From: a@b.example\r\n\r\nBonjour"
            certificate = self.rooms.cast.pair("gp", "encryption").certificate if wording.sealed else None
            box = OperatorBox("exploitant@ailleurs.example", language, certificate, lambda _: octets)
            self.composer = replace(self.composer, operator=box)
        with services.database.read() as conn:
            composed = self._composing(conn).compose(
                self._delivery(wording), kind=wording.kind, why=wording.why, encrypt=wording.sealed,
                now=self.rooms.clock.at,
            )  # fmt: skip
        octets = b"".join(body_chunks(composed.content))
        head = "".join(f"{name}: {value}\r\n" for name, value in composed.content_headers).encode()
        parts = {
            one.get_content_type(): one for one in reversed(list(message_from_bytes(head + b"\r\n" + octets).walk()))
        }
        text, html = (_text(parts[name]) for name in ("text/plain", "text/html"))
        return Page(wording.name, language, composed.headers.subject, text, html, wording.sealed)

    def _composing(self, conn: Connection):  # type: ignore[no-untyped-def]
        return self.composer.begin(Snapshot(conn))

    def _delivery(self, wording: Wording) -> Delivery:
        cast, at = self.rooms.cast, self.rooms.clock.at
        mailbox = cast.person(wording.to)["mailbox"]
        return Delivery(
            id="0" * 26, dedupe_key="x", kind=wording.kind, mailbox=mailbox, account=self.accounts[mailbox],
            folder=cast.folder("main")["id"] if wording.folder else None, message=self.deposited[0],
            documents=tuple(self.documents[: wording.documents]), reason=wording.code, state=DeliveryState.QUEUED,
            created_at=at, due=at, parameters=wording.parameters,
        )  # fmt: skip


def _text(part) -> str:  # type: ignore[no-untyped-def]
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets.decode().replace("\r\n", "\n")
