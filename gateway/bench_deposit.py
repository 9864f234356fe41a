"""Deposits for the bench: a demo instance of its own, a folder with three readers, and sealed reports of any size."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from dcc.gateway.instance import initialise
from dcc.gateway.settings import Settings
from dcc.mailbox import folders
from dcc.mailbox.database import Database
from dcc.mailbox.records import Patient
from dcc.router.cda_write import CdaDraft, Structure, new_document_id, write_n1
from dcc.router.doctypes import LOINC
from dcc.router.request import Professional
from dcc.router.xdm_write import XdmDocument, XdmSubmission, write_xdm
from dcc.smime.keys import KeyPair, load_pkcs12
from dcc.smime.seal import MailHeaders, key_signer, seal

READERS = ("coordinator", "gp", "pathologist")
SENDER = "oncologist"
REPORT = "11488-4"  # LOINC: compte rendu de consultation


@dataclass(frozen=True, slots=True)
class Instance:
    """A demo instance in which one folder has exactly three readers with encryption certificates."""

    directory: Path
    settings: Settings
    sender: KeyPair
    sender_entry: dict[str, Any]
    patient: Patient
    address: str
    certificate: bytes


def make_instance(directory: Path) -> Instance:
    """Initialise, and take the mandates of everybody but the sender and three readers away."""
    now = datetime.now(UTC)
    settings = initialise(directory, demo=True, now=now, random_bytes=os.urandom)
    told = json.loads((directory / "demo" / "cast.json").read_text(encoding="utf-8"))
    people = {one["key"]: one for one in told["people"]}
    folder = next(one for one in told["folders"] if one["key"] == "main")
    patient = next(one for one in told["patients"] if one["key"] == folder["patient"])
    wanted = {people[key]["idnps"] for key in (*READERS, SENDER)}
    database = Database(settings.database_url)
    try:
        with database.begin() as conn:
            opened = folders.folder(conn, folder["id"])
            if opened is None:
                raise LookupError("the demo's folder")
            kept = {one.id for one in folders.readers(conn, opened, now) if one.national_id in wanted}
            for mandate in folders.mandates_of(conn, opened.id):
                if mandate.account not in kept:
                    folders.revoke_mandate(conn, mandate.id, at=now - timedelta(seconds=1))
    finally:
        database.close()
    entry = people[SENDER]
    card = entry["card"]
    return Instance(
        directory=directory,
        settings=settings,
        sender=load_pkcs12((directory / card["p12"]).read_bytes(), card["password"].encode()),
        sender_entry=entry,
        patient=Patient(
            "bench", patient["ins"], patient["oid"], patient["birth_name"], tuple(patient["given_names"]),
            patient["sex"], date.fromisoformat(patient["birth_date"]), patient["birth_place"], patient["status"],
        ),
        address=folder["address"],
        certificate=_der((directory / told["gateway"]["certificate"]).read_text(encoding="ascii")),
    )  # fmt: skip


def _der(pem: str) -> bytes:
    body = pem.partition("-----BEGIN CERTIFICATE-----")[2].partition("-----END")[0]
    return base64.b64decode(body)


def deposit(instance: Instance, size: int) -> bytes:
    """One report as the sender's client would send it, about `size` octets on the way; each is a new document."""
    now = datetime.now(UTC)
    entry = instance.sender_entry
    given, _, family = entry["name"].partition(" ")
    author = Professional(entry["idnps"], f"G15_{entry['profession']}/SM36", entry["structure"], None, family, given)
    draft = CdaDraft(
        unique_id=new_document_id(os.urandom), type_code=REPORT, type_system=LOINC, title="Compte rendu",
        patient=instance.patient, author=author, custodian=Structure(entry["structure"], "CH"), effective_time=now,
    )  # fmt: skip
    body = b"%PDF-1.7\n" + os.urandom(max(1, int(size / (78 / 57) ** 2 * 3 / 4) - 8_000))
    zipped = io.BytesIO()
    write_xdm(
        zipped, [XdmDocument.of(write_n1(draft, body))],
        XdmSubmission(new_document_id(os.urandom), "2.25.1", now, instance.patient, entry["mailbox"]),
    )  # fmt: skip
    raw = io.BytesIO()
    headers = MailHeaders(
        entry["mailbox"], instance.address, "XDM/1.0/DDM", now.replace(microsecond=0),
        f"<{os.urandom(12).hex()}@bench.example>",
    )  # fmt: skip
    seal(
        headers, _parts((("IHE_XDM.zip", "application/zip", zipped.getvalue()),)), MIXED,
        signer=key_signer(instance.sender), recipient=instance.certificate, out=raw, random_bytes=os.urandom,
    )  # fmt: skip
    return raw.getvalue()


BOUNDARY = "bench-boundary"
MIXED = (("Content-Type", f'multipart/mixed; boundary="{BOUNDARY}"'),)


def _parts(attachments: Sequence[tuple[str, str, bytes]]) -> list[bytes]:
    text = f"--{BOUNDARY}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nCompte rendu ci-joint.\r\n"
    found = [text.encode()]
    for name, kind, octets in attachments:
        head = (
            f"--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n"
            f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'
        )
        found += [head.encode(), base64.encodebytes(octets).replace(b"\n", b"\r\n")]
    return [*found, f"--{BOUNDARY}--\r\n".encode()]
