"""The demo instance made once for a whole run, with the PKI that issued its cards; tests work on copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

from dcc.cards.issue import IssuedCertificate, LookAlikePki
from dcc.gateway import cast
from dcc.gateway.cast_people import PEOPLE
from dcc.gateway.instance import initialise
from dcc.smime.keys import KeyPair


@dataclass(frozen=True)
class DemoInstance:
    """A folder that nobody uses itself, and what `dcc init --demo` does not keep: the authorities' keys."""

    directory: Path
    issued: cast.Issued
    now: datetime

    def copy(self, to: Path) -> Path:
        """An instance of the test's own."""
        shutil.copytree(self.directory, to)
        return to

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
        return LookAlikePki.create(self.now)

    def forged_card(self, key: str) -> IssuedCertificate:
        """A person's card as a forger would make it: the same subject, an unknown root."""
        person = next(one for one in PEOPLE if one.key == key)
        made = self.forger.issue_card(
            "CPS", idnps=person.idnps, family_name=person.family_name or "", given_name=person.given_name or "",
            not_before=self.now - timedelta(days=30), not_after=self.now + timedelta(days=300),
            card_number="8025000001/2800000099", profession=person.profession, specialties=person.specialties,
        )  # fmt: skip
        return made.signature


def make_demo_instance(directory: Path, now: datetime) -> DemoInstance:
    """Make it where nothing is yet."""
    issued = cast.issue(now)
    with patch.object(cast, "issue", lambda _now: issued):
        initialise(directory, demo=True, now=now)
    return DemoInstance(directory, issued, now)
