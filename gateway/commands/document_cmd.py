"""`dcc document get|mask|unmask`: the parts of a document, and its masks, under a named operator and audited."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from dcc.gateway.commands import common
from dcc.gateway.commands.common import ConfigOption, JsonOption

if TYPE_CHECKING:
    from dcc.gateway.masking import Masked
    from dcc.gateway.services import Services
    from dcc.mailbox.records import Document


def register(app: typer.Typer) -> None:
    """Add the group to the application."""
    group = typer.Typer(no_args_is_help=True, help="Les documents classés.")
    group.command("get")(get)
    group.command("mask")(mask)
    group.command("unmask")(unmask)
    app.add_typer(group, name="document")


DocumentArgument = Annotated[str, typer.Argument(help="L'identifiant du document.")]
OperatorOption = Annotated[str, typer.Option(envvar="USER", help="Qui décide : inscrit dans la trace.")]
FromOption = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="QUI", help="professionals (par défaut), patient ou representatives ; répétable."),
]


def mask(
    document_id: DocumentArgument,
    config: ConfigOption,
    hidden_from: FromOption = None,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Masque un document : rien n'en part plus. Exemple : dcc document mask ID -c dcc.toml --from professionals"""
    from dcc.gateway.masking import mask as put_on

    _change(document_id, config, hidden_from, operator, json_output, put_on)


def unmask(
    document_id: DocumentArgument,
    config: ConfigOption,
    hidden_from: FromOption = None,
    operator: OperatorOption = "",
    json_output: JsonOption = False,
) -> None:
    """Démasque un document, envoyé à qui ne l'avait pas reçu. Exemple : dcc document unmask ID -c dcc.toml"""
    from dcc.gateway.masking import unmask as lift

    _change(document_id, config, hidden_from, operator, json_output, lift)


def _change(
    document_id: str,
    config: Path,
    hidden_from: list[str] | None,
    operator: str,
    json_output: bool,
    action: Callable[[Services, str, Collection[str], str, datetime], Masked],
) -> None:
    from dcc.gateway.masking import NotMasked
    from dcc.gateway.services import open_services
    from dcc.router import oids

    codes = {
        "professionals": oids.MASQUE_PS, "patient": oids.INVISIBLE_PATIENT,
        "representatives": oids.INVISIBLE_REPRESENTANTS_LEGAUX,
    }  # fmt: skip
    wanted = hidden_from or ["professionals"]
    if not operator:
        common.stop("dites qui décide : --operator NOM", common.EXIT_USAGE)
    if not set(wanted) <= set(codes):
        common.stop("--from attend professionals, patient ou representatives", common.EXIT_USAGE)
    settings = common.settings_of(config)
    with open_services(settings) as services:
        try:
            done = action(services, document_id, {codes[one] for one in wanted}, operator, common.now_utc())
        except NotMasked as error:
            common.stop(str(error))
    masks = [one for one in done.document.confidentiality if one in oids.MASK_CODES]
    if json_output:
        common.print_json({"id": document_id, "masks": masks, "sent_to": done.sent_to})
        return
    typer.echo(f"{document_id} : {', '.join(masks) or 'sans masque'} ; envoyé à {done.sent_to} lecteur(s)")


def get(
    document_id: Annotated[str, typer.Argument(help="L'identifiant du document.")],
    config: ConfigOption,
    out: Annotated[Path, typer.Option(help="Le dossier où écrire les pièces.")] = Path(),
    operator: Annotated[str, typer.Option(envvar="USER", help="Qui demande : inscrit dans la trace.")] = "",
    readable: Annotated[
        bool, typer.Option("--readable", help="Écrit aussi le document mis en forme : une page HTML et un PDF.")
    ] = False,
    json_output: JsonOption = False,
) -> None:
    """Écrit les pièces d'un document, numérotées. Exemple : dcc document get ID -c dcc.toml --out pieces --readable"""
    from dcc.gateway.services import open_services
    from dcc.mailbox import documents
    from dcc.mailbox.blobs import BlobDamaged
    from dcc.mailbox.keyring import KeyMissing
    from dcc.mailbox.records import AuditRecord, DocumentStatus

    if not operator:
        common.stop("dites qui demande : --operator NOM", common.EXIT_USAGE)
    settings = common.settings_of(config)
    with open_services(settings) as services:
        with services.database.begin() as conn:
            document = documents.document(conn, document_id)
            if document is not None and document.status is DocumentStatus.DELETED:
                common.stop("ce document a été supprimé : son contenu n'est plus remis")
            if document is not None:
                services.audit.append(
                    conn,
                    AuditRecord(
                        at=common.now_utc(), tag="operator:document:read", actor=f"operator:{operator}",
                        certificate=None, message=document.message, mail_message_id=None,
                        folder=document.folder, document=document.id, decision="done", code=None,
                    ),
                )  # fmt: skip
        if document is None:
            common.stop("aucun document ne porte cet identifiant")
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        written: list[dict[str, str | int]] = []
        try:
            for number, part in enumerate(document.parts, 1):
                suffix = Path(part.name).suffix[:10] if Path(part.name).suffix.isascii() else ""
                path = out / f"{document.id}-{number}{suffix}"
                with services.blobs.open(part.blob) as source:
                    _write(source, path)
                written.append({"path": str(path), "name": part.name, "size": part.size, "sha256": part.sha256})
            if readable:
                written += _readable(services, document, out)
        except (FileNotFoundError, BlobDamaged, KeyMissing):
            common.stop("une pièce manque, est abîmée, ou sa clé n'est plus là : dcc restore --verify dit lesquelles")
    if json_output:
        common.print_json(written)
        return
    for line in written:
        typer.echo(f"{line['path']}  {line['size']} octets")


def _readable(services: Services, document: Document, out: Path) -> list[dict[str, str | int]]:
    """The document for a person's eyes, as a page and as a PDF."""
    from dcc.router.copies import reading_of
    from dcc.router.readingpdf import reading_pdf
    from dcc.templates.render import reading_page

    reading = reading_of(document, lambda part: services.blobs.open(part.blob))
    made = {"html": reading_page(reading).encode(), "pdf": reading_pdf(reading, document.received_at)}
    written: list[dict[str, str | int]] = []
    for ending, octets in made.items():
        path = out / f"{document.id}.{ending}"
        _write(io.BytesIO(octets), path)
        digest = hashlib.sha256(octets).hexdigest()
        written.append({"path": str(path), "name": path.name, "size": len(octets), "sha256": digest})
    return written


def _write(source: BinaryIO, path: Path) -> None:
    """Clinical content in clear, by an operator's wish: readable by the operator only."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as target:
        while chunk := source.read(1 << 16):
            target.write(chunk)
