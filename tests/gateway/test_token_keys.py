"""The gateway's own keys in a PKCS#11 token, and renewed: the whole life of a mail (facts/mail §6, R-KEYS)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from cardworld import card
from dcc.cards.issue import IssuedCertificate, LookAlikePki
from dcc.gateway import housekeeping, keyimport
from dcc.gateway.alive import Alive
from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import BIOLOGY, RCP, Draft, document
from dcc.gateway.metrics import Metrics
from dcc.gateway.running import serving
from dcc.gateway.services import Services, open_database, open_services
from dcc.gateway.settings import load_settings
from dcc.gateway.submission import wait_for_mails
from dcc.smime.keys import KeyPair, load_pkcs12
from dcc.smime.open import open_message
from dcc.smime.tokenkey import TokenAway, TokenRsaKey
from inprocess import Rooms
from instancecopy import copied
from softhsm import GATEWAY_PIN, MODULE, HsmToken
from terminal import dcc
from throwaway import ENCRYPT, PASSWORD, opened, p12, pair, pem, root, sealed
from workedinstance import SECONDS, deposit

SIGNING, DECRYPTION = 'signing = "keys/signature.p12"\n', 'decryption = ["keys/dechiffrement.p12"]\n'


@pytest.fixture(scope="module")
def renewed() -> IssuedCertificate:
    """Another encryption certificate of the gateway's, newer than the demo's."""
    now = datetime.now(UTC).replace(microsecond=0)
    return LookAlikePki.create(now - timedelta(days=400)).issue_organisation(
        idnst="10B0057881", name="RESEAU DE DEMONSTRATION", department="Paris (75)", common_name="passerelle",
        usage="CONF", not_before=now - timedelta(days=1), not_after=now + timedelta(days=700),
        addresses=("passerelle@dcc.example",),
    )  # fmt: skip


@pytest.fixture
def new_key(renewed: IssuedCertificate, tmp_path: Path) -> tuple[Path, Path]:
    """(its PKCS#12, the file of the password)."""
    (tmp_path / "new.p12").write_bytes(p12(KeyPair(renewed.certificate, renewed.key)))
    (tmp_path / "password").write_text(PASSWORD + "\n", encoding="ascii")
    return tmp_path / "new.p12", tmp_path / "password"


def demo_key(directory: Path, name: str) -> KeyPair:
    return load_pkcs12((directory / "keys" / name).read_bytes(), b"demonstration")


@pytest.mark.peer("softhsm")
def test_the_main_job_with_the_keys_in_a_token(made: Path, tmp_path: Path, new_key: tuple[Path, Path]) -> None:
    """With every key in SoftHSM and no key file left, a mail comes in, is filed, and sealed notices go out.

    After a new decryption key is imported into the token, mail to the old certificate is still opened.
    """
    directory = tmp_path / "instance"
    copied(made, directory)
    config = directory / "dcc.toml"
    signing, decryption = demo_key(directory, "signature.p12"), demo_key(directory, "dechiffrement.p12")
    token = HsmToken.make("passerelle")
    token.put("signature", signing)
    token.put("chiffrement", decryption)
    for name in ("signature.p12", "dechiffrement.p12"):
        (directory / "keys" / name).unlink()
    (directory / "keys" / "pin").write_text(GATEWAY_PIN + "\n", encoding="ascii")
    text = config.read_text(encoding="utf-8").replace(DECRYPTION, 'decryption_labels = ["chiffrement"]\n')
    text = text.replace(SIGNING, f'pkcs11_module = "{MODULE}"\ntoken = "passerelle"\npin_file = "keys/pin"\n'
                                 'signing_label = "signature"\n')  # fmt: skip
    config.write_text(text, encoding="utf-8")
    told = dcc("check-config", "-c", config, "--json")
    assert told.code == 0, told.json
    assert any(one.startswith("keys.raw_oaep") for one in told.json["warnings"])
    config.write_text(text.replace("[trust]", "raw_oaep = true\n\n[trust]"), encoding="utf-8")
    assert not any(
        one.startswith("keys.raw_oaep") for one in dcc("check-config", "-c", config, "--json").json["warnings"]
    )

    cast = Cast.load(directory)
    source = tmp_path / "report.xml"
    source.write_bytes(
        document(cast, Draft("coordinator", "main", RCP), datetime.now(UTC).replace(microsecond=0), os.urandom)
    )
    with serving(config, log=directory / "run" / "journal.log"):
        filed = deposit(cast, config, [source], "coordinator", cast.folder("main")["address"])
        with open_database(load_settings(config, {})) as database:
            assert wait_for_mails(database, seconds=float(SECONDS))
    assert (filed.code, filed.json["state"]) == (0, "filed"), filed.err
    (mail,) = (directory / "sink" / cast.person("oncologist")["mailbox"] / "new").iterdir()
    with mail.open("rb") as octets:
        read = open_message(octets, keys=[cast.pair("oncologist", "encryption")])
    assert read.intact
    assert read.signers[0].certificate == signing.certificate
    read.close()

    done = subprocess.run(
        [sys.executable, "-m", "dcc.gateway.cli", "key", "import", new_key[0], "-c", config, "--use", "decryption",
         "--password-file", new_key[1], "--operator", "a.martin"],
        capture_output=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    with open_services(load_settings(config)) as services:
        rooms = Rooms(services)
        message = rooms.deposit(Draft("automaton", "main", BIOLOGY))
        rooms.work()
        assert rooms.message(message).state.value == "filed"
    keys = dcc("key", "list", "-c", config, "--json").json["keys"]
    assert [one["in_token"] for one in keys] == [True] * 3
    assert len({one["sha256"] for one in keys}) == 3
    assert dcc("audit", "verify", "-c", config).code == 0
    assert GATEWAY_PIN.encode() not in (directory / "run" / "journal.log").read_bytes()


@pytest.mark.peer("softhsm")
def test_an_elliptic_curve_key_in_a_token(instance: Path) -> None:
    """The gateway opens with an EC key of the token; one that is not its certificate's is found by check-config."""
    config = instance / "dcc.toml"
    token = HsmToken.make("passerelle-courbe")
    good, other = pair("p256", ENCRYPT, "passerelle"), pair("p256", ENCRYPT, "stranger")
    token.put("bonne", good)
    token.put("fausse", KeyPair(good.certificate, other.key))
    (instance / "keys" / "pin").write_text(GATEWAY_PIN + "\n", encoding="ascii")
    text = config.read_text(encoding="utf-8").replace(
        SIGNING, SIGNING + f'pkcs11_module = "{MODULE}"\ntoken = "passerelle-courbe"\npin_file = "keys/pin"\n'
    )  # fmt: skip
    config.write_text(text.replace(DECRYPTION, 'decryption_labels = ["bonne"]\n' + DECRYPTION), encoding="utf-8")
    told = dcc("check-config", "-c", config, "--json")
    assert told.code == 0, told.json
    assert [one["in_token"] for one in dcc("key", "list", "-c", config, "--json").json["keys"]] == [False, True, False]
    mail, _ = sealed(recipient=good.certificate)
    with open_services(load_settings(config)) as services:
        assert opened(mail, *services.keys.decryption).intact
    config.write_text(text.replace(DECRYPTION, 'decryption_labels = ["fausse"]\n' + DECRYPTION), encoding="utf-8")
    told = dcc("check-config", "-c", config, "--json")
    assert told.code == 78
    assert any("n'est pas celle de son certificat" in one for one in told.json["problems"])


class Away:
    """Stands for a token that is not there now."""

    def with_key(self, _label: str, _work: object) -> bytes:
        raise TokenAway("unplugged")


def test_a_token_that_is_away(services: Services) -> None:
    """Without its token the gateway refuses nothing: the mail waits, and is filed once the token is back (I1)."""
    rooms = Rooms(services)
    message = rooms.deposit()
    (held,) = services.keys.decryption
    public = x509.load_der_x509_certificate(held.certificate).public_key()
    key = TokenRsaKey(Away(), "chiffrement", public)  # type: ignore[arg-type]
    services.keys = replace(services.keys, decryption=(KeyPair(held.certificate, key),))
    rooms.work()
    assert rooms.message(message).state.value == "received"
    services.keys = replace(services.keys, decryption=(held,))
    rooms.clock.later(hours=1)
    rooms.work()
    assert rooms.message(message).state.value == "filed"


def test_import_a_decryption_key(instance: Path, new_key: tuple[Path, Path], renewed: IssuedCertificate) -> None:
    """An imported key goes before the old one, which still opens old mail; notices announce the new certificate."""
    config = instance / "dcc.toml"
    before = config.read_text(encoding="utf-8")
    options = ("-c", config, "--use", "decryption", "--password-file", new_key[1], "--json")
    done = dcc("key", "import", new_key[0], *options)
    assert done.code == 0, done.err
    place = done.json["place"]
    assert config.read_text(encoding="utf-8") == before.replace(
        DECRYPTION, f'decryption = ["{place}", "keys/dechiffrement.p12"]\n'
    )
    assert (instance / place).stat().st_mode & 0o077 == 0
    with open_services(load_settings(config)) as services:
        assert services.keys.decryption[0].certificate == renewed.certificate
        rooms = Rooms(services)  # its mails are encrypted to the certificate that was announced before
        message = rooms.deposit()
        rooms.work()
        assert rooms.message(message).state.value == "filed"
        assert rooms.audited("operator:key:imported") == [None]
    again = dcc("key", "import", new_key[0], *options)
    assert (again.code, again.out) == (1, "")
    assert "existe déjà" in again.err


@pytest.mark.parametrize("environment", ["test", "production"])
def test_the_signature_of_a_person(instance: Path, tmp_path: Path, environment: str) -> None:
    """A person's signature certificate is refused as the gateway's own in production, and taken with a warning in a test."""
    config = instance / "dcc.toml"
    text = config.read_text(encoding="utf-8").replace('environment = "test"', f'environment = "{environment}"')
    (instance / "root.pem").write_bytes(pem(root()))
    config.write_text(re.sub(r"(?m)^certificates = .*$", 'certificates = ["root.pem"]', text), encoding="utf-8")
    (tmp_path / "card.p12").write_bytes(p12(card().signature))
    (tmp_path / "password").write_text(PASSWORD, encoding="ascii")
    before = config.read_text(encoding="utf-8")
    done = dcc(
        "key",
        "import",
        tmp_path / "card.p12",
        "-c",
        config,
        "--use",
        "signing",
        "--password-file",
        tmp_path / "password",
    )
    sentence = "c'est la signature d'une personne : il faut le certificat de signature de l'organisation"
    if environment == "production":
        assert (done.code, done.out) == (1, "")
        assert f"refusé : {sentence}" in done.err
        assert config.read_text(encoding="utf-8") == before
    else:
        assert done.code == 0, done.err
        assert f"à surveiller : {sentence}" in done.err


def test_a_test_key_in_production(instance: Path, new_key: tuple[Path, Path]) -> None:
    """A certificate of a test authority is taken with a warning where the instance is in production."""
    config = instance / "dcc.toml"
    text = config.read_text(encoding="utf-8")
    (instance / "root.pem").write_bytes(pem(root()))
    text = re.sub(r"(?m)^certificates = .*$", 'certificates = ["root.pem"]', text)
    config.write_text(text.replace('environment = "test"', 'environment = "production"'), encoding="utf-8")
    done = dcc(
        "key", "import", new_key[0], "-c", config, "--use", "decryption", "--password-file", new_key[1], "--json"
    )
    assert done.code == 0, done.err
    assert "à surveiller : c'est un certificat de test" in done.err
    told = dcc("check-config", "-c", config, "--json").json["warnings"]
    assert any(one.startswith("keys.decryption : c'est un certificat de test") for one in told)


@pytest.mark.parametrize(
    ("use", "password", "said"),
    [("signing", PASSWORD, "usage CONFIDENTIALITY"), ("decryption", "wrong", "ne s'ouvre pas")],
)
def test_what_import_refuses(instance: Path, new_key: tuple[Path, Path], use: str, password: str, said: str) -> None:
    """A certificate of another usage or a wrong password: one sentence, exit 1, nothing changed."""
    config = instance / "dcc.toml"
    before = config.read_bytes(), sorted((instance / "keys").iterdir())
    new_key[1].write_text(password, encoding="ascii")
    done = dcc("key", "import", new_key[0], "-c", config, "--use", use, "--password-file", new_key[1])
    assert done.code == 1
    assert said in done.err
    assert (config.read_bytes(), sorted((instance / "keys").iterdir())) == before


def _taken(use: str, place: str, *, in_token: bool) -> keyimport.Imported:
    return keyimport.Imported(use, None, place, in_token, ())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "use", "in_token", "expected"),
    [
        ('signing = "a" # note\n', "signing", False, 'signing = "new" # note\n'),
        ("decryption = [\n  'a',\n  \"b\",\n]\n", "decryption", False, 'decryption = ["new", "a", "b"]\n'),
        ('signing = "a"\npin = "1"\n', "signing", True, 'signing_label = "new"\npin = "1"\n'),
        ('decryption = ["a"]\n', "decryption", True, 'decryption_labels = ["new"]\ndecryption = ["a"]\n'),
    ],
)
def test_the_text_of_the_settings(keys: str, use: str, in_token: bool, expected: str) -> None:
    """Only the one setting changes; comments and everything else stay."""
    text = '# head\n[smtp]\nport = 1\n\n[keys] # ours\n{}\n[trust]\nsigning = "not this"\n'
    assert keyimport.edited(text.format(keys), _taken(use, "new", in_token=in_token)) == text.format(expected)


def test_settings_written_in_another_way() -> None:
    """Where the place to change is not found, the line to write is said and nothing is guessed."""
    with pytest.raises(keyimport.ImportRefused, match=r'signing = "new"'):
        keyimport.edited('keys.signing = "a"\n', _taken("signing", "new", in_token=False))


def test_the_end_of_own_certificates(services: Services) -> None:
    """Days left are a metric; under thirty the log says it, once a day and without naming anybody."""
    end = x509.load_der_x509_certificate(services.keys.signing.certificate).not_valid_after_utc
    metrics, lines = Metrics(), []
    keeper = housekeeping.Housekeeper(
        services, metrics, frozenset({"worker"}), Alive(services.settings.directory / "run", services.owner),
        lambda: end - timedelta(days=12, hours=1),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(housekeeping.log, "warning", lambda event, **said: lines.append((event, said)), raising=False)
        keeper.watch_keys()
        keeper.watch_keys()
    found = metrics.registry.get_sample_value("dcc_own_certificate_days", {"use": "signing"})
    assert found == pytest.approx(12 + 1 / 24)
    assert lines[0] == ("own_certificate_ends", {"use": "signing", "days": 12})
    assert len([one for one in lines if one[1]["use"] == "signing"]) == 1
