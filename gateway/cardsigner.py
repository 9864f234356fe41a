"""A real card that signs: its library found, its PIN tried once, its signature key (never the other one) taken."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dcc.cards.cardtoken import SIGNATURE_CERTIFICATE, SIGNATURE_KEY, TRIES, NoTryLeft, PinTries, known_modules
from dcc.smime.keys import KeyPair
from dcc.smime.token import PinRefused, Token, TokenRefused, open_token
from dcc.smime.tokenkey import TokenAway

AUTO = "auto"


class CardRefused(Exception):
    """The card cannot sign; the text is for the person. `usage`: an option is wrong."""

    def __init__(self, text: str, *, usage: bool = False) -> None:
        super().__init__(text)
        self.usage = usage


@dataclass(frozen=True, slots=True)
class CardRequest:
    """Which card, and who knows its PIN. `unblocked`: the person says that the card was unblocked since."""

    module: str  # a path, or "auto": the known places
    token: str | None
    pin: Callable[[], str]
    unblocked: bool = False
    states: Path | None = None


def states_folder() -> Path:
    """Where wrong PINs are counted."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "dcc" / "card-pins"


def card_pair(request: CardRequest) -> KeyPair:
    """The card's signature key and certificate, the PIN having been given once. Raises CardRefused."""
    module = _module(request.module)
    try:
        tries = PinTries(request.states or states_folder(), Token(module, request.token, None).identity)
        if request.unblocked:
            tries.forget()
        if tries.wrong >= TRIES:
            raise NoTryLeft  # before the person is asked for a PIN
        pin = request.pin()
        with tries.attempt():
            try:
                token = open_token(module, request.token, pin)
            except PinRefused:
                raise
            except TokenRefused:
                tries.not_judged()
                raise
            tries.forget()
        return token.pair(SIGNATURE_KEY, SIGNATURE_CERTIFICATE)
    except NoTryLeft:
        raise CardRefused(
            "Trois codes faux ont été donnés à cette carte : un autre essai pourrait la bloquer. Débloquez-la avec le"
            " logiciel de l'ANS, puis ajoutez --card-unblocked."
        ) from None
    except PinRefused as error:
        if error.locked:
            raise CardRefused("La carte est bloquée ; débloquez-la avec le logiciel de l'ANS.") from None
        raise CardRefused(f"Le code est faux ; il reste {TRIES - tries.wrong} essai(s).") from None
    except TokenRefused as error:
        raise CardRefused(f"Carte inutilisable : {error}.", usage=True) from error
    except TokenAway as error:
        raise CardRefused("La carte ne répond pas.") from error


def _module(named: str) -> Path:
    if named != AUTO:
        return Path(named)
    found = next((one for one in known_modules() if one.is_file()), None)
    if found is None:
        places = ", ".join(str(one) for one in known_modules())
        raise CardRefused(f"Bibliothèque de la carte introuvable ({places}) : dites --pkcs11 CHEMIN.", usage=True)
    return found
