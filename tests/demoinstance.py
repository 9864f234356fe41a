"""The demo instance made once for a whole run, with the PKI that issued its cards; tests work on copies."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from dcc.cards.issue import IssuedCertificate, LookAlikePki, new_key
from dcc.gateway import cast, cast_reader, ownkeys
from dcc.gateway.cast_people import PEOPLE
from dcc.gateway.instance import initialise
from dcc.smime.keys import KeyPair, load_key_file
from instancecopy import copied
from rsakeys import read_key, rsa_keys, written_key


@dataclass(frozen=True)
class DemoInstance:
    """A folder that nobody uses itself, and what `dcc init --demo` does not keep: the authorities' keys."""

    directory: Path
    issued: cast.Issued
    now: datetime
    _renewed: dict[str, IssuedCertificate] = field(default_factory=dict)

    def copy(self, to: Path) -> Path:
        """An instance of the test's own."""
        return copied(self.directory, to)

    def lists(self, *, age: timedelta, life: timedelta, number: int) -> Iterable[bytes]:
        """One opposition list of each authority, published `age` ago and good for `life` from then on."""
        published = self.now - age
        return self.issued.pki.crls(published, published + life, number)

    def reader(self, key: str) -> KeyPair | None:
        """What a person opens mail with."""
        own = self.issued.people[key]["encryption"]
        return None if own is None else KeyPair(own.certificate, own.key)

    @cached_property
    def forger(self) -> LookAlikePki:
        """Another PKI whose authorities bear the same names: nobody here trusts its root."""
        return LookAlikePki.create(self.now, key_source=rsa_keys("forger"))

    def forged_card(self, key: str) -> IssuedCertificate:
        """A person's card as a forger would make it: the same subject, an unknown root."""
        return self._card(self.forger, key)

    def renewed_card(self, key: str) -> IssuedCertificate:
        """A person's next card, by the same authority: another key, another number, the same holder."""
        if key not in self._renewed:
            self._renewed[key] = self._card(self.issued.pki, key)
        return self._renewed[key]

    def _card(self, pki: LookAlikePki, key: str) -> IssuedCertificate:
        person = next(one for one in PEOPLE if one.key == key)
        made = pki.issue_card(
            "CPS", idnps=person.idnps, family_name=person.family_name or "", given_name=person.given_name or "",
            not_before=self.now - timedelta(days=30), not_after=self.now + timedelta(days=300),
            card_number="8025000001/2800000099", profession=person.profession, specialties=person.specialties,
        )  # fmt: skip
        return made.signature


class _Kept(pickle.Pickler):
    """Writes keys and certificates, which say themselves only as octets."""

    def reducer_override(self, one: Any) -> Any:
        if isinstance(one, rsa.RSAPrivateKey):
            return read_key, (written_key(one),)
        if isinstance(one, x509.Certificate):
            return _certificate, (one.public_bytes(Encoding.DER),)
        if isinstance(one, x509.ObjectIdentifier):
            return _identifier, (one.dotted_string,)
        return NotImplemented


def _certificate(octets: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(octets)


def _identifier(dotted: str) -> x509.ObjectIdentifier:
    return x509.ObjectIdentifier(dotted)


def make_demo_instance(folder: Path, now: datetime) -> None:
    """Make it in `instance`, and write beside it what it does not keep."""
    folder.mkdir()
    with patch.object(cast, "new_key", rsa_keys("demo")):
        issued = cast.issue(now)
    with patch.object(cast, "issue", lambda _now: issued):
        initialise(folder / "instance", demo=True, now=now)
    issued = replace(issued, pki=LookAlikePki(issued.pki.roots, issued.pki.authorities, new_key))
    with (folder / "issued").open("wb") as file:
        _Kept(file).dump((issued, now))


def read_demo_instance(folder: Path) -> DemoInstance:
    """What `make_demo_instance` made, in any process of the run."""
    with (folder / "issued").open("rb") as file:
        issued, now = pickle.load(file)
    return DemoInstance(folder / "instance", issued, now)


@contextmanager
def key_files_read_once() -> Iterator[None]:
    """Every copy of an instance holds the same key files: each is deciphered, and its numbers are checked, once."""
    known = cache(load_key_file)
    with patch.object(cast_reader, "load_pkcs12", known), patch.object(ownkeys, "load_key_file", known):
        yield
