"""An instance that has worked: one deposit filed, one refused, one held, all through `dcc deposit` and `dcc serve`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dcc.gateway.cast_reader import Cast
from dcc.gateway.demo_deposits import BIOLOGY, RCP, Draft, document
from dcc.gateway.running import serving
from dcc.gateway.services import open_database
from dcc.gateway.settings import load_settings
from dcc.gateway.submission import wait_for_mails
from dcc.router.pdf import small_pdf
from instancecopy import copied
from terminal import Done, dcc

SECONDS = "100"  # a busy machine is slow; nothing waits that long


@dataclass(frozen=True)
class Worked:
    """The instance, stopped, and what `dcc deposit` said of each deposit."""

    directory: Path
    sources: Path
    filed: Done
    refused: Done
    held: Done

    @property
    def cast(self) -> Cast:
        """Who takes part."""
        return Cast.load(self.directory)


def deposit(cast: Cast, config: Path, files: list[Path], sender: str, folder: str, *options: str) -> Done:
    """`dcc deposit` as an establishment's script calls it."""
    entry = cast.person(sender)
    return dcc(
        "deposit", *files, "-c", config, "--folder", folder, "--signer", cast.directory / entry["card"]["p12"],
        "--password", entry["card"]["password"], "--from", entry["mailbox"], "--wait", SECONDS, "--json", *options,
    )  # fmt: skip


def make_worked(made: Path, directory: Path) -> Worked:
    """Copy a demo instance to `directory` and let it work; the deposited files lie beside it."""
    copied(made, directory)
    cast = Cast.load(directory)
    now = datetime.now(UTC).replace(microsecond=0)
    sources = directory.parent
    drafts = {
        "biology": Draft("automaton", "main", BIOLOGY), "rcp": Draft("no_mandate", "main", RCP),
        "other": Draft("oncologist", "main", RCP, patient="withdrawn"),
    }  # fmt: skip
    for name, draft in drafts.items():
        (sources / f"{name}.xml").write_bytes(document(cast, draft, now, os.urandom))
    (sources / "copie.pdf").write_bytes(small_pdf("Copie", ["Copie lisible."]))
    config = directory / "dcc.toml"
    main = cast.folder("main")
    with serving(config, log=directory / "run" / "journal.log"):
        filed = deposit(cast, config, [sources / "biology.xml", sources / "copie.pdf"], "automaton", main["address"])
        refused = deposit(cast, config, [sources / "rcp.xml"], "no_mandate", main["reference"])
        held = deposit(cast, config, [sources / "other.xml"], "oncologist", main["address"])
        with open_database(load_settings(config, {})) as database:
            assert wait_for_mails(database, seconds=float(SECONDS))
    return Worked(directory, sources, filed, refused, held)
