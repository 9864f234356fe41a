"""`dcc deposit`: build, seal, send, report, as an establishment's script relies on it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings
from dcc.mailbox import documents
from smtpscript import ScriptedServer
from terminal import dcc
from workedinstance import Worked, deposit


def test_filed(worked: Worked) -> None:
    """Filed: exit 0, and the report is that of `dcc message show`."""
    assert (worked.filed.code, worked.filed.err) == (0, "")
    told = worked.filed.json
    assert (told["state"], told["reason"]) == ("filed", None)
    assert told["folder"] == worked.cast.folder("main")["id"]
    assert len(told["documents"]) == 1
    assert dcc("message", "show", told["id"], "-c", worked.directory / "dcc.toml", "--json").json == told


def test_refused(worked: Worked) -> None:
    """Refused: exit 1, with the reason; the folder may be named by its reference."""
    told = worked.refused.json
    assert (worked.refused.code, told["state"], told["reason"]["code"]) == (1, "refused", "D2R-MAN01")
    assert told["documents"] == []


def test_held(worked: Worked) -> None:
    """Held for a person: exit 3, the outcome is not known yet."""
    told = worked.held.json
    assert (worked.held.code, told["state"], told["reason"]["code"]) == (3, "held", "904")


def test_what_was_deposited_is_what_is_kept(worked: Worked, ask: Callable[..., Any]) -> None:
    """`parts` are every attachment as received, the zip too, and every file of the archive, octet for octet."""
    folder = ask("folder", "show", worked.cast.folder("main")["id"])
    (one,) = folder["documents"]
    parts = {part["name"]: part for part in one["parts"]}
    assert all(set(part) == {"name", "media_type", "size", "sha256"} for part in one["parts"])
    for name in ("biology.xml", "copie.pdf"):
        data = (worked.sources / name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) in {(p["size"], p["sha256"]) for p in one["parts"]}, name
    assert parts["IHE_XDM.zip"]["media_type"] == "application/zip"
    settings = load_settings(worked.directory / "dcc.toml", {})
    with open_services(settings) as services, services.database.read() as conn:
        kept = documents.document(conn, one["id"])
        assert kept is not None
        archive = services.blobs.read(next(part.blob for part in kept.parts if part.role == "archive"))
    assert hashlib.sha256(archive).hexdigest() == parts["IHE_XDM.zip"]["sha256"]
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        inside = {hashlib.sha256(zipped.read(one)).hexdigest() for one in zipped.infolist()}
        read = [zipped.read(one) for one in zipped.infolist()]
    cda = {hashlib.sha256(one).hexdigest() for one in read if b"<ClinicalDocument" in one}
    assert len(cda) == 1
    told = {part["sha256"] for part in one["parts"]}
    assert cda <= told
    assert told <= inside | {parts["IHE_XDM.zip"]["sha256"], parts["copie.pdf"]["sha256"]}


@pytest.mark.parametrize(
    ("files", "word"),
    [
        (["copie.pdf"], "document CDA"),
        (["absent.xml"], "absent.xml"),
        (["notes.docx"], "notes.docx"),
        (["broken.xml"], "broken.xml"),
    ],
)
def test_files_that_make_no_deposit(files: list[str], word: str, worked: Worked, tmp_path: Path) -> None:
    """No CDA, a file that is absent, of an unknown type or unreadable: exit 2, one sentence that names it."""
    (tmp_path / "broken.xml").write_bytes(b"<ClinicalDocument")
    (tmp_path / "notes.docx").write_bytes(b"x")
    (tmp_path / "copie.pdf").write_bytes((worked.sources / "copie.pdf").read_bytes())
    main = worked.cast.folder("main")["address"]
    done = deposit(
        worked.cast, worked.directory / "dcc.toml", [tmp_path / one for one in files], "automaton", main,
        "--smtp", "127.0.0.1:1",
    )  # fmt: skip
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert word in done.err


def test_no_gateway(worked: Worked) -> None:
    """A gateway that does not run, or does not answer: exit 3, could not find out; a false address is a usage error."""
    config, files = worked.directory / "dcc.toml", [worked.sources / "biology.xml"]
    main = worked.cast.folder("main")["address"]
    for options, code in (((), 3), (("--smtp", "127.0.0.1:1"), 3), (("--smtp", "nowhere"), 2)):
        done = deposit(worked.cast, config, files, "automaton", main, *options)
        assert (done.code, len(done.err.splitlines())) == (code, 1)


@pytest.mark.parametrize(
    ("verb", "reply", "code"),
    [
        ("MAIL", "452 4.3.1 Insufficient system storage, try again later", 3),
        ("end", "451 4.3.0 Temporary failure, try again later", 3),
        ("connect", "421 4.7.0 Too many connections, try again later", 3),
        ("RCPT", "550 5.1.1 No such mailbox here", 1),
    ],
)
def test_not_taken(worked: Worked, verb: str, reply: str, code: int) -> None:
    """Not now (4xx) is not a refusal: exit 3, the script tries again; 5xx is one: exit 1. The reply is quoted."""
    main = worked.cast.folder("main")["address"]
    with ScriptedServer() as door:
        door.replies[verb].append(reply)
        done = deposit(
            worked.cast, worked.directory / "dcc.toml", [worked.sources / "biology.xml"], "automaton", main,
            "--smtp", f"127.0.0.1:{door.port}",
        )  # fmt: skip
    assert (done.code, done.err) == (code, f"la passerelle n'a pas pris l'envoi : {reply}\n")


def test_unknown_reference(worked: Worked) -> None:
    """A reference that no folder has is said before anything is sent."""
    config, files = worked.directory / "dcc.toml", [worked.sources / "biology.xml"]
    done = deposit(worked.cast, config, files, "automaton", "D-0000-0000", "--smtp", "127.0.0.1:1")
    assert (done.code, done.err) == (1, "aucun dossier ne porte cet identifiant ou cette référence\n")


def test_a_certificate_that_does_not_sign(worked: Worked) -> None:
    """The encryption certificate in place of the signature's is named as the fault."""
    cast, entry = worked.cast, worked.cast.person("automaton")
    done = dcc(
        "deposit", worked.sources / "biology.xml", "-c", worked.directory / "dcc.toml", "--folder",
        cast.folder("main")["address"], "--signer", cast.directory / entry["encryption"]["p12"], "--password",
        entry["encryption"]["password"], "--from", entry["mailbox"], "--smtp", "127.0.0.1:1",
    )  # fmt: skip
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "pas fait pour signer" in done.err


def test_a_wrong_password(worked: Worked) -> None:
    """A password that does not open the PKCS#12 is a usage error; it may come from the environment."""
    cast = worked.cast
    arguments = (
        "deposit", worked.sources / "biology.xml", "-c", worked.directory / "dcc.toml", "--folder",
        cast.folder("main")["address"], "--signer", cast.directory / cast.person("automaton")["card"]["p12"],
        "--from", cast.person("automaton")["mailbox"],
    )  # fmt: skip
    assert dcc(*arguments, "--password", "wrong").code == 2
    assert dcc(*arguments).code == 2
    told = dcc(*arguments, environment={"DCC_SIGNER_PASSWORD": "demonstration"})
    assert (told.code, told.err) == (3, "la passerelle ne tourne pas : donnez --smtp hôte:port\n")
