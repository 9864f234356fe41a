"""`dcc key list|import|rotate|rewrap`: the gateway's own keys and the versions of the key-encryption key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dcc.mailbox.records import AuditRecord

OperatorOption = Annotated[str, typer.Option(envvar="USER", help="Qui demande : inscrit dans la trace.")]


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les clés de la passerelle.")
    group.command("list")(list_keys)
    group.command("import")(import_own_key)
    group.command("rotate")(rotate)
    group.command("rewrap")(rewrap)
    app.add_typer(group, name="key")


def list_keys(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Les certificats de la passerelle et leur fin. Exemple : dcc key list -c dcc.toml"""
    from dcc.cards.certificate import read_certificate
    from dcc.gateway.instance import open_keyring, open_keys
    from dcc.smime.tokenkey import InToken

    settings = common.settings_of(config)
    now = common.now_utc()
    keys = open_keys(settings)
    rows: list[dict[str, Any]] = []
    for use, pair in (("signing", keys.signing), *(("decryption", one) for one in keys.decryption)):
        read = read_certificate(pair.certificate)
        rows.append(
            {
                "use": use, "usage": read.usage.value, "subject": read.subject, "sha256": read.sha256,
                "algorithm": read.key_type, "not_after": common.iso(read.not_after), "addresses": list(read.addresses),
                "days_left": (read.not_after - now).days, "in_token": isinstance(pair.key, InToken),
            }
        )  # fmt: skip
    version = open_keyring(settings).current
    if json_output:
        common.print_json({"keys": rows, "key_encryption_key_version": version})
        return
    for row in rows:
        place = "jeton  " if row["in_token"] else "fichier"
        typer.echo(
            f"{row['use']:<11} {row['usage']:<16} {row['algorithm']:<11} {place}  jusqu'au {row['not_after']}"
            f" ({row['days_left']} j)  {row['sha256'][:16]}  {', '.join(row['addresses'])}"
        )
    typer.echo(f"clé de chiffrement des documents : version {version}")


def import_own_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="La clé et son certificat, PKCS#12 ou PEM.")],
    config: ConfigOption,
    use: Annotated[str, typer.Option("--use", help="signing | decryption")],
    password_file: Annotated[Path, typer.Option("--password-file", help="Le fichier du mot de passe de la clé.")],
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Prend une nouvelle clé de la passerelle : fichier ou jeton PKCS#11, selon dcc.toml, qui la nomme ensuite.

    Une clé de déchiffrement passe devant les anciennes, qui continuent d'ouvrir les anciens messages.
    Exemple : dcc key import conf-2027.p12 -c dcc.toml --use decryption --password-file mdp, puis redémarrez.
    """
    from dcc.gateway.keyimport import USES, ImportRefused, import_key, name_it
    from dcc.gateway.services import open_services

    if use not in USES:
        common.stop("--use : signing ou decryption", common.EXIT_USAGE)
    if not operator:
        common.stop("dites qui demande : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    try:
        data, password = file.read_bytes(), password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        common.stop("la clé ou le fichier de son mot de passe est absent ou illisible", common.EXIT_USAGE)
    try:
        taken = import_key(settings, data, password.encode(), use=use, now=common.now_utc())
        with open_services(settings) as services, services.database.begin() as conn:
            detail = {"use": use, "certificate": taken.certificate.sha256}
            services.audit.append(conn, _record("imported", operator, detail))
        name_it(config, taken)
    except ImportRefused as error:
        common.stop(f"refusé : {error}")
    for line in taken.warnings:
        common.say(f"à surveiller : {line}")
    if json_output:
        common.print_json(
            {
                "use": use, "sha256": taken.certificate.sha256, "not_after": taken.certificate.not_after,
                "place": taken.place, "in_token": taken.in_token,
            }
        )  # fmt: skip
        return
    typer.echo(f"{taken.place} : dcc.toml la nomme ; redémarrez la passerelle, puis faites connaître le certificat")


def rotate(config: ConfigOption, operator: OperatorOption = "", json_output: JsonOption = False) -> None:
    """Ajoute une version à la clé de chiffrement des documents ; les anciens restent lisibles.

    Exemple : dcc key rotate -c dcc.toml --operator "A. Martin", puis redémarrez la passerelle.
    """
    import os

    from dcc.gateway.instance import open_keyring
    from dcc.gateway.services import open_services

    if not operator:
        common.stop("dites qui demande : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    with open_services(settings) as services, services.database.begin() as conn:
        ring = open_keyring(settings).rotated(os.urandom)
        ring.save(settings.path(settings.storage.key_encryption_keys))
        services.audit.append(conn, _record("rotated", operator, {"version": ring.current}))
    if json_output:
        common.print_json({"key_encryption_key_version": ring.current})
        return
    typer.echo(f"version {ring.current} ; redémarrez la passerelle pour qu'elle s'en serve, puis dcc key rewrap")


def rewrap(config: ConfigOption, operator: OperatorOption = "", json_output: JsonOption = False) -> None:
    """Met sous la dernière version les clés de tous les documents ; aucun fichier n'est réécrit.

    Exemple : dcc key rewrap -c dcc.toml --operator "A. Martin", après dcc key rotate et un redémarrage.
    """
    from dcc.gateway.instance import open_keyring
    from dcc.gateway.services import open_services
    from dcc.mailbox import upkeep
    from dcc.mailbox.keyring import KeyMissing

    if not operator:
        common.stop("dites qui demande : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    ring = open_keyring(settings)
    changed = 0
    try:
        with open_services(settings) as services:
            while True:
                with services.database.begin() as conn:  # in lots: the gateway works on between two of them
                    lot = upkeep.rewrap(conn, ring)
                    if not lot:
                        services.audit.append(
                            conn, _record("rewrapped", operator, {"version": ring.current, "keys": changed})
                        )
                        break
                changed += lot
    except KeyMissing as error:
        common.stop(f"il manque une clé de chiffrement des documents ({error}) : rien n'a été perdu, remettez-la")
    if json_output:
        common.print_json({"key_encryption_key_version": ring.current, "rewrapped": changed})
        return
    typer.echo(f"{changed} clés de documents mises sous la version {ring.current}")


def _record(action: str, operator: str, detail: Mapping[str, int | str]) -> AuditRecord:
    from dcc.mailbox.records import AuditRecord

    return AuditRecord(
        at=common.now_utc(), tag=f"operator:key:{action}", actor=f"operator:{operator}", certificate=None,
        message=None, mail_message_id=None, folder=None, document=None, decision="done", code=None,
        detail=json.dumps(dict(detail)),
    )  # fmt: skip
