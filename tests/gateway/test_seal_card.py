"""`dcc seal --pkcs11`: a card signs, and three wrong PINs end the trying (facts/cards §7); SoftHSM is the card."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pytest

from dcc.cards import cardtoken
from dcc.cards.cardtoken import NoTryLeft, PinTries, known_modules
from dcc.gateway import cardsigner
from softhsm import MODULE, PIN, HsmToken
from terminal import Done, dcc
from throwaway import ENCRYPT, opened, pair, pem

MAIL = b"From: dr@dcc.example\r\nTo: passerelle@dcc.example\r\nSubject: RCP\r\n\r\nCompte rendu.\r\n"


@dataclass(frozen=True)
class Desk:
    """A workstation with a card in its reader."""

    folder: Path
    label: str
    module: str = str(MODULE)

    def seal(self, pin: str, *options: str) -> Done:
        """`dcc seal` with the PIN in a file."""
        (self.folder / "pin").write_text(pin + "\n", encoding="ascii")
        return dcc(
            "seal", self.folder / "mail.eml", "--pkcs11", self.module, "--token", self.label,
            "--pin-file", self.folder / "pin", "--recipient", self.folder / "reader.pem",
            "--out", self.folder / "sealed.eml", *options, environment={"XDG_STATE_HOME": str(self.folder / "state")},
        )  # fmt: skip


def desk(folder: Path, label: str) -> Desk:
    (folder / "mail.eml").write_bytes(MAIL)
    (folder / "reader.pem").write_bytes(pem(pair("rsa", ENCRYPT, "reader").certificate))
    return Desk(folder, label)


@pytest.fixture(scope="module")
def card() -> str:
    """A card as a CPS is: a signature and an authentication key, each with its label."""
    card = HsmToken.make("carte")
    card.put(cardtoken.SIGNATURE_KEY, pair("rsa", "sign", "card"), cardtoken.SIGNATURE_CERTIFICATE)
    card.put("CPS_PRIV_AUT", pair("rsa", "sign", "card-authentication"), "Certificat d'Authentification CPS")
    return card.label


@pytest.mark.peer("softhsm")
def test_the_signature_key_signs(card: str, tmp_path: Path) -> None:
    """The signature is made with CPS_PRIV_SIG and carries the certificate `Certificat de Signature CPS`."""
    done = desk(tmp_path, card).seal(PIN)
    assert done.code == 0, done.err
    read = opened((tmp_path / "sealed.eml").read_bytes())
    assert read.intact
    assert [one.certificate for one in read.signers] == [pair("rsa", "sign", "card").certificate]


@pytest.mark.peer("softhsm")
def test_a_card_with_an_elliptic_curve(tmp_path: Path) -> None:
    """A card whose signature key is on a curve signs as one with RSA does."""
    made = HsmToken.make("carte-courbe")
    made.put(cardtoken.SIGNATURE_KEY, pair("p256", "sign", "card"), cardtoken.SIGNATURE_CERTIFICATE)
    done = desk(tmp_path, made.label).seal(PIN)
    assert done.code == 0, done.err
    read = opened((tmp_path / "sealed.eml").read_bytes())
    assert read.intact
    assert [one.certificate for one in read.signers] == [pair("p256", "sign", "card").certificate]


@pytest.mark.peer("softhsm")
def test_the_library_is_found(card: str, tmp_path: Path) -> None:
    """`--pkcs11 auto` takes the first known library that is there; without any the places are named."""
    place = Desk(desk(tmp_path, card).folder, card, "auto")
    with patch.object(cardsigner, "known_modules", lambda: (tmp_path / "absent.so", MODULE)):
        assert place.seal(PIN).code == 0
    with patch.object(cardsigner, "known_modules", lambda: (tmp_path / "absent.so",)):
        done = place.seal(PIN)
    assert done.code == 2
    assert "absent.so" in done.err


@pytest.mark.peer("softhsm")
def test_three_wrong_pins(tmp_path: Path) -> None:
    """Each wrong PIN is given once; a fourth, even the right one, is refused before the card sees it."""
    made = HsmToken.make("carte-bloquee")
    made.put(cardtoken.SIGNATURE_KEY, pair("rsa", "sign", "card"), cardtoken.SIGNATURE_CERTIFICATE)
    place = desk(tmp_path, made.label)
    told = [place.seal(wrong) for wrong in ("0001", "0002", "0003")]
    assert [one.code for one in told] == [1, 1, 1]
    assert [one.err.split("reste ")[1][0] for one in told] == ["2", "1", "0"]
    with patch.object(cardsigner, "open_token", side_effect=AssertionError("the card was asked")):
        fourth = place.seal(PIN)
    assert fourth.code == 1
    assert "Trois codes faux" in fourth.err
    assert not (tmp_path / "sealed.eml").exists()
    assert place.seal(PIN, "--card-unblocked").code == 0
    assert place.seal("0001").code == 1
    assert place.seal(PIN).code == 0, "a right PIN forgets the wrong ones"
    kept = [one.read_bytes() for one in (tmp_path / "state").rglob("*") if one.is_file()]
    assert kept
    assert not [one for one in kept for secret in ("0001", "0002", "0003", PIN) if secret.encode() in one]


def test_a_card_or_a_file(tmp_path: Path) -> None:
    """One signer is wanted: a PKCS#12 or a card, not both and not none."""
    (tmp_path / "mail.eml").write_bytes(MAIL)
    wanted = ("seal", tmp_path / "mail.eml", "--recipient", "x.pem")
    for options in ((), ("--signer", "x.p12", "--pkcs11", "auto")):
        done = dcc(*wanted, *options)
        assert done.code == 2
        assert "--pkcs11" in done.err


def test_tries_are_counted_before_they_are_made(tmp_path: Path) -> None:
    """A program that dies while the card looks at the PIN has used a try; a damaged count leaves none."""
    tries = PinTries(tmp_path, "card")
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt), tries.attempt():
            raise KeyboardInterrupt
    with pytest.raises(NoTryLeft), PinTries(tmp_path, "card").attempt():
        pass
    tries.forget()
    assert tries.wrong == 0
    (tmp_path / "card").write_text("?", encoding="ascii")
    assert tries.wrong == 3


@pytest.mark.parametrize(
    ("platform", "name"),
    [("win32", "cps3_pkcs11_w64.dll"), ("linux", "libcps3_pkcs11_lux.so"), ("darwin", "libcps3_pkcs11_osx.dylib")],
)
def test_known_libraries(platform: str, name: str) -> None:
    """The card's library has another name on each system; an unknown system has none."""
    assert known_modules(platform)[0].name == name
    assert known_modules("plan9") == ()
