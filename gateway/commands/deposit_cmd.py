"""`dcc deposit`: what an establishment's script calls: build, seal, send, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dcc.gateway.settings import Settings
    from dcc.mailbox.database import Database
    from dcc.smime.keys import KeyPair


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("deposit")(deposit)


def deposit(
    files: Annotated[list[Path], typer.Argument(help="Documents : CDA (.xml), et copies lisibles (.pdf, …).")],
    config: ConfigOption,
    folder: Annotated[str, typer.Option(help="Adresse ou référence du dossier.")],
    signer: Annotated[Path, typer.Option(help="PKCS#12 (ou PEM) de l'établissement ou de la personne.")],
    password: Annotated[str, typer.Option(envvar="DCC_SIGNER_PASSWORD", help="Mot de passe du PKCS#12.")],
    sender: Annotated[str, typer.Option("--from", help="La boîte de l'expéditeur, celle de son compte.")],
    smtp: Annotated[str | None, typer.Option(help="hôte:port ; sinon celui de run/ready.json.")] = None,
    wait: Annotated[float, typer.Option(help="Secondes d'attente du sort de l'envoi ; 0 : ne pas attendre.")] = 60.0,
    json_output: JsonOption = False,
) -> None:
    """Dépose des documents. Sort 0 classé, 1 refusé, 3 sort inconnu.

    Exemple : dcc deposit cr.xml -c dcc.toml --folder D-7F3K-9QXA --signer org.p12 --password … --from labo@x.example
    """
    from dcc.gateway.services import open_database
    from dcc.gateway.submission import wait_for_end
    from dcc.gateway.views import message_view

    settings = common.settings_of(config)
    pair = _pair(signer, password)
    host = _address(settings, smtp)
    with open_database(settings) as database:
        message_id = _send(settings, database, files, folder=folder, sender=sender, signer=pair, smtp=host)
        ended = wait_for_end(database, message_id, seconds=wait) if wait > 0 else None
        with database.read() as conn:
            view: dict[str, Any] = (
                {"id": message_id, "state": "received"} if ended is None else message_view(conn, ended)
            )
    if json_output:
        common.print_json(view)
    else:
        why = view.get("reason")
        typer.echo(f"{message_id} : {view['state']}{'' if not why else ' – ' + why['code'] + ' : ' + why['sender']}")
    if ended is None or ended.state.value == "held":
        raise typer.Exit(common.EXIT_UNKNOWN)
    if ended.state.value == "refused":
        raise typer.Exit(common.EXIT_NO)


def _pair(signer: Path, password: str) -> KeyPair:
    from dcc.smime.keys import KeyUnreadable, load_key_file

    try:
        return load_key_file(signer.read_bytes(), password.encode())
    except (OSError, KeyUnreadable):
        common.stop(f"{signer} est illisible, ou le mot de passe est faux", common.EXIT_USAGE)


def _address(settings: Settings, smtp: str | None) -> str:
    """Where the gateway listens: as said, or as it says itself."""
    import json

    if smtp is None:
        try:
            told = json.loads((settings.directory / "run" / "ready.json").read_text(encoding="ascii"))
            smtp = str(told["smtp"] or "")
        except (OSError, ValueError, KeyError):
            common.stop("la passerelle ne tourne pas : donnez --smtp hôte:port", common.EXIT_UNKNOWN)
    host, _, port = smtp.rpartition(":")
    if not host or not port.isdecimal():
        common.stop("--smtp : donnez hôte:port, par exemple 127.0.0.1:25", common.EXIT_USAGE)
    return smtp


def _send(
    settings: Settings, database: Database, files: list[Path], *, folder: str, sender: str, signer: KeyPair, smtp: str
) -> str:
    """Build, seal and hand over; gives the id of the 250."""
    import os

    from dcc.gateway.depositing import NotADeposit, build_deposit
    from dcc.gateway.instance import open_keys
    from dcc.gateway.submission import NotAccepted, submit
    from dcc.mailbox import folders
    from dcc.smime.errors import SmimeError

    with database.read() as conn:
        found = folders.folder(conn, folder)
    recipient = folder if found is None else found.address
    try:
        mail = build_deposit(
            files, sender=sender, recipient=recipient, signer=signer,
            gateway_certificate=open_keys(settings).decryption[0].certificate,
            post_quantum=settings.smime.post_quantum,
            now=common.now_utc().replace(microsecond=0), random_bytes=os.urandom,
        )  # fmt: skip
    except NotADeposit as error:
        common.stop(str(error), common.EXIT_USAGE)
    except SmimeError as error:
        common.stop(f"l'envoi n'a pas pu être scellé ({type(error).__name__})", common.EXIT_USAGE)
    except OSError as error:
        common.stop(f"{error.filename} est absent ou illisible", common.EXIT_USAGE)
    try:
        return submit(smtp, mail, sender=sender, recipient=recipient)
    except NotAccepted as error:
        common.stop(f"la passerelle n'a pas pris l'envoi : {error.code} {error.text}")
    except OSError:
        common.stop(f"la passerelle n'a pas pu être jointe ({smtp})", common.EXIT_UNKNOWN)
