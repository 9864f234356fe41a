"""How each reader is written to: what every client reads, and more only where the reader or the settings say so."""

from __future__ import annotations

import io
import os
from datetime import timedelta

import pytest

from dcc.gateway.clients import Envelope, enveloped_mail
from dcc.gateway.demo_deposits import Draft, entity
from dcc.gateway.services import Services
from dcc.gateway.settings import ConfigurationError, load_settings
from dcc.gateway.settings_sections import CorrespondentSettings
from dcc.gateway.writing import profile_for
from dcc.mailbox import capabilities as store
from dcc.mailbox.records import MessageState
from dcc.smime import der
from dcc.smime.capabilities import AES_256_GCM, CAPABILITIES, RSA_OAEP
from dcc.smime.keys import KeyPair
from dcc.smime.open import open_message
from dcc.smime.seal import Profile
from forge import Signing, signed_data
from inprocess import Recorder, Rooms
from throwaway import ENCRYPT, pair, part

CBC = "2.16.840.1.101.3.4.1.42"


def chosen(*announced: str, certificate: bytes | None = None, **told: str) -> Profile:
    """The profile for a reader, with one correspondent in the settings."""
    correspondents = [CorrespondentSettings(address="@autre.example", **told)] if told else []  # type: ignore[arg-type]
    return profile_for("a@autre.example", certificate, announced, base=Profile(), correspondents=correspondents)


def test_default_is_what_everybody_reads() -> None:
    """Nothing known, or nothing but CBC: AES-256-CBC, RSA v1.5, SHA-256, RFC 9788 (facts: interoperability)."""
    for known in ((), (CBC,), ("1.2.3",)):
        found = chosen(*known, certificate=pair("rsa", ENCRYPT, "reader").certificate)
        assert (found.cipher, found.key_transport, found.digest) == ("aes256-cbc", "rsa", "sha256")
        assert found.header_protection == "rfc9788"


def test_announced_is_used() -> None:
    """AES-256-GCM and OAEP, each only for a reader who announced it."""
    assert (chosen(AES_256_GCM).cipher, chosen(AES_256_GCM).key_transport) == ("aes256-gcm", "rsa")
    assert (chosen(RSA_OAEP).cipher, chosen(RSA_OAEP).key_transport) == ("aes256-cbc", "oaep")


def test_settings_have_the_last_word() -> None:
    """A setting for the correspondent raises, lowers, and chooses the wrapping; another domain is not concerned."""
    assert chosen(cipher="aes256-gcm").cipher == "aes256-gcm"
    assert chosen(AES_256_GCM, cipher="aes256-cbc").cipher == "aes256-cbc"
    assert chosen(RSA_OAEP, header_protection="wrapped").key_transport == "oaep"
    assert chosen(header_protection="wrapped").header_protection == "wrapped"
    other = [CorrespondentSettings(address="a@autre.example", cipher="aes256-gcm")]
    assert profile_for("b@autre.example", None, (), base=Profile(), correspondents=other).cipher == "aes256-cbc"


def test_settings_are_read(services: Services) -> None:
    """`[[correspondents]]` in dcc.toml: read, and refused in a clear line where it is wrong."""
    config = services.settings.directory / "dcc.toml"
    told = config.read_text(encoding="utf-8")
    config.write_text(told + '\n[[correspondents]]\naddress = "@Autre.example"\nheader_protection = "wrapped"\n')
    assert load_settings(config, {}).correspondents[0].names("x@autre.EXAMPLE")
    config.write_text(told + '\n[[correspondents]]\naddress = "autre"\n')
    with pytest.raises(ConfigurationError) as refused:
        load_settings(config, {})
    assert "correspondents.0.address" in refused.value.problems[0]


@pytest.fixture
def rooms(services: Services) -> Rooms:
    """A gateway without any mail."""
    return Rooms(services)


def write(rooms: Rooms, who: str, *announced: str) -> str:
    """A deposit whose signature announces these algorithms."""
    cast, at = rooms.cast, rooms.clock.at
    one = cast.identity(who)
    more = [der.attribute(CAPABILITIES, der.sequence(*(der.algorithm(oid) for oid in announced)))]
    card = KeyPair(one.certificate, one.key, one.chain)
    body = entity(cast, Draft(who, "main"), at, os.urandom)
    made = signed_data(body, [Signing(card, time=at, more=more)], certificates=[card.certificate, *card.chain])
    sender, to = cast.person(who)["mailbox"], cast.folder("main")["address"]
    envelope = Envelope(sender, to, "Compte rendu", at, f"<{os.urandom(8).hex()}@autre.example>")
    raw = enveloped_mail(
        part("application/pkcs7-mime; name=smime.p7m", made), [cast.gateway_certificate()], envelope, os.urandom,
        shape="outlook",
    )  # fmt: skip
    taken = rooms.take(raw, sender, to)
    rooms.work()
    assert rooms.message(taken).state is MessageState.FILED
    return taken


def layer(rooms: Rooms, who: str) -> dict[str, str]:
    """The outer layer of the newest mail to a person."""
    relay = Recorder()
    announcer = rooms.announcer(relay)
    while announcer.run_once():
        pass
    own = rooms.cast.pair(who, "encryption")
    newest = relay.to(rooms.cast.person(who)["mailbox"])[-1]
    found = open_message(io.BytesIO(newest), keys=[KeyPair(own.certificate, own.key)])
    assert found.problem is None
    return dict(found.layers[0].algorithms)


def test_capabilities_are_remembered(rooms: Rooms) -> None:
    """A reader whose own signed mail announced GCM and OAEP is written to so, until a newer one says otherwise."""
    write(rooms, "coordinator")
    assert layer(rooms, "oncologist") == {"content": "aes256-cbc", "key": "rsa"}
    rooms.clock.later(minutes=1)
    write(rooms, "oncologist", CBC, AES_256_GCM, RSA_OAEP)
    rooms.clock.later(minutes=1)
    write(rooms, "coordinator")
    found = layer(rooms, "oncologist")
    assert found["content"] == "aes256-gcm"
    assert found["key"].startswith("rsa-oaep")
    rooms.clock.later(minutes=1)
    write(rooms, "oncologist", CBC)
    rooms.clock.later(minutes=1)
    write(rooms, "coordinator")
    assert layer(rooms, "oncologist") == {"content": "aes256-cbc", "key": "rsa"}
    assert rooms.audited("mail:account:capabilities_seen") == [None, None]


def test_an_older_signature_changes_nothing(rooms: Rooms) -> None:
    """What a newer signature said stays, whatever an older one says when it arrives later (RFC 8551 §2.7.2)."""
    account = rooms.cast.person("oncologist")
    at = rooms.clock.at
    with rooms.services.database.begin() as conn:
        from dcc.mailbox import people

        (one, *_) = people.by_mailbox(conn, None, account["mailbox"])
        store.remember(conn, one.id, (CBC, AES_256_GCM), at)
        store.remember(conn, one.id, (CBC,), at - timedelta(days=1))
        assert store.announced(conn, one.id) == (CBC, AES_256_GCM)
        store.remember(conn, one.id, (CBC,), at + timedelta(days=1))
        assert store.announced(conn, one.id) == (CBC,)
