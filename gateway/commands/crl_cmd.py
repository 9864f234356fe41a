"""`dcc crl list|update|override`: the opposition lists held, new ones taken or fetched, and an operator's override."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dcc.gateway.services import Services
    from dcc.gateway.settings import Settings
    from dcc.mailbox.overrides import Override

OperatorOption = Annotated[str, typer.Option(envvar="USER", help="Qui décide : inscrit dans la trace.")]


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les listes d'opposition.")
    group.command("list")(list_lists)
    group.command("update")(update)
    group.command("override")(override)
    app.add_typer(group, name="crl")


def list_lists(config: ConfigOption, json_output: JsonOption = False) -> None:
    """Les listes connues et leur âge ; sort 3 si l'une est périmée. Exemple : dcc crl list -c dcc.toml

    Une liste est « ancienne » à 36 heures, ou quand son hôte ne l'a plus donnée depuis 36 heures.
    """
    from dcc.gateway.crlfetch import refreshed
    from dcc.gateway.crlupdate import in_force, wants_look
    from dcc.gateway.services import open_services

    settings = common.settings_of(config)
    now = common.now_utc()
    seen = refreshed(settings)
    with open_services(settings) as services:
        names = {
            one.subject_der.hex(): one.subject
            for one in (*services.judge.trust.anchors, *services.judge.trust.intermediates)
        }
        rows: list[dict[str, Any]] = [
            {
                "issuer": names.get(info.issuer, "(autorité inconnue)"), "number": info.number, "delta": info.is_delta,
                "this_update": common.iso(info.this_update), "next_update": common.iso(info.next_update),
                "age_hours": round((now - info.this_update).total_seconds() / 3600, 1), "entries": info.entries,
                "stale": info.next_update is None or now > info.next_update, "sha256": info.sha256,
                "fetched_at": common.iso(seen.get(info.sha256)), "old": wants_look(info, seen.get(info.sha256), now),
            }
            for info in in_force(services.judge.crls.infos())
        ]  # fmt: skip
    stale = any(row["stale"] for row in rows) or not rows
    if json_output:
        common.print_json(rows)
    else:
        for row in rows:
            mark = "PÉRIMÉE" if row["stale"] else "ancienne" if row["old"] else "à jour"
            typer.echo(
                f"{mark:<9} {row['age_hours']:>7} h  n° {row['number']}  {row['entries']} cartes  {row['issuer']}"
            )
        if not rows:
            typer.echo("aucune liste : aucune carte ne peut être dite valable")
    if stale:
        raise typer.Exit(common.EXIT_UNKNOWN)


def update(
    config: ConfigOption,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Les listes reçues de l'autorité (DER ou PEM) ; sans : les relever.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Ajoute des listes, ou les relève ; sort 1 si l'une est refusée. Exemple : dcc crl update a.crl -c dcc.toml

    Sans fichier, chaque liste de trust.crl_urls est relevée maintenant ; sort 3 si un hôte ne répond pas. Une liste
    illisible, sans signature d'une autorité connue, ou de numéro inférieur à celui de la liste déjà tenue est refusée,
    et l'ancienne reste. Une liste remplacée est rangée dans « anciennes », pour la preuve.
    """
    from dcc.gateway.crlupdate import folder_of, settings_cache, take_list
    from dcc.gateway.services import open_trust

    settings = common.settings_of(config)
    target = folder_of(settings)
    if target is None:
        common.stop("trust.crls ne nomme aucun dossier où ranger les listes", common.EXIT_CONFIGURATION)
    if not files:
        _fetch(settings, json_output)
        return
    trust = open_trust(settings)
    results = [
        {"file": str(path), "accepted": why is None, "reason": why}
        for path, why in ((path, take_list(path, target, trust, settings_cache(settings))) for path in files)
    ]
    if json_output:
        common.print_json(results)
    else:
        for one in results:
            typer.echo(f"{one['file']} : {'ajoutée' if one['accepted'] else 'REFUSÉE, ' + str(one['reason'])}")
    if not all(one["accepted"] for one in results):
        raise typer.Exit(common.EXIT_NO)


def _fetch(settings: Settings, json_output: bool) -> None:
    import os

    from dcc.gateway.crlfetch import ListFetcher
    from dcc.gateway.services import open_trust

    urls = settings.trust.crl_urls
    if not urls:
        common.stop("trust.crl_urls ne nomme aucune liste à relever", common.EXIT_CONFIGURATION)
    done = ListFetcher(settings, open_trust(settings), os.urandom).fetch(urls, common.now_utc)
    if not done:
        common.stop("une passerelle est en train de relever les listes", common.EXIT_UNKNOWN)
    if json_output:
        common.print_json(
            [{"url": one.url, "result": one.result, "reason": one.reason, "due": one.due} for one in done]
        )
    else:
        for one in done:
            typer.echo(f"{one.url} : {'relevée' if one.reason is None else 'NON, ' + one.reason}")
    results = {one.result for one in done}
    if "refused" in results:
        raise typer.Exit(common.EXIT_NO)
    if "unreachable" in results:
        raise typer.Exit(common.EXIT_UNKNOWN)


def override(
    config: ConfigOption,
    hours: Annotated[float | None, typer.Option(min=0.1, help="Pour combien d'heures au plus.")] = None,
    because: Annotated[str, typer.Option(help="Pourquoi : inscrit dans la trace.")] = "",
    end: Annotated[bool, typer.Option("--end", help="Met fin au débrayage en cours.")] = False,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Débrayage : admettre des listes périmées, pour un temps.

    Exemple : dcc crl override --hours 12 --because "panne de l'annuaire" -c dcc.toml

    Une carte absente de la dernière liste de son autorité, même périmée, est alors acceptée ; une carte inscrite reste
    refusée, et une autorité dont aucune liste n'est connue n'est pas admise. Sans option : les débrayages passés et en
    cours ; sort 0 si l'un est en cours, 1 sinon.
    """
    from dcc.gateway.services import open_services
    from dcc.mailbox import overrides

    settings = common.settings_of(config)
    longest = settings.trust.override_hours
    if (hours is not None and end) or (hours is not None and not because.strip()):
        common.stop("donnez --hours et --because, ou --end, ou rien", common.EXIT_USAGE)
    if hours is not None and hours > longest:
        common.stop(f"un débrayage dure {longest:g} heures au plus (trust.override_hours)", common.EXIT_USAGE)
    if (hours is not None or end) and not operator.strip():
        common.stop("dites qui décide : --operator NOM", common.EXIT_USAGE)
    now = common.now_utc()
    with open_services(settings) as services:
        if hours is not None:
            _begin(services, timedelta(hours=hours), because.strip(), operator.strip())
        elif end:
            with services.database.begin() as conn:
                ended = overrides.end(conn, now)
                services.audit.append(conn, _record("ended", operator.strip(), {"ended": ended}))
        with services.database.read() as conn:
            known = overrides.every(conn)
    held = any(one.holds(common.now_utc()) for one in known)
    if json_output:
        common.print_json({"in_force": held, "overrides": known})
    else:
        for one in known:
            typer.echo(_line(one))
        typer.echo("un débrayage est en cours" if held else "aucun débrayage en cours")
    if hours is None and not end and not held:
        raise typer.Exit(common.EXIT_NO)


def _begin(services: Services, length: timedelta, because: str, operator: str) -> None:
    from dcc.mailbox import overrides
    from dcc.mailbox.rows import new_id

    now = common.now_utc()
    made = overrides.Override(new_id(), now, now + length, None, operator, because)
    with services.database.begin() as conn:
        overrides.add(conn, made)
        told = {"id": made.id, "until": common.iso(made.until), "because": because}
        services.audit.append(conn, _record("began", operator, told))


def _record(action: str, operator: str, detail: dict[str, Any]) -> Any:
    from dcc.mailbox.records import AuditRecord

    return AuditRecord(
        at=common.now_utc(), tag=f"operator:crl-override:{action}", actor=f"operator:{operator}", certificate=None,
        message=None, mail_message_id=None, folder=None, document=None, decision="done", code=None,
        detail=json.dumps(detail, ensure_ascii=False),
    )  # fmt: skip


def _line(one: Override) -> str:
    ended = "" if one.ended_at is None else f", terminé le {common.iso(one.ended_at)}"
    return f"{common.iso(one.start)} → {common.iso(one.until)}{ended}  {one.operator} : {one.because}"
