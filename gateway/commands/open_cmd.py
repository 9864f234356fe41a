"""`dcc open`: the verification report of one message."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dcc.gateway.commands.common import (
    EXIT_NO,
    EXIT_UNKNOWN,
    EXIT_USAGE,
    JsonOption,
    now_utc,
    print_json,
    say,
    stop,
    write_private,
)

if TYPE_CHECKING:
    from dcc.cards.crl import CrlStore
    from dcc.gateway.opening import Report
    from dcc.smime.keys import KeyPair

ARCHIVES = "Lire les archives : 3DES, RC2, RSA < 2048, et sous SHA-1 ou autre signature faible ; jamais authentique."
EXIT_OF = {"authentic": 0, "refused": EXIT_NO, "indeterminate": EXIT_UNKNOWN}
EXAMPLES = """Vérifie un message et explique (Verify one message, and explain).

Exemples :\n
  dcc open mail.eml --trust racines.pem --crl liste.crl --key moi.p12 --password secret\n
  dcc open mail.eml --profile address --trust partenaire.pem --no-revocation --json\n
  dcc open mail.eml --trust racines.pem --html rapport.html\n
  dcc open message.p7m --trust racines.pem --at 2025-06-15T12:00:00Z\n
  dcc open signature.p7s --content document.txt --trust racines.pem

FILE est un courriel, ou une structure CMS seule (DER, BER ou PEM). Code 0 : authentique ; 1 : refusé ; 3 : on ne peut
pas le dire (liste d'opposition absente ou périmée, aucune racine donnée) ; 2 : usage.
"""


def register(app: typer.Typer) -> None:
    """Add `open` to the command line."""
    app.command("open", help=EXAMPLES)(open_command)


def open_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Le message.")],
    profile: Annotated[str, typer.Option("--profile", help="card | address")] = "card",
    trust: Annotated[
        list[Path] | None, typer.Option("--trust", metavar="PEM", help="Racines et autorités ; répétable.")
    ] = None,
    crl: Annotated[
        list[Path] | None, typer.Option("--crl", metavar="FILE", help="Liste d'opposition (DER ou PEM) ; répétable.")
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option("--key", metavar="P12", help="Clé de déchiffrement (PKCS#12, ou PEM) ; répétable."),
    ] = None,
    password: Annotated[
        list[str] | None, typer.Option("--password", metavar="W", help="Mot de passe du --key de même rang.")
    ] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="Juger à cette date (ISO 8601, UTC).")] = None,
    environment: Annotated[str | None, typer.Option("--environment", help="production | test")] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option("--domain", metavar="D", help="Profil address : domaine dont ces racines répondent ; répétable."),
    ] = None,
    no_revocation: Annotated[bool, typer.Option("--no-revocation", help="Ne pas vérifier l'opposition.")] = False,
    legacy: Annotated[bool, typer.Option("--legacy", help=ARCHIVES)] = False,
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="Lire aussi ML-KEM et ML-DSA (sinon refusés).")
    ] = False,
    content: Annotated[
        Path | None, typer.Option("--content", metavar="FILE", help="Contenu d'une signature détachée seule.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Écrire le contenu signé, s'il est authentique (ou avec --legacy)."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Écrire aussi le rapport en page web, en français.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Report on FILE; see the help text."""
    from contextlib import ExitStack

    from dcc.cards.errors import Unparseable
    from dcc.cards.trust import load_trust
    from dcc.gateway.opening import Question, report
    from dcc.gateway.opening_text import text

    if profile not in ("card", "address"):
        stop("--profile : card ou address.", EXIT_USAGE)
    if environment not in (None, "production", "test"):
        stop("--environment : production ou test.", EXIT_USAGE)
    moment = now_utc() if at is None else _time(at)
    try:
        anchors = load_trust(trust or [], environment)
        with ExitStack() as stack:
            source = stack.enter_context(file.open("rb"))
            beside = None if content is None else stack.enter_context(content.open("rb"))
            question = Question(
                trust=anchors, crls=_lists(crl or []), at=moment, profile=profile,
                keys=_keys(key or [], password or []), revocation=not no_revocation, environment=environment,
                allow_legacy=legacy, post_quantum=post_quantum, domains=frozenset(one.lower() for one in domain or ()),
            )  # fmt: skip
            found = report(source, question, detached_content=beside)
            stack.callback(found.opened.close)
            if out is not None:
                _out(found, out)
            if html is not None:
                from dcc.gateway.opening_page import page

                write_private(html, page(found).encode())
            if as_json:
                print_json(found.document())
            else:
                typer.echo(text(found))
    except Unparseable as error:
        stop(f"--trust : {error}.", EXIT_USAGE)
    except OSError as error:
        stop(f"{error.filename or file} : {error.strerror}.", EXIT_USAGE)
    raise typer.Exit(EXIT_OF[found.outcome])


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        stop("--at : une date ISO 8601, par exemple 2025-06-15T12:00:00Z.", EXIT_USAGE)
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _lists(files: list[Path]) -> CrlStore:
    from dcc.cards.crl import CrlStore
    from dcc.cards.errors import CrlUnreadable

    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dcc"
    store = CrlStore(cache if files else None)
    for path in files:
        try:
            store.add(path.read_bytes())
        except CrlUnreadable as error:
            say(f"{path} : {error}.")  # the list counts as absent: unknown, never good (I10)
    return store


def _keys(files: list[Path], passwords: list[str]) -> list[KeyPair]:
    from dcc.smime.keys import KeyUnreadable, load_key_file

    if len(passwords) > len(files):
        stop("Plus de --password que de --key.", EXIT_USAGE)
    found = []
    for place, path in enumerate(files):
        password = passwords[place].encode() if place < len(passwords) else None
        try:
            found.append(load_key_file(path.read_bytes(), password))
        except KeyUnreadable:
            stop(f"{path} ne s'ouvre pas : mot de passe faux, ou fichier abîmé.", EXIT_USAGE)
    return found


def _out(found: Report, out: Path) -> None:
    """What is authentic; an archive that is intact under a weak signature too, and then that is said."""
    from dcc.smime.verdict import Problem

    content = found.opened.content
    archive = found.opened.problem is Problem.WEAK  # its content is there under --legacy only
    if content is not None and (found.outcome == "authentic" or archive):
        if archive:
            say(
                f"{out} : contenu d'une archive, sous un algorithme faible ({found.opened.detail}) ; il ne fait pas foi."
            )
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as target:
            reader = content.open()
            while piece := reader.read(1 << 16):
                target.write(piece)
