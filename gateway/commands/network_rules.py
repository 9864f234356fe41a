"""`dcc network rules`: who may feed or read which type of document in one network, shown, set, or given back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcc.gateway.commands import common, people
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from dcc.gateway.services import Services
    from dcc.mailbox.records import DocumentRules

SetOption = Annotated[
    Path | None, typer.Option("--set", metavar="FICHIER", help="Tableau CSV du réseau : group,label,feed,read.")
]
DefaultOption = Annotated[bool, typer.Option("--default", help="Rend le réseau au tableau de la passerelle.")]


def rules(
    network: Annotated[str, typer.Argument(help="Identifiant du réseau.")],
    config: ConfigOption,
    table: SetOption = None,
    default: DefaultOption = False,
    operator: people.OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Règles de documents d'un réseau : qui dépose et reçoit quels types. Sans option, le tableau en vigueur est écrit.

    Exemples : dcc network rules rca -c dcc.toml > regles.csv ; dcc network rules rca --set regles.csv -c dcc.toml
    """
    from dcc.gateway.administering import NotPossible
    from dcc.mailbox import documentrules
    from dcc.mailbox import people as store
    from dcc.mailbox.changes import RulesLeft, RulesSet
    from dcc.mailbox.records import DocumentRules

    if table is not None and default:
        common.stop("--set ou --default, pas les deux", common.EXIT_USAGE)
    if table is None and not default:
        _show(network, config, as_json=json_output)
        return
    content = None if table is None else _checked(table)

    def build(conn, now):  # type: ignore[no-untyped-def]
        found = store.get_network(conn, network)
        if found is None:
            raise NotPossible("aucun réseau ne porte cet identifiant")
        if content is None:
            return [] if found.rules is None else [RulesLeft(network, found.rules)]
        own = DocumentRules(network, documentrules.digest(content), content, now, people.named(operator))
        return [] if found.rules == own.sha256 else [RulesSet(own, found.rules)]

    changes, _ = people.change(config, operator, build)
    with people.opened(config) as services, services.database.read() as conn:
        view = {**_view(services, conn, network), "changed": bool(changes)}
    held = "le tableau de la passerelle vaut" if content is None else "ses propres règles sont en vigueur"
    people.answer(view, f"réseau {network} : {held}{'' if changes else ' (déjà)'}", as_json=json_output)


def _checked(file: Path) -> str:
    """The text of a table without fault; each fault is told with its line, and nothing is changed."""
    from dcc.router.typerules import LARGEST, RulesWrong, check_rules

    try:
        with file.open("rb") as source:
            return check_rules(source.read(LARGEST + 1))
    except OSError:
        common.stop(f"--set {file} : fichier absent ou illisible", common.EXIT_USAGE)
    except RulesWrong as wrong:
        for problem in wrong.problems:
            common.say(f"{file.name}, {problem}")
        raise typer.Exit(common.EXIT_USAGE) from None


def _show(network: str, config: Path, *, as_json: bool) -> None:
    with people.opened(config) as services, services.database.read() as conn:
        view = _view(services, conn, network)
    if as_json:
        common.print_json(view)
        return
    if view["rules"] == "network":
        said = f"ses propres règles, mises en vigueur par {view['set_by']} le {view['set_at']:%d/%m/%Y à %H:%M} UTC"
    else:
        said = "sans règles propres, le tableau de la passerelle vaut"
    common.say(f"réseau {network} : {said}")
    sys.stdout.write(view["table"])
    sys.stdout.flush()


def _view(services: Services, conn: Connection, network: str) -> dict[str, Any]:
    """What `--json` tells: whose rules hold, since when, and the table as it was given."""
    from dcc.gateway.administering import NotPossible
    from dcc.gateway.services import matrix_text
    from dcc.mailbox import documentrules
    from dcc.mailbox import people as store
    from dcc.router.typerules import rows_of

    if store.get_network(conn, network) is None:
        raise NotPossible("aucun réseau ne porte cet identifiant")
    own: DocumentRules | None = documentrules.in_force(conn, network)
    table = matrix_text(services.settings) if own is None else own.content
    return {
        "network": network, "rules": "gateway" if own is None else "network",
        "sha256": documentrules.digest(table), "set_at": None if own is None else own.set_at,
        "set_by": None if own is None else own.set_by, "lines": rows_of(table), "table": table,
    }  # fmt: skip
