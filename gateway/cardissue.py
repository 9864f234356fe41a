"""Look-alike cards for a test PKI: what `dcc card issue` does, without its command line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from ssl import DER_cert_to_PEM_cert

from dcc.cards import issue_store
from dcc.cards.identifiers import parse
from dcc.cards.issue import CardKind, IssuedCertificate, LookAlikePki
from dcc.cards.issue_store import NotATestPki

PASSWORD = "essai"  # noqa: S105  of files that a test PKI issued
TEST_RPPS = "899700523527"  # a published test identifier (facts/cards §12)
CRL_DAYS = 30
STRUCTURE_KINDS = ("CPE", "CPA")


class IssueRefused(Exception):
    """No card is made; the text is for the operator. `usage`: an option is wrong."""

    def __init__(self, text: str, *, usage: bool = False) -> None:
        super().__init__(text)
        self.usage = usage


@dataclass(frozen=True, slots=True)
class CardWanted:
    """Whose card, of which kind, and where it goes."""

    kind: CardKind
    family_name: str
    given_name: str
    out: Path
    idnps: str = TEST_RPPS
    profession: int | None = 10
    specialties: tuple[str, ...] = ()
    structure: tuple[str, str, str] | None = None  # department, name, IDNST
    encryption: str | None = None  # a mail address: a certificate of the person's that mail is encrypted to
    days: int = 1095


def issue(wanted: CardWanted, pki_folder: Path, config: Path | None, *, now: datetime,
          random_bytes: Callable[[int], bytes] = os.urandom) -> list[Path]:  # fmt: skip
    """Write the card's files, the authorities and fresh lists. Raises IssueRefused, OSError."""
    refuse_production(config, pki_folder, wanted.out)
    found = parse("idnps", wanted.idnps)
    if not found.valid:
        raise IssueRefused(f"--idnps : {found.reason}", usage=True)
    if (wanted.kind in STRUCTURE_KINDS) != (wanted.structure is not None):
        raise IssueRefused("une CPE ou une CPA dit sa structure, une CPS ou une CPF n'en a pas", usage=True)
    pki = open_pki(pki_folder, now)
    number = f"8025000001/{int.from_bytes(random_bytes(4), 'big') % 10**10:010d}"
    start, end = now - timedelta(hours=1), now + timedelta(days=wanted.days)
    try:
        pair = pki.issue_card(
            wanted.kind, idnps=wanted.idnps, family_name=wanted.family_name, given_name=wanted.given_name,
            not_before=start, not_after=end, card_number=number, structure=wanted.structure,
            profession=None if wanted.structure is not None else wanted.profession, specialties=wanted.specialties,
        )  # fmt: skip
        made = {"signature": pair.signature, "authentication": pair.authentication}
        if wanted.encryption is not None:
            made["encryption"] = pki.issue_person_software(
                idnps=wanted.idnps, family_name=wanted.family_name, given_name=wanted.given_name, usage="CONF",
                addresses=(wanted.encryption,), not_before=start, not_after=end,
            )  # fmt: skip
    except ValueError as error:
        raise IssueRefused(f"le certificat ne peut pas porter cela : {error}", usage=True) from error
    return [*_write_card(wanted.out, made), *_write_trust(wanted.out, pki, now)]


def open_pki(folder: Path, now: datetime) -> LookAlikePki:
    """The PKI of this folder; a new one where there is nothing. Raises IssueRefused, OSError."""
    if not folder.exists() or not any(folder.iterdir()):
        issue_store.save(LookAlikePki.create(now), folder)
    try:
        return issue_store.load(folder)
    except NotATestPki as error:
        raise IssueRefused(str(error)) from error


def refuse_production(config: Path | None, *places: Path) -> None:
    """A look-alike must not come near real cards: neither the named instance nor one around these folders."""
    configs = [] if config is None else [config]
    for place in places:
        configs += [one / "dcc.toml" for one in (place.resolve(), *place.resolve().parents)]
    for path in configs:
        if not path.is_file():
            if path == config:
                raise IssueRefused(f"{path} n'existe pas", usage=True)
            continue
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8")).get("gateway", {})
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            raise IssueRefused(f"{path} est illisible : rien ne dit que ce n'est pas la production") from None
        # Without the setting an instance is in production.
        if os.environ.get("DCC_GATEWAY__ENVIRONMENT", told.get("environment", "production")) != "test":
            raise IssueRefused(f"{path} est une instance de production : aucune carte de test n'y est faite")


def _write_card(out: Path, made: dict[str, IssuedCertificate]) -> list[Path]:
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    written = []
    for name, issued in made.items():
        for suffix, data in (
            (".pem", issued.pem_certificate),
            (".key", issued.pem_key),
            (".p12", issued.p12(PASSWORD)),
        ):
            path = out / f"{name}{suffix}"
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                raise IssueRefused(f"{path} existe déjà : rien n'est écrit par-dessus") from None
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            written.append(path)
    return written


def _write_trust(out: Path, pki: LookAlikePki, now: datetime) -> list[Path]:
    trust = out / "trust.pem"
    trust.write_bytes("".join(DER_cert_to_PEM_cert(one) for one in (*pki.anchors, *pki.intermediates)).encode())
    written = [trust]
    for number, one in enumerate(pki.crls(now, now + timedelta(days=CRL_DAYS), int(now.timestamp())), 1):
        path = out / f"list-{number}.crl"
        path.write_bytes(one)
        written.append(path)
    return written
