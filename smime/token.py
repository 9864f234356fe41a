"""A PKCS#11 token: one session, one lock, one process (R-KEYS)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from dcc.smime.certificates import parts
from dcc.smime.keys import KeyPair, KeyUnreadable
from dcc.smime.tokenfacts import KeyFacts, key_in_token
from dcc.smime.tokenkey import TokenAway

if TYPE_CHECKING:
    from pkcs11 import Session

T = TypeVar("T")
CHAIN = 5  # authorities above a certificate; a loop ends here


class TokenRefused(KeyUnreadable):
    """The token or its objects cannot be used; the text, without any secret, is for the operator."""


class PinRefused(TokenRefused):
    """The token does not take this PIN. `locked`: it takes none any more."""

    def __init__(self, *, locked: bool) -> None:
        super().__init__("le jeton est bloqué" if locked else "le code du jeton est faux")
        self.locked = locked


@dataclass(frozen=True, slots=True)
class TokenCertificate:
    """A certificate object of a token."""

    der: bytes
    label: str
    identifier: bytes


class Token:
    """Everything done in a token: serialised, because several sessions in threads crash SoftHSM 2.6.1 (facts/mail §6)."""

    def __init__(self, module: Path, label: str | None, pin: str | None, *, writable: bool = False) -> None:
        """Nothing is opened yet. Raises TokenRefused without python-pkcs11 (the extra `pkcs11`)."""
        try:
            import pkcs11  # noqa: F401
        except ImportError as error:
            raise TokenRefused("il faut l'extension pkcs11 (pip install dcc-gateway[pkcs11])") from error
        self._module, self._label, self._pin, self._writable = str(module), label, pin, writable
        self._lock = RLock()
        self._process = os.getpid()
        self._session: Session | None = None
        self._keys: dict[str, Any] = {}
        self._refused: PinRefused | None = None

    def open(self) -> None:
        """Log in. Raises TokenRefused (PinRefused for the PIN, which is tried once), TokenAway."""
        self.within(lambda _session: None)

    @property
    def of_this_process(self) -> bool:
        """Whether this process opened it; a fork has to open its own."""
        return os.getpid() == self._process

    @property
    def was_refused(self) -> bool:
        """Whether its PIN was refused."""
        return self._refused is not None

    def close(self) -> None:
        """End the session."""
        with self._lock:
            self._drop()

    def with_key(self, label: str, work: Callable[[Any], T]) -> T:
        """Do something with a private key, alone. What the token answers to the work itself goes through."""

        return self.within(lambda session: work(self._held(session, label)))

    def _held(self, session: Session, label: str) -> Any:
        if label not in self._keys:
            self._keys[label] = self._private_key(session, label)
        return self._keys[label]

    def certificates(self) -> tuple[TokenCertificate, ...]:
        """All X.509 certificates that the token holds."""
        from pkcs11 import Attribute, ObjectClass

        def read(session: Session) -> tuple[TokenCertificate, ...]:
            wanted = (Attribute.VALUE, Attribute.LABEL, Attribute.ID)
            objects = session.get_objects({Attribute.CLASS: ObjectClass.CERTIFICATE})
            values = [tuple(one[name] for name in wanted) for one in objects]
            return tuple(TokenCertificate(bytes(value), label, bytes(ident)) for value, label, ident in values)

        return self.within(read)

    def pair(self, label: str, certificate_label: str | None = None, *, raw_oaep: bool = False) -> KeyPair:
        """The key of this label with its certificate (same CKA_ID or label). Raises TokenRefused, TokenAway."""
        told = self.within(lambda session: KeyFacts.of(session, self._held(session, label)))
        held = self.certificates()
        candidates: list[tuple[bool, datetime, bytes, object]] = []
        for one in held:
            if one.label != (certificate_label or label) and (one.identifier != told.identifier or not one.identifier):
                continue
            try:
                loaded = x509.load_der_x509_certificate(one.der)
                public = loaded.public_key()
            except (ValueError, UnsupportedAlgorithm):
                continue  # not the one: the token may hold what cannot be read
            if told.fits(public):
                sure = told.modulus is not None or one.identifier == told.identifier
                candidates.append((sure, loaded.not_valid_after_utc, one.der, public))
        if not candidates:
            raise TokenRefused(f"le jeton n'a pas de certificat pour la clé {label}")
        *_, der, found = max(candidates, key=lambda one: one[:2])  # a renewed certificate of the same key
        key = key_in_token(self, label, found, raw_oaep=raw_oaep)
        return KeyPair(der, key, _chain(der, [one.der for one in held]))

    def within(self, work: Callable[[Session], T]) -> T:
        """Do something with the session, alone; a session that was lost is opened once more. Raises TokenAway."""
        from pkcs11 import exceptions

        gone = (
            exceptions.DeviceError, exceptions.DeviceRemoved, exceptions.SessionClosed, exceptions.SessionHandleInvalid,
            exceptions.TokenNotPresent, exceptions.TokenNotRecognised, exceptions.UserNotLoggedIn,
            exceptions.ObjectHandleInvalid, exceptions.KeyHandleInvalid, exceptions.NoSuchToken,
        )  # fmt: skip
        with self._lock:
            if os.getpid() != self._process:  # PKCS #11 v2.40 §5.4: a child has no session of its parent's
                raise TokenAway("the token was opened by another process")
            for last in (False, True):
                try:
                    return work(self._opened())
                except gone as error:
                    self._drop()
                    if last:
                        raise TokenAway(type(error).__name__) from error
            raise AssertionError("unreachable")

    def _opened(self) -> Session:
        if self._session is not None:
            return self._session
        if self._refused is not None:
            raise self._refused  # the same PIN is never tried a second time: three wrong ones block a card
        from pkcs11 import exceptions

        try:
            token = self._find()
        except (exceptions.PKCS11Error, RuntimeError) as error:
            if isinstance(error, (exceptions.TokenNotPresent, exceptions.DeviceRemoved, exceptions.NoSuchToken)):
                raise
            raise TokenRefused(f"le module PKCS#11 {Path(self._module).name} ne se charge pas") from error
        try:
            self._session = token.open(rw=self._writable, user_pin=self._pin)
        except (exceptions.PinIncorrect, exceptions.PinInvalid, exceptions.PinLenRange) as error:
            self._refused = PinRefused(locked=False)
            raise self._refused from error
        except exceptions.PinLocked as error:
            self._refused = PinRefused(locked=True)
            raise self._refused from error
        return self._session

    def _find(self) -> Any:
        import pkcs11

        tokens = [one for slot in pkcs11.lib(self._module).get_slots(token_present=True) if (one := _token_of(slot))]
        named = [one for one in tokens if self._label is None or one.label.strip() == self._label]
        usable = [one for one in named if pkcs11.TokenFlag.TOKEN_INITIALIZED in one.flags] or named
        if len(usable) > 1:
            raise TokenRefused("plusieurs jetons sont présents : dites lequel par son nom")
        if not usable:
            raise TokenRefused("jeton absent" if self._label is None else f"jeton {self._label} absent")
        return usable[0]

    @property
    def identity(self) -> str:
        """What tells this token from all others, without its number being readable. Raises TokenRefused, TokenAway."""
        from pkcs11 import exceptions

        with self._lock:
            try:
                token = self._find()
            except exceptions.PKCS11Error as error:
                raise TokenAway(type(error).__name__) from error
            except RuntimeError as error:
                raise TokenRefused(f"le module PKCS#11 {Path(self._module).name} ne se charge pas") from error
            named = (token.manufacturer_id, token.model, token.label, token.serial.decode("latin-1"))
            return hashlib.sha256("\0".join(named).encode()).hexdigest()

    def _private_key(self, session: Session, label: str) -> Any:
        from pkcs11 import KeyType, ObjectClass, exceptions

        try:
            found = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label=label)
        except exceptions.NoSuchKey as error:
            raise TokenRefused(f"le jeton n'a pas de clé nommée {label}") from error
        except exceptions.MultipleObjectsReturned as error:
            raise TokenRefused(f"le jeton a plusieurs clés nommées {label}") from error
        if found.key_type not in {KeyType.RSA, KeyType.EC}:
            raise TokenRefused(f"la clé {label} du jeton n'est ni RSA ni EC")
        return found

    def _drop(self) -> None:
        from pkcs11 import exceptions

        session, self._session = self._session, None
        self._keys.clear()
        if session is not None and os.getpid() == self._process:
            try:
                session.close()
            except exceptions.PKCS11Error:
                return  # it was gone already


_tokens: dict[tuple[str, str | None, str | None], Token] = {}
_tokens_lock = RLock()


def open_token(module: Path, label: str | None, pin: str | None) -> Token:
    """The token, logged in; the same object for the same token, since a login counts for the whole process.

    Raises TokenRefused, TokenAway.
    """
    place = (str(module), label, None if pin is None else hashlib.sha256(pin.encode()).hexdigest())
    with _tokens_lock:
        known = _tokens.get(place)
        if known is not None and known.of_this_process and not known.was_refused:
            known.open()
            return known
        for other, token in list(_tokens.items()):
            if other[:2] == place[:2]:  # another PIN: with the session still open any PIN would seem right
                token.close()
                del _tokens[other]
        token = Token(module, label, pin)
        token.open()
        _tokens[place] = token
        return token


def _token_of(slot: Any) -> Any:
    from pkcs11 import exceptions

    try:
        return slot.get_token()
    except (exceptions.TokenNotPresent, exceptions.TokenNotRecognised):
        return None


def _chain(leaf: bytes, held: list[bytes]) -> tuple[bytes, ...]:
    """The authorities above a certificate, as far as the token holds them."""
    above: list[bytes] = []
    issuer = parts(leaf).issuer
    for _ in range(CHAIN):
        found = next((one for one in held if one not in above and parts(one).subject == issuer), None)
        if found is None or found == leaf:
            break
        above.append(found)
        issuer = parts(found).issuer
    return tuple(above)
