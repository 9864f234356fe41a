"""`dcc card`: who holds a certificate, and whether it is good today."""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dcc.gateway.commands import common
from dcc.gateway.commands.card_issue import issue_card
from dcc.gateway.commands.common import JsonOption

if TYPE_CHECKING:
    from dcc.cards.crl import CrlStore
    from dcc.cards.verdict import Judgement

READ = "read"
EXIT_OF = {"VALID": 0, "REVOCATION_UNKNOWN": common.EXIT_UNKNOWN}


def register(app: typer.Typer) -> None:
    """Add the command to the application: `dcc card CERT`, and `dcc card issue` beside it."""
    group = typer.Typer(cls=_CardGroup, add_help_option=False, help="Qui tient un certificat ; des cartes d'essai.")
    group.command(READ)(card)
    group.command("issue")(issue_card)
    app.add_typer(group, name="card")


class _CardGroup(TyperGroup):
    """`dcc card` reads a certificate unless another word follows: scripts rely on `dcc card CERT`."""

    default = READ

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args if args and args[0] in self.commands else [self.default, *args])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return "" if name == READ else name, command, rest  # help says `dcc card`, as people write it


def card(
    certificate: Annotated[Path, typer.Argument(help="Le certificat (PEM ou DER).")],
    trust: Annotated[list[Path] | None, typer.Option(help="Racines et autorités (PEM) ; répétable.")] = None,
    crl: Annotated[list[Path] | None, typer.Option(help="Liste d'opposition (DER ou PEM) ; répétable.")] = None,
    at: Annotated[str | None, typer.Option(help="Juger à cette date (2025-06-15T12:00:00Z).")] = None,
    no_revocation: Annotated[bool, typer.Option("--no-revocation", help="Ne pas vérifier l'opposition.")] = False,
    purpose: Annotated[str, typer.Option(help="sign, encrypt ou server.")] = "sign",
    environment: Annotated[str | None, typer.Option(help="production ou test.")] = None,
    same_card: Annotated[
        list[Path] | None, typer.Option(help="Autre certificat de la même carte (PEM ou DER) ; répétable.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Qui tient ce certificat, et vaut-il aujourd'hui ? Sort 0 valable, 1 non, 3 inconnu.

    Exemple : dcc card carte.pem --trust racines.pem --crl liste.crl --purpose sign --json
    """
    from dcc.cards.certificate import HIGHEST_SIZE, read_certificate
    from dcc.cards.errors import Unparseable
    from dcc.cards.judge import judge
    from dcc.cards.trust import certificates_in, load_trust
    from dcc.cards.usage import PURPOSES

    if purpose not in PURPOSES or environment not in {None, "production", "test"}:
        common.stop("--purpose : sign, encrypt ou server ; --environment : production ou test", common.EXIT_USAGE)
    moment = common.now_utc() if at is None else time_of(at)
    try:
        anchors = load_trust(trust or [], environment)
        others = [read_certificate(der).der for path in same_card or [] for der in certificates_in(path.read_bytes())]
        lists = load_lists(crl or [])
        with certificate.open("rb") as file:
            data = file.read(HIGHEST_SIZE + 1)
    except OSError as error:
        common.stop(f"{error.filename} est absent ou illisible", common.EXIT_USAGE)
    except Unparseable as error:
        common.stop(f"--trust ou --same-card : {error}", common.EXIT_USAGE)
    judgement = judge(
        data,
        trust=anchors,
        crls=lists,
        at=moment,
        purpose=purpose,
        extra_certificates=others,
        revocation=not no_revocation,
        environment=environment,
    )
    if json_output:
        common.print_json(view(judgement))
    else:
        _tell(judgement)
    code = EXIT_OF.get(judgement.verdict.value, common.EXIT_NO)
    if code:
        raise typer.Exit(code)


def load_lists(files: list[Path]) -> CrlStore:
    """The lists of these files; indexes of large ones are kept in the user's cache. Raises OSError."""
    from dcc.cards.crl import CrlStore
    from dcc.cards.errors import CrlUnreadable

    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    store = CrlStore(Path(base) / "dcc")
    for path in files:
        try:
            store.add(path.read_bytes())
        except CrlUnreadable as error:
            common.say(f"{path} : {error}")  # the list counts as absent: unknown, never good (I10)
    return store


def time_of(text: str) -> datetime:
    """ISO 8601; without a zone it is UTC (contract: general); anything else is a usage error."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        common.stop(f"--at {text} : donnez une date comme 2025-06-15T12:00:00Z", common.EXIT_USAGE)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def view(judgement: Judgement) -> dict[str, Any]:
    """The JSON of the contract; absent values are null."""
    read = judgement.certificate
    evidence = [
        {
            "check": one.check, "verdict": None if one.verdict is None else one.verdict.value, "text": one.text,
            **one.details,
        }
        for one in judgement.evidence
    ]  # fmt: skip
    if read is None:
        names = ("usage", "environment", "not_before", "not_after", "subject", "issuer", "serial", "sha256", "holder")
        return {"verdict": judgement.verdict.value, "evidence": evidence, **dict.fromkeys(names)}
    return {
        "verdict": judgement.verdict.value,
        "evidence": evidence,
        "usage": read.usage.value,
        "environment": read.environment,
        "not_before": common.iso(read.not_before),
        "not_after": common.iso(read.not_after),
        "subject": read.subject,
        "issuer": read.issuer,
        "serial": f"{read.serial:x}",
        "sha256": read.sha256,
        "holder": None if read.holder is None else asdict(read.holder),
    }


def _tell(judgement: Judgement) -> None:
    from dcc.cards.holder import specialty_labels

    read = judgement.certificate
    if read is not None:
        holder = read.holder
        if holder is not None:
            who = " ".join(filter(None, (holder.given_name, holder.family_name))) or holder.structure_name or ""
            told = (holder.card_type, holder.profession_label, *specialty_labels(holder), holder.structure_name)
            what = ", ".join(filter(None, told))
            number = holder.idnps or holder.structure_id or "sans identifiant national"
            typer.echo(common.plain(f"{who} ({what}) – {number}"))
        typer.echo(f"{read.usage.value}, du {common.iso(read.not_before)} au {common.iso(read.not_after)}")
    for one in judgement.evidence:
        typer.echo(f"  {_answer(one.verdict):<4} {one.check:<28} {one.text}")
    typer.echo(judgement.verdict.value)


def _answer(verdict: str | None) -> str:
    if verdict == "REVOCATION_UNKNOWN":
        return "?"  # could not find out is neither yes nor no
    return "oui" if verdict is None else "non"
