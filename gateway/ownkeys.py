"""The gateway's own keys, from files or from a token, each problem in one line (R-KEYS)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509

from dcc.gateway.settings import ConfigurationError, Settings
from dcc.smime.errors import Unsupported
from dcc.smime.keys import KeyPair, KeyUnreadable, load_key_file, post_quantum_name
from dcc.smime.signer import key_signer
from dcc.smime.token import Token, TokenRefused, open_token
from dcc.smime.tokenkey import TokenAway

SOON = timedelta(days=30)  # time enough to ask the IGC for another certificate


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """What signs, and what opens; those of the token first."""

    signing: KeyPair | None
    decryption: tuple[KeyPair, ...]


class Held(Protocol):
    """Keys whose end is watched."""

    @property
    def signing(self) -> KeyPair: ...
    @property
    def decryption(self) -> tuple[KeyPair, ...]: ...


def days_left(keys: Held, now: datetime) -> dict[str, float]:
    """Days until each certificate in use ends: the one that signs, and the one that is announced to correspondents."""
    used = {"signing": keys.signing, "decryption": keys.decryption[0]}
    return {
        use: (x509.load_der_x509_certificate(pair.certificate).not_valid_after_utc - now).total_seconds() / 86400
        for use, pair in used.items()
    }


def open_own_keys(settings: Settings, problems: list[str]) -> OwnKeys:
    """Load every key that the settings name; what is wrong is added to `problems`."""
    keys = settings.keys
    token = _token(settings, problems)

    def labelled(name: str, label: str) -> KeyPair | None:
        if token is None:
            return None  # its own problem is told already
        try:
            return token.pair(label, raw_oaep=keys.raw_oaep)
        except TokenRefused as error:
            problems.append(f"{name} : {error}")
        except TokenAway:
            problems.append(f"{name} : le jeton ne répond pas")
        return None

    password, known = _password(settings, problems)

    def filed(name: str, relative: Path) -> KeyPair | None:
        try:
            data = settings.path(relative).read_bytes()
            return load_key_file(data, password) if known else None
        except OSError:
            problems.append(f"{name} : le fichier {relative} est absent ou illisible")
        except KeyUnreadable:
            problems.append(f"{name} : {relative} ne s'ouvre pas (mot de passe faux, ou fichier abîmé)")
        return None

    signing = None
    if keys.signing_label is not None:
        signing = labelled("keys.signing_label", keys.signing_label)
    elif keys.signing is not None:
        signing = filed("keys.signing", keys.signing)
    else:
        problems.append("keys.signing : réglage manquant (signing, ou signing_label avec pkcs11_module)")
    found = [labelled("keys.decryption_labels", one) for one in keys.decryption_labels]
    found += [filed("keys.decryption", one) for one in keys.decryption]
    if not found:
        problems.append("keys.decryption : il faut au moins une clé de déchiffrement")
    own = OwnKeys(signing, tuple(one for one in found if one is not None))
    _can_be_used(own, settings, problems)
    return own


def _can_be_used(keys: OwnKeys, settings: Settings, problems: list[str]) -> None:
    """What the gateway signs with, and what it asks others to encrypt to, must be what it speaks (R-ALGO).

    An older decryption key behind the first may be of a kind that is switched off since: what it opens was taken once.
    """
    if keys.signing is not None:
        try:
            key_signer(keys.signing).family  # noqa: B018 - it raises
        except Unsupported:
            problems.append("keys.signing : cette clé ne signe pas (RSA, courbe elliptique, Ed25519 ou ML-DSA)")
    for name, pair in (("keys.signing", keys.signing), ("keys.decryption", next(iter(keys.decryption), None))):
        why = None if pair is None else refused_for(settings, pair)
        if why is not None:
            problems.append(f"{name} : {why}")


def refused_for(settings: Settings, pair: KeyPair) -> str | None:
    """Why this key cannot be what the gateway signs with or announces, for the operator; None: it can."""
    kind = post_quantum_name(pair)
    if kind is None or settings.smime.post_quantum:
        return None
    return f"une clé {kind} demande smime.post_quantum = true"


def unread(use: str, pair: KeyPair) -> str | None:
    """What the operator should know before the gateway signs with such a key, or announces it; None: nothing."""
    kind = post_quantum_name(pair)
    if kind is None:
        return None
    if use == "signing":
        return f"aucun logiciel de messagerie que nous connaissons ne vérifie une signature {kind}"
    return (
        f"aucun logiciel de messagerie que nous connaissons ne chiffre pour une clé {kind} ; la première clé de"
        " keys.decryption est celle qui est annoncée"
    )


def _password(settings: Settings, problems: list[str]) -> tuple[bytes | None, bool]:
    """(the password of the files, whether it could be read)."""
    try:
        return settings.key_password, True
    except ConfigurationError as error:
        problems.extend(error.problems)
        return None, False


def _token(settings: Settings, problems: list[str]) -> Token | None:
    module = settings.keys.pkcs11_module
    if module is None:
        return None
    try:
        return open_token(settings.path(module), settings.keys.token, settings.token_pin)
    except ConfigurationError as error:
        problems.extend(error.problems)
    except TokenRefused as error:
        problems.append(f"keys.pkcs11_module : {error}")
    except TokenAway:
        problems.append("keys.pkcs11_module : le jeton ne répond pas")
    return None
