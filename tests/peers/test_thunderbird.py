"""Thunderbird, as a clinician has it: reads what the gateway seals, learns its certificate, sends it a report."""

from __future__ import annotations

import email
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import Draft, deposit, entity
from dcc.gateway.instance import initialise
from dcc.gateway.running import serving
from dcc.gateway.submission import submit, wait_for_end, wait_for_mails
from dcc.mailbox import messages
from dcc.mailbox.database import Database
from dcc.mailbox.records import Message
from dovecot import PASSWORD as MAILBOX_PASSWORD
from dovecot import Dovecot
from interop import Row, made_by_us, rows
from peerprograms import key_file
from postoffice import free_port
from throwaway import ENCRYPT, PASSWORD, p12, root
from thunderbird import STEP_SECONDS, Chosen, NotSent, Thunderbird

pytestmark = [pytest.mark.peer("thunderbird", "nss", "dovecot", "openssl"), pytest.mark.timeout(300)]

SECONDS = 60.0
GATEWAY = "depot@rca.dcc.example"
SIGNED, ENCRYPTED = "message-signed-ok.svg", "message-encrypted-ok.svg"
SOFTHSM = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "1234"  # a card's code has four digits
SENTENCE = "Compte rendu de RCP."
THUNDERBIRD_MAKES = [
    {"kind": "enveloped", "content": "aes128-cbc", "key": "rsa"},
    {"kind": "signed", "digest": "sha256", "signature": "rsa", "form": "detached", "signers": "1"},
]


@dataclass
class Desk:
    """A clinician's desk: Thunderbird, a mailbox, and a gateway that runs."""

    thunderbird: Thunderbird
    dovecot: Dovecot
    cast: Cast
    database: Database
    smtp: str
    keys: dict[str, int]  # what came of importing each
    delivered: int = 0

    def deliver(self, mails: list[bytes]) -> list[str]:
        """Put mails into the mailbox and have them fetched; their Message-IDs."""
        for mail in mails:
            self.delivered += 1
            self.dovecot.deliver(self.mailbox, f"{self.delivered}.test", mail)
        names = [str(email.message_from_bytes(mail)["Message-ID"]) for mail in mails]
        self.thunderbird.fetch(names)
        return names

    @property
    def mailbox(self) -> str:
        address: str = self.cast.person("oncologist")["mailbox"]
        return address


def _import_keys(thunderbird: Thunderbird, cast: Cast, store: Path, folder: Path) -> dict[str, int]:
    """The oncologist's card as a file, the encryption keys of both people, and the readers of the tables."""
    people = {"card": ("oncologist", "card"), "oncologist": ("oncologist", "encryption"), "gp": ("gp", "encryption")}
    files = {name: p12(cast.pair(*which), name.encode(), legacy=True) for name, which in people.items()}
    for kind in ("rsa", "p256", "p384", "p521", "x25519"):
        files[kind] = key_file(store, kind, ENCRYPT, "reader", kind)
    outcomes = {}
    for name, data in files.items():
        (folder / f"{name}.p12").write_bytes(data)
        outcomes[name] = thunderbird.import_key(folder / f"{name}.p12", PASSWORD)
    return outcomes


def _insert_card(thunderbird: Thunderbird, cast: Cast, folder: Path) -> None:
    """A second person's card, in a token: its signature certificate bears no address."""
    tokens = folder / "tokens"
    tokens.mkdir()
    config = folder / "softhsm2.conf"
    config.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    subprocess.run(
        ["softhsm2-util", "--init-token", "--free", "--label", "CPS", "--so-pin", "12345678", "--pin", PIN],
        env={**os.environ, "SOFTHSM2_CONF": str(config)}, check=True, capture_output=True,
    )  # fmt: skip
    card = folder / "card-in-token.p12"
    card.write_bytes(p12(cast.pair("gp", "card"), b"Certificat de Signature CPS", legacy=True))
    thunderbird.add_token(SOFTHSM, "CPS", card, PASSWORD, config)


@pytest.fixture(scope="module")
def desk(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Everything started once; Thunderbird trusts the roots and knows no certificate of the gateway's."""
    folder = tmp_path_factory.mktemp("desk")
    instance = folder / "instance"
    settings = initialise(instance, demo=True, now=datetime.now(UTC).replace(microsecond=0))
    cast = Cast.load(instance)
    database = Database(settings.database_url)
    dovecot = Dovecot(free_port())
    try:
        with serving(instance / "dcc.toml", log=folder / "journal.log") as ready:
            port = int(ready["smtp"].rpartition(":")[2])
            thunderbird = Thunderbird(folder, _prefs(cast, dovecot.port, port), code=PIN)
            (folder / "essai.der").write_bytes(root())
            anchors = [instance / one for one in cast.told["anchors"] if "racine" in one]
            thunderbird.trust([*anchors, folder / "essai.der"])
            if Path(SOFTHSM).exists():
                _insert_card(thunderbird, cast, folder)
            try:
                thunderbird.start()
                thunderbird.sign_in(cast.person("oncologist")["mailbox"], MAILBOX_PASSWORD)
                keys = _import_keys(thunderbird, cast, store, folder)
                yield Desk(thunderbird, dovecot, cast, database, ready["smtp"], keys)
            finally:
                thunderbird.stop()
    finally:
        dovecot.stop()
        database.close()


def _prefs(cast: Cast, imap: int, smtp: int) -> dict[str, object]:
    """One account; a second identity for the person whose card is in the token."""
    prefs: dict[str, object] = {
        "mail.server.server1.port": imap,
        "mail.server.server1.userName": cast.person("oncologist")["mailbox"],
        "mail.smtpserver.smtp1.port": smtp,
    }
    for key, who in (("id1", "oncologist"), ("id2", "gp")):
        prefs[f"mail.identity.{key}.useremail"] = cast.person(who)["mailbox"]
        prefs[f"mail.identity.{key}.fullName"] = cast.person(who)["name"]
    return prefs


@pytest.fixture(scope="module")
def report(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """A colleague's report, filed and sealed for the oncologist, read in Thunderbird; and the screen at that moment."""
    at = datetime.now(UTC).replace(microsecond=0)
    mail = deposit(desk.cast, Draft("coordinator", "main"), at)
    sender = desk.cast.person("coordinator")["mailbox"]
    queued = submit(desk.smtp, mail, sender=sender, recipient=desk.cast.folder("main")["address"])
    filed = wait_for_end(desk.database, queued, seconds=SECONDS)
    assert filed is not None
    assert filed.state.value == "filed"
    assert wait_for_mails(desk.database, seconds=SECONDS)
    sealed = [one.read_bytes() for one in (desk.cast.directory / "sink" / desk.mailbox / "new").iterdir()]
    assert len(sealed) == 1
    assert desk.thunderbird.knows(GATEWAY) == []
    found = desk.thunderbird.read(desk.deliver(sealed)[0], "IHE_XDM.zip s'intègre dans votre logiciel")
    picture = tmp_path_factory.mktemp("screen") / "read.png"
    desk.thunderbird.screenshot(picture)
    return [found.signed, found.encrypted, found.text], picture


def test_a_sealed_report_shows_both_marks(report: tuple[list[str], Path]) -> None:
    """What the gateway sealed is shown as signed and as encrypted, with its text; the screen is not blank."""
    (signed, encrypted, text), picture = report
    assert (signed, encrypted) == (SIGNED, ENCRYPTED)
    assert "Un nouveau document dans le dossier" in text
    assert picture.stat().st_size > 20_000


def test_the_gateway_certificate_is_learnt_by_reading(desk: Desk, report: tuple[list[str], Path]) -> None:
    """One signed mail is enough: the encryption certificate that it announces is known for the network's address."""
    assert desk.thunderbird.knows(GATEWAY) == ["passerelle-dcc-CONF"]


def _written(desk: Desk, who: str, folder: Path) -> list[Path]:
    """The files that the clinician's software makes, to be attached."""
    at = datetime.now(UTC).replace(microsecond=0)
    files = []
    for part in email.message_from_bytes(entity(desk.cast, Draft(who, "main"), at, os.urandom)).walk():
        if part.get_filename():
            files.append(folder / str(part.get_filename()))
            files[-1].write_bytes(part.get_payload(decode=True))  # type: ignore[arg-type]
    return files


def _layers(message: Message) -> list[dict[str, str]]:
    """The layers that the gateway found, as it keeps them in evidence."""
    assert message.evidence is not None
    found: list[dict[str, str]] = json.loads(message.evidence)["opened"]["layers"]
    return found


def _sent(desk: Desk, who: str, identity: str, folder: Path) -> Message:
    """Sent from Thunderbird to the network's address, with the folder's reference in the subject; its end."""
    with desk.database.read() as conn:
        before = messages.known_ids(conn, [one.id for one in messages.list_messages(conn)])
    subject = f"Compte rendu [{desk.cast.folder('main')['reference']}]"
    files = _written(desk, who, folder)
    desk.thunderbird.send(identity, GATEWAY, subject, "Veuillez trouver le compte rendu joint.\n", files)
    with desk.database.read() as conn:
        new = [one.id for one in messages.list_messages(conn) if one.id not in before]
    assert len(new) == 1
    found = wait_for_end(desk.database, new[0], seconds=SECONDS)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def key_file_chosen(desk: Desk) -> Chosen:
    """The oncologist's account: the card's key from a file signs, another certificate encrypts."""
    desk.thunderbird.choose("id1", "encryption", "oncologist")
    return desk.thunderbird.choose("id1", "signing", "card")


def test_a_report_signed_with_a_key_file_is_filed(
    desk: Desk, report: tuple[list[str], Path], key_file_chosen: Chosen, tmp_path: Path
) -> None:
    """Signed with a card's key in PKCS#12, encrypted to the certificate learnt: the gateway files it."""
    assert key_file_chosen.address == "(no email address)"
    found = _sent(desk, "oncologist", "id1", tmp_path)
    assert (found.state.value, found.reason_code) == ("filed", None)
    assert _layers(found) == THUNDERBIRD_MAKES
    assert {row.key for row in rows("we_read") if row.found.get("thunderbird") == "yes"} == {
        "rsa-aes128-cbc", "rsa-sha256-detached",
    }  # fmt: skip


@pytest.mark.peer("softhsm")
def test_a_report_signed_with_a_card_is_filed(desk: Desk, report: tuple[list[str], Path], tmp_path: Path) -> None:
    """Signed in a token by a certificate without any address, after its code was typed: the gateway files it."""
    card = desk.thunderbird.choose("id2", "signing", "Certificat de Signature CPS")
    assert (card.address, card.token) == ("(no email address)", "CPS")
    desk.thunderbird.choose("id2", "encryption", "gp")
    found = _sent(desk, "gp", "id2", tmp_path)
    assert (found.state.value, found.reason_code) == ("filed", None)
    assert _layers(found) == THUNDERBIRD_MAKES
    assert "CPS" in desk.thunderbird.codes_asked()[0]


def test_a_folder_address_has_no_certificate(
    desk: Desk, report: tuple[list[str], Path], key_file_chosen: Chosen
) -> None:
    """Thunderbird finds certificates by address, and a folder's address is in none: it will not send there encrypted."""
    address = desk.cast.folder("main")["address"]
    assert desk.thunderbird.knows(address) == []
    with pytest.raises(NotSent, match="failed to find an encryption certificate"):
        desk.thunderbird.send("id1", address, "Compte rendu", "Veuillez trouver le compte rendu joint.\n", [])


@pytest.fixture(scope="module")
def table(desk: Desk, report: tuple[list[str], Path]) -> dict[str, str]:
    """A mail for each line of the table, all in the mailbox; line -> Message-ID."""
    told = rows("we_write")
    mails = [made_by_us(row.case).replace(b"<1.2@", b"<%d.3@" % at, 1) for at, row in enumerate(told)]
    return dict(zip([row.key for row in told], desk.deliver(mails), strict=True))


@pytest.mark.parametrize("row", rows("we_write"), ids=[row.key for row in rows("we_write")])
def test_what_we_write(row: Row, desk: Desk, table: dict[str, str]) -> None:
    """Thunderbird shows our mail with its marks and its text, or what the table says that it shows instead."""
    expected = row.found["thunderbird"]
    encrypted = row.case.recipient is not None
    patience = STEP_SECONDS / 2 if expected == "yes" else 1.0
    found = desk.thunderbird.read(table[row.key], SENTENCE, encrypted=encrypted, patience=patience)
    marks = [one.removesuffix(".svg") for one in (found.signed, found.encrypted) if one]
    outcome = f"no: {', '.join(marks) or 'no mark'}{'' if SENTENCE in found.text else ', empty body'}"
    if (found.signed, found.encrypted) == (SIGNED, ENCRYPTED if encrypted else "") and SENTENCE in found.text:
        outcome = "yes"
    assert outcome == expected
    assert {name for name, refused in desk.keys.items() if refused} == {"x25519"}
