"""Directories of people that speak their protocols on this machine: OpenLDAP, and a FHIR server."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from listdirectory import _wait

CONFIGURATION = """include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
database mdb
suffix "o=dcc"
directory {folder}/data
maxsize 16777216
"""


@contextmanager
def ldap_people(folder: Path, people: dict[str, list[bytes]]) -> Iterator[str]:
    """An LDAP URL below which each mailbox has these certificates."""
    (folder / "data").mkdir(parents=True)
    (folder / "slapd.conf").write_text(CONFIGURATION.format(folder=folder), encoding="ascii")
    entries = ["dn: o=dcc\nobjectClass: organization\no: dcc\n"]
    for number, (mailbox, certificates) in enumerate(people.items()):
        lines = [
            f"dn: cn={number},o=dcc", "objectClass: inetOrgPerson", f"cn: {number}", "sn: essai", f"mail: {mailbox}",
            *(f"userCertificate;binary:: {base64.b64encode(one).decode()}" for one in certificates),
        ]  # fmt: skip
        entries.append("\n".join(lines) + "\n")
    (folder / "people.ldif").write_text("\n".join(entries), encoding="ascii")
    program = shutil.which("slapd") or "/usr/sbin/slapd"
    configuration = str(folder / "slapd.conf")
    add = [program, "-T", "add", "-f", configuration, "-l", str(folder / "people.ldif")]
    subprocess.run(add, check=True, capture_output=True, timeout=60)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "-f", configuration, "-h", f"ldap://127.0.0.1:{port}", "-d", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait(server, port)
            yield f"ldap://127.0.0.1:{port}/o=dcc"
        finally:
            server.terminate()
            server.wait(30)


def practitioner(mailbox: str, idnps: str, certificate: bytes | None = None) -> dict[str, Any]:
    """A Practitioner as the FHIR directory v2 gives it; the certificate extension is seldom there."""
    told: dict[str, Any] = {
        "resourceType": "Practitioner",
        "identifier": [
            {"system": "https://rpps.esante.gouv.fr", "value": idnps[1:]},
            {"system": "urn:oid:1.2.250.1.71.4.2.1", "value": idnps},
        ],
        "name": [{"family": "ESSAI", "given": ["Anne"]}],
        "telecom": [{"system": "email", "value": mailbox}],
    }
    if certificate is not None:
        inner = [{"url": "certificate", "valueBase64Binary": base64.b64encode(certificate).decode()}]
        url = "https://interop.esante.gouv.fr/ig/fhir/annuaire/StructureDefinition/as-ext-digital-certificate"
        told["extension"] = [{"url": url, "extension": inner}]
    return told


class FhirServer(ThreadingHTTPServer):
    """Answers searches from its resources; ignores the search, as a server that does not know it would, when told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Asked)
        self.resources: list[dict[str, Any]] = []
        self.key = "cle-de-test"
        self.ignores_search = False
        self.broken: bytes | None = None

    @property
    def url(self) -> str:
        """The base."""
        return f"http://127.0.0.1:{self.server_port}/fhir/v2"


class _Asked(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        parts = urlsplit(self.path)
        kind, wanted = parts.path.rpartition("/")[2], parse_qs(parts.query)["mailbox-mss"]
        if self.headers["ESANTE-API-KEY"] != server.key:
            self.send_error(401)
            return
        held = [one for one in server.resources if one["resourceType"] == kind]
        if not server.ignores_search:
            held = [one for one in held if one["telecom"][0]["value"] in wanted]
        bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in held]}
        body = server.broken or json.dumps(bundle).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@contextmanager
def fhir_people() -> Iterator[FhirServer]:
    """One for the length of the block."""
    with FhirServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
