"""The rules that the gateway applies around the S/MIME engine, each by its name: what passes, and what does not."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import forge
import throwaway
from dcc.cards.crl import CrlStore
from dcc.cards.trust import load_trust, trust_of
from dcc.cards.verdict import Verdict
from dcc.gateway.clients import Envelope, enveloped_mail
from dcc.gateway.demo_deposits import Draft, deposit, entity
from dcc.gateway.opening import Question, Report, report
from dcc.gateway.services import Services
from dcc.mailbox import people
from dcc.mailbox.records import MessageState
from dcc.router.reports import recognise
from dcc.smime.headerprotection import HeaderInjection
from dcc.smime.headers import decoded
from dcc.smime.keys import KeyPair, KeyUnreadable, load_pkcs12
from dcc.smime.limits import Limits
from dcc.smime.mime import clean_name
from dcc.smime.sealenveloped import MixedRecipients, UnusableRecipient
from forge import Signing, signed_data
from inprocess import Rooms
from throwaway import ENTITY, FIELDS, NOW, mail_headers, pair, part, root, sealed

CMS = "application/pkcs7-mime; name=smime.p7m"
Write = Callable[..., str]


@pytest.fixture
def rooms(services: Services) -> Rooms:
    """A gateway without any mail."""
    return Rooms(services)


@pytest.fixture
def write(rooms: Rooms) -> Write:
    """A deposit of the coordinator's, its octets changed on the way, worked on to its end; its id."""

    def call(change: Callable[[bytes], bytes] = lambda raw: raw, sender: str | None = None) -> str:
        told = Draft("coordinator", "main")
        raw = deposit(rooms.cast, told, rooms.clock.at, os.urandom)
        mailbox = rooms.cast.person("coordinator")["mailbox"]
        taken = rooms.take(change(raw), mailbox if sender is None else sender, rooms.cast.folder("main")["address"])
        rooms.work()
        return taken

    return call


def told(rooms: Rooms, message_id: str) -> tuple[MessageState, str | None]:
    """How it ended."""
    found = rooms.message(message_id)
    return found.state, found.reason_code


def judged(mail: bytes, **changes: object) -> Report:
    """The report on a mail, in the address profile unless told otherwise, with the throw-away root trusted."""
    question = Question(trust_of([root()]), CrlStore(None), NOW, profile="address", revocation=False)
    return report(io.BytesIO(mail), replace(question, **changes))  # type: ignore[arg-type]


def signed(*signers: Signing, certificates: list[bytes] | None = None) -> bytes:
    """A mail signed with the throw-away PKI, its authorities enclosed."""
    given = [pair().certificate, *pair().chain[:1]] if certificates is None else certificates
    return FIELDS + part(CMS, signed_data(ENTITY, list(signers) or None, certificates=given))


# R-FROM, RFC 5322 §3.6
def test_rule_8_r_from_every_field_there(rooms: Rooms, write: Write) -> None:
    """R-FROM: a mail with From, Date, To, Subject, Content-Type and MIME-Version, each once, is filed."""
    assert told(rooms, write())[0] is MessageState.FILED


@pytest.mark.parametrize("field", [b"Date", b"To", b"Subject", b"MIME-Version"])
def test_rule_8_r_from_missing_field(field: bytes, rooms: Rooms, write: Write) -> None:
    """R-FROM: without one of them it is refused, and the known sender is told which."""
    found = write(lambda raw: b"\r\n".join(one for one in raw.split(b"\r\n") if not one.startswith(field + b": ")))
    assert told(rooms, found) == (MessageState.REFUSED, "D2R-MAL03")
    (answer,) = rooms.deliveries()
    assert dict(answer.parameters)["fields"] == field.decode()


def test_rule_8_r_from_field_that_stands_inside(rooms: Rooms, write: Write) -> None:
    """R-FROM, RFC 9788: a field that only the signed part has is not missing, MIME-Version included (RFC 2045 §4)."""
    whole = wrapped(rooms, rooms.cast.folder("main")["address"])
    found = write(lambda _: whole.replace(b"MIME-Version: 1.0\r\n", b"", 1))
    assert told(rooms, found)[0] is MessageState.FILED


@pytest.mark.parametrize("field", [b"Subject", b"MIME-Version"])
def test_rule_8_r_from_policy_is_a_setting(field: bytes, rooms: Rooms, write: Write) -> None:
    """R-FROM: where the settings ask for From alone, a mail without Subject or MIME-Version is filed (RFC 5322 §3.6)."""
    gateway = rooms.services.settings.gateway.model_copy(update={"required_fields": ("From",)})
    rooms.services.settings = rooms.services.settings.model_copy(update={"gateway": gateway})
    found = write(lambda raw: b"\r\n".join(one for one in raw.split(b"\r\n") if not one.startswith(field + b": ")))
    assert told(rooms, found)[0] is MessageState.FILED


def test_rule_8_r_from_doubled_field(rooms: Rooms, write: Write) -> None:
    """R-FROM: two From are two senders for two readers: refused, whichever of them is known."""
    found = write(lambda raw: b"From: <gp@autre.example>\r\n" + raw)
    assert told(rooms, found) == (MessageState.REFUSED, "D2R-MAL02")


# R-INTENDED
def wrapped(rooms: Rooms, to: str) -> bytes:
    """A deposit whose fields stand under the signature too, To among them."""
    cast, at = rooms.cast, rooms.clock.at
    sender, address = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
    head = f"From: {sender}\r\nTo: {to}\r\nSubject: Compte rendu\r\nMIME-Version: 1.0\r\n"
    inner = entity(cast, Draft("coordinator", "main"), at, os.urandom)
    body = head.encode() + inner.replace(
        b"Content-Type: multipart/mixed;", b'Content-Type: multipart/mixed; hp="cipher";', 1
    )
    return deposit(cast, Draft("coordinator", "main"), at, os.urandom, to=address, body=body)


@pytest.mark.parametrize(("named", "flags"), [(True, []), (False, ["forwarded"])])
def test_rule_11_r_intended_signed_recipients(named: bool, flags: list[str], rooms: Rooms, write: Write) -> None:
    """R-INTENDED: signed To and Cc that name the served address are in order; without it the mail is flagged."""
    to = rooms.cast.folder("main")["address"] if named else "somebody@autre.example"
    found = write(lambda _: wrapped(rooms, to))
    assert told(rooms, found)[0] is MessageState.FILED
    assert f'"flags": {str(flags).replace(chr(39), chr(34))}' in rooms.message(found).evidence


def test_rule_11_r_intended_refused_where_policy_says_so(rooms: Rooms, write: Write) -> None:
    """R-INTENDED: with `refuse_forwarded` a mail that somebody passed on is refused, and its author is told."""
    gateway = rooms.services.settings.gateway.model_copy(update={"refuse_forwarded": True})
    rooms.services.settings = rooms.services.settings.model_copy(update={"gateway": gateway})
    assert told(rooms, write(lambda _: wrapped(rooms, "somebody@autre.example"))) == (MessageState.REFUSED, "D2R-FWD01")
    assert told(rooms, write(lambda _: wrapped(rooms, rooms.cast.folder("main")["address"])))[0] is MessageState.FILED


def test_rule_11_r_intended_unsigned_recipients_and_other_sender_are_noted(rooms: Rooms, write: Write) -> None:
    """R-INTENDED, R-FROM: To that nobody signed is recorded as a claim; MAIL FROM is no identity, and is compared."""
    found = rooms.message(write(sender="relais@autre.example"))
    assert found.state is MessageState.FILED
    assert '"flags": ["unprotected", "other-sender"]' in found.evidence


# R-REPLAY
def test_rule_12_r_replay_same_signature_again(rooms: Rooms) -> None:
    """R-REPLAY: the same signed content under another Message-ID and another envelope is filed once."""
    cast, at = rooms.cast, rooms.clock.at
    inner = deposit(cast, Draft("coordinator", "main"), at, os.urandom, encrypted=False)
    inner = inner[inner.index(b"Content-Type: multipart/signed") :]
    sender, to = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
    ended = []
    for number in range(2):
        envelope = Envelope(sender, to, f"Compte rendu {number}", at, f"<{number}@autre.example>")
        raw = enveloped_mail(inner, [cast.gateway_certificate()], envelope, os.urandom, shape="outlook")
        taken = rooms.take(raw, sender, to)
        rooms.work()
        ended.append(rooms.message(taken))
    assert [one.state for one in ended] == [MessageState.FILED, MessageState.FILED]
    assert [one.reason_code for one in ended] == [None, "D2R-DUP00"]
    assert ended[0].documents == ended[1].documents


@pytest.mark.parametrize(("days", "flagged"), [(6, False), (8, True)])
def test_rule_12_r_replay_time_far_from_reception(days: int, flagged: bool) -> None:
    """R-REPLAY: a signingTime more than seven days from reception is flagged, on both sides of the bound."""
    old = pair(start_days=-30)
    found = judged(
        signed(Signing(old, time=NOW - timedelta(days=days)), certificates=[old.certificate, *old.chain[:1]])
    )
    assert ("R-REPLAY" in found.findings) is flagged


# R-SIGNERS
def signed_by_several(rooms: Rooms, *names: str) -> bytes:
    """A deposit of the coordinator's that these people signed, in this order: BER sorts no set."""
    cast = rooms.cast
    who = [cast.identity(name) for name in names]
    pairs = [KeyPair(one.certificate, one.key, one.chain) for one in who]
    certificates = [one.certificate for one in pairs] + [der for one in pairs for der in one.chain]
    body = entity(cast, Draft("coordinator", "main"), rooms.clock.at, os.urandom)
    made = signed_data(
        body, [Signing(one, time=rooms.clock.at) for one in pairs], certificates=list(dict.fromkeys(certificates)),
        in_order=True,
    )  # fmt: skip
    sender, to = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
    envelope = Envelope(sender, to, "Compte rendu", rooms.clock.at, "<deux@autre.example>")
    return enveloped_mail(part(CMS, made), [cast.gateway_certificate()], envelope, os.urandom, shape="outlook")


def test_rule_5_r_signers_one_answers_for_from(rooms: Rooms, write: Write) -> None:
    """R-SIGNERS: of two signers one answers for From, in either order; the other's card is never taken for theirs."""
    for order in (("coordinator", "oncologist"), ("oncologist", "coordinator")):
        found = write(lambda _, order=order: signed_by_several(rooms, *order))
        assert told(rooms, found)[0] is MessageState.FILED
    with rooms.services.database.read() as conn:
        (account,) = people.by_mailbox(conn, None, rooms.cast.person("coordinator")["mailbox"])
    assert account.card_certificate == rooms.cast.identity("coordinator").certificate
    assert rooms.message(found).signer == account.id


def test_rule_5_r_signers_nobody_answers_for_from(rooms: Rooms, write: Write) -> None:
    """R-SIGNERS: two good signers of whom none is the sender: refused."""
    assert told(rooms, write(lambda _: signed_by_several(rooms, "oncologist", "gp"))) == (
        MessageState.REFUSED,
        "D2R-ACC02",
    )


def test_rule_5_r_signers_some_answer_for_from(rooms: Rooms, write: Write) -> None:
    """R-SIGNERS: every signer answers for From, or exactly one; two of three do not."""
    every = write(lambda _: signed_by_several(rooms, "coordinator", "coordinator"))
    assert told(rooms, every)[0] is MessageState.FILED
    some = write(lambda _: signed_by_several(rooms, "coordinator", "oncologist", "coordinator"))
    assert told(rooms, some) == (MessageState.REFUSED, "D2R-MAL02")


# R-TIME
@pytest.mark.parametrize(("hours", "verdict"), [(1, Verdict.VALID), (48, Verdict.NOT_YET_VALID)])
def test_rule_15_r_time_at_signing_too(hours: int, verdict: Verdict) -> None:
    """R-TIME: good today is not enough: the certificate must have been in its dates at signingTime too."""
    found = judged(signed(Signing(time=NOW - timedelta(hours=hours))))
    assert found.judgement is not None
    assert found.judgement.verdict is verdict


def test_rule_15_r_time_in_the_gateway(rooms: Rooms, write: Write) -> None:
    """R-TIME: a deposit that claims a time before its card was issued is refused like a card not yet valid."""
    cast = rooms.cast
    one = cast.identity("coordinator")
    card = KeyPair(one.certificate, one.key, one.chain)

    def claims(at: datetime) -> bytes:
        body = entity(cast, Draft("coordinator", "main"), rooms.clock.at, os.urandom)
        made = part(CMS, signed_data(body, [Signing(card, time=at)], certificates=[card.certificate, *card.chain]))
        sender, to = cast.person("coordinator")["mailbox"], cast.folder("main")["address"]
        envelope = Envelope(sender, to, "Compte rendu", rooms.clock.at, "<temps@autre.example>")
        return enveloped_mail(made, [cast.gateway_certificate()], envelope, os.urandom, shape="outlook")

    assert told(rooms, write(lambda _: claims(rooms.clock.at)))[0] is MessageState.FILED
    early = rooms.clock.at - timedelta(days=4000)
    assert told(rooms, write(lambda _: claims(early))) == (MessageState.REFUSED, "D2R-CRD03")


# R-REVOC
def test_rule_16_r_revoc(made: Path, rooms: Rooms) -> None:
    """R-REVOC: with a fresh list the card is good; without one nobody knows, and it is never called valid."""
    cast = rooms.cast
    mail = deposit(cast, Draft("oncologist", "main"), NOW, os.urandom, encrypted=False)
    trust = load_trust([cast.directory / one for one in cast.told["anchors"]], "test")
    lists = CrlStore(None)
    for one in cast.told["crls"]:
        lists.add((cast.directory / one).read_bytes())
    common = {"trust": trust, "profile": "card", "revocation": True, "at": rooms.clock.at}
    assert judged(mail, crls=lists, **common).outcome == "authentic"
    assert (judged(mail, **common).outcome, judged(mail, **common).reason) == ("indeterminate", "D2R-CRL03")


# R-PATH
@pytest.mark.parametrize(("noise", "trusted"), [(28, True), (40, False)])
def test_rule_17_r_path_candidates_are_bounded(noise: int, trusted: bool) -> None:
    """R-PATH: a path is sought among thirty of the mail's certificates; an authority behind them is not found."""
    others = [pair(who=f"noise{number}", kind="p256").certificate for number in range(noise)]
    found = judged(signed(certificates=[pair().certificate, *others, pair().chain[0]]))
    assert found.trusted is trusted


# R-USAGE, R-HEADER-OUT
def test_rule_18_r_usage_recipients() -> None:
    """R-USAGE: a seal for an encryption certificate is made; for a signature certificate, or RSA with EC: refused."""
    assert sealed(recipient=pair("rsa", throwaway.ENCRYPT, "reader").certificate)[1].size
    with pytest.raises(UnusableRecipient):
        sealed(recipient=pair().certificate)
    both = [pair(kind, throwaway.ENCRYPT, "reader").certificate for kind in ("rsa", "p256")]
    with pytest.raises(MixedRecipients):
        sealed(recipient=both)


def test_rule_22_r_header_out() -> None:
    """R-HEADER-OUT: a subject in any language goes out encoded; one with a line end goes nowhere."""
    assert b"\r\nBcc:" not in sealed(headers=mail_headers(subject="Élise, 2e avis"))[0]
    for sign in "\r\n\0":
        with pytest.raises(HeaderInjection):
            sealed(headers=mail_headers(subject=f"a{sign}Bcc: x@dcc.example"))


# R-LOOP
@pytest.mark.parametrize("field", [b"Auto-Submitted: auto-replied", b"Precedence: list", b"Precedence: bulk"])
def test_rule_23_r_loop_automatic_mail_is_not_answered(field: bytes, rooms: Rooms, write: Write) -> None:
    """R-LOOP: automatic and list mail ends `done`, and nobody is written to (RFC 3834 §2)."""
    raw = field + b"\r\n" + FIELDS + b"\r\nabsente\r\n"
    assert recognise(io.BytesIO(raw), len(raw), limits=Limits(), mail_from="a@dcc.example") is not None
    found = write(lambda _: raw)
    assert told(rooms, found)[0] is MessageState.DONE
    assert rooms.deliveries() == []


def test_rule_23_r_loop_no_receipt_for_what_was_not_opened(rooms: Rooms, write: Write) -> None:
    """R-LOOP: a receipt asked for is sent for a mail that was opened, never for one that could not be decrypted."""
    sender = rooms.cast.person("coordinator")["mailbox"]
    asked = f"Disposition-Notification-To: {sender}\r\n".encode()
    write(lambda raw: asked + raw[:-40] + b"\r\n")
    (answer,) = rooms.deliveries("coordinator")
    assert "mdn" not in dict(answer.parameters)
    assert answer.reason == "D2R-NTR00"


# R-KEYS, R-NAME
def test_rule_24_r_keys() -> None:
    """R-KEYS: a key file opens with its password; neither the key nor a wrong password is ever shown."""
    data = throwaway.p12(pair())
    assert "key" not in repr(load_pkcs12(data, throwaway.PASSWORD.encode()))
    with pytest.raises(KeyUnreadable) as refused:
        load_pkcs12(data, b"a wrong password")
    assert "a wrong password" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("compte rendu.pdf", "compte rendu.pdf"), ("../../etc/passwd", "passwd"), ("a\u202efdp.exe", "afdp.exe"),
     ("con.pdf", "_con.pdf"), ("x" * 500 + ".pdf", "x" * 116 + ".pdf"), ("..", None)],
)  # fmt: skip
def test_rule_25_r_name(name: str, kept: str | None) -> None:
    """R-NAME: an ordinary name stays; path, override, device and length are taken away, and a false charset is read."""
    assert clean_name(name) == kept
    assert decoded(b"=?x-no-such-charset?Q?caf=C3=A9?=") == "café"


# R-ORACLE, I5
def test_rule_13_r_oracle_forged_content_is_neutral(rooms: Rooms, write: Write) -> None:
    """R-ORACLE: a good mail is answered exactly; an envelope with a wrong key only by the one neutral sentence."""
    cast = rooms.cast
    good = write()
    cert = KeyPair(cast.gateway_certificate(), throwaway._key("rsa", "nobody"))
    bad = write(lambda raw: raw[: raw.index(b"Content-Type:")] + part(CMS, forge.enveloped_data(
        ENTITY, [forge.key_transport(bytes(32), cert)], cek=bytes(32))))  # fmt: skip
    assert told(rooms, good)[0] is MessageState.FILED
    assert told(rooms, bad)[1] in {"D2R-OPN01", "D2R-SIG01"}  # one garbage in 256 ends like a padding
    assert {one.reason for one in rooms.deliveries("coordinator")} == {None, "D2R-NTR00"}
