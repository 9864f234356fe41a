"""Acceptance D, cases 24 to 30: archive and document; through the whole pipeline."""

from __future__ import annotations

import csv
import io
import stat
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dcc.router.cda import read_cda
from dcc.router.doctypes import document_types
from desk import ZIP, Desk, end


def repacked(archive: bytes, change: Any) -> bytes:
    """The archive with its files changed by `change(name, data) -> (name, data) | None`."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            made = change(name, old.read(name))
            if made is not None:
                new.writestr(*made)
    return out.getvalue()


def sent(desk: Desk, archive: bytes, name: str = "IHE_XDM.zip") -> tuple[str, str | None]:
    """The end of a mail with this archive."""
    return end(desk.send(desk.entity((name, ZIP, archive))))


def test_case_24_unknown_type(desk: Desk) -> None:
    """Case 24: a type that JDV_J07 does not have: refused D2R-TYP01."""
    cda = desk.cda().replace(b'code="34794-8"', b'code="99999-9"', 1)
    assert sent(desk, desk.xdm(cda)) == ("refused", "D2R-TYP01")


def test_case_25_types_differ(desk: Desk) -> None:
    """Case 25: METADATA says another type than the CDA: refused D2R-XDM04."""

    def change(name: str, data: bytes) -> tuple[str, bytes]:
        return (name, data.replace(b"34794-8", b"60568-3")) if name.endswith("METADATA.XML") else (name, data)

    assert sent(desk, repacked(desk.xdm(desk.cda()), change)) == ("refused", "D2R-XDM04")


@pytest.mark.parametrize("what", ["hash", "size", "no-number"])
def test_case_26_hash_or_size(desk: Desk, what: str) -> None:
    """Case 26: hash or size of METADATA is not the document's: refused D2R-XDM03."""
    import re

    def change(name: str, data: bytes) -> tuple[str, bytes]:
        if what == "hash" and name.endswith("DOC0001.XML"):
            return name, data.replace(b"Proposition", b"Propositiom")
        if what != "hash" and name.endswith("METADATA.XML"):
            value = b"12" if what == "size" else b"douze"
            return name, re.sub(rb'(name="size"><ValueList><Value>)\d+', rb"\g<1>" + value, data)
        return name, data

    assert sent(desk, repacked(desk.xdm(desk.cda()), change)) == ("refused", "D2R-XDM03")


def test_case_27_archive_incomplete(desk: Desk) -> None:
    """Case 27: no METADATA.XML, no SUBSET01, an attachment that is not a zip: refused D2R-XDM01."""
    whole = desk.xdm(desk.cda())
    without = repacked(whole, lambda name, data: None if name.endswith("METADATA.XML") else (name, data))
    elsewhere = repacked(whole, lambda name, data: (name.replace("IHE_XDM/SUBSET01/", ""), data))
    gone = repacked(whole, lambda name, data: None if name.endswith("DOC0001.XML") else (name, data))
    for archive in (without, elsewhere, gone, b"not a zip at all", b""):
        assert sent(desk, archive) == ("refused", "D2R-XDM01")
    assert end(desk.send(desk.entity(("piece.bin", "application/octet-stream", bytes(range(256)))))) == (
        "refused", "D2R-XDM01",
    )  # fmt: skip


def unsafe(kind: str) -> bytes:
    """An archive that must not be opened."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if kind == "bomb":
            archive.writestr("IHE_XDM/SUBSET01/DOC0001.XML", bytes(80 << 20))
        elif kind == "link":
            entry = zipfile.ZipInfo("IHE_XDM/SUBSET01/DOC0001.XML")
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
        else:
            archive.writestr(kind, b"x")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["bomb", "link", "../x", "/etc/x", "IHE_XDM/../../x", "C:\\x", "..\\x"])
def test_case_28_unsafe_archive(desk: Desk, kind: str) -> None:
    """Case 28: a bomb, a path that leaves, an absolute one, a link: refused D2R-XDM02, in bounded memory and time."""
    archive = unsafe(kind)
    tracemalloc.start()
    begun = time.process_time()
    assert sent(desk, archive) == ("refused", "D2R-XDM02")
    spent, peak = time.process_time() - begun, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20
    assert spent < 20


def test_case_29_two_record_targets(desk: Desk) -> None:
    """Case 29: a CDA with two recordTarget: refused D2R-XDM06."""
    cda = desk.cda()
    start, stop = cda.index(b"<recordTarget>"), cda.index(b"</recordTarget>") + len(b"</recordTarget>")
    archive = desk.xdm(cda)

    def change(name: str, data: bytes) -> tuple[str, bytes]:
        return (name, data[:stop] + data[start:stop] + data[stop:]) if name.endswith("DOC0001.XML") else (name, data)

    import re

    def described(name: str, data: bytes) -> tuple[str, bytes]:
        made = change(name, data)
        if not name.endswith("METADATA.XML"):
            return made
        return name, re.sub(rb'<Slot name="(size|hash)">.*?</Slot>', b"", data)

    assert sent(desk, repacked(archive, described)) == ("refused", "D2R-XDM06")


def test_case_30_public_samples(desk: Desk, shared: Path) -> None:
    """Case 30: each of the 20 samples is read with the type, identity and ids of the index, class and format of doctypes."""
    folder = shared / "samples/cda"
    types = {
        (row["typeCode"], row["N3_templateId"]): row
        for row in csv.DictReader((shared / "samples/doctypes.csv").read_text(encoding="utf-8").splitlines())
    }
    rows = list(csv.DictReader((folder / "INDEX.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 20
    for row in rows:
        data = (folder / row["file"]).read_bytes()
        header = read_cda(io.BytesIO(data), len(data))
        assert (header.type_code, header.type_system) == (row["type_code"], row["code_system"])
        patient = header.patient
        assert [one.id for one in header.authors] == row["author_ids"].split(";")
        assert header.custodian == row["custodian"]
        expected = (row["ins"], row["ins_oid"], row["birth_name"], row["first_given"], row["sex"], row["birth_date"])
        assert (" ".join(patient.given_names), patient.birth_place) == (row["given_names"], row["birth_place_cog"])
        assert (
            patient.ins,
            patient.oid,
            patient.birth_name,
            patient.first_given,
            patient.sex,
            patient.birth_date,
        ) == expected
        changes = {} if patient.oid == "1.2.250.1.213.1.4.10" else {"ins": patient.ins, "oid": patient.oid}
        message = desk.send(desk.entity(("IHE_XDM.zip", ZIP, desk.xdm(data, **changes))))
        if row["file"].startswith("eDISP"):
            assert end(message) == ("refused", "904")
            continue
        if row["replaces"]:
            assert end(message) == ("refused", "900"), row["file"]
            continue
        assert end(message) == ("filed", None), row["file"]
        document = next(one for one in desk.documents() if one.message == message.id)
        assert (document.unique_id, document.set_id, document.version) == (
            row["document_id"], row["set_id"] or None, int(row["version"]) if row["version"] else None,
        )  # fmt: skip
        kind = document_types()[document.type_code, document.type_system]
        assert document.class_code == kind.class_code
        templates = [one.split("^")[0] for one in header.templates]
        listed = [types[row["type_code"], one] for one in templates if (row["type_code"], one) in types]
        if header.structured:
            assert document.format_code == (listed[-1]["formatCode_N3"] if listed else None), row["file"]
        else:
            assert document.format_code == "urn:ihe:iti:xds-sd:pdf:2008"


def test_case_30_unlisted_template_is_reported(desk: Desk, shared: Path) -> None:
    """Case 30: a template that is not listed under its code is read, and the mismatch reported."""
    data = (shared / "samples/cda/01_Modèles_contenus_CDA.xml").read_bytes()
    import hashlib

    from dcc.router.read import read_request
    from dcc.smime.headers import Headers
    from dcc.smime.verdict import Content
    from dcc.smime.workfile import WorkFile

    entity = desk.entity(("IHE_XDM.zip", ZIP, desk.xdm(data)))
    file = WorkFile()
    file.write(entity)
    content = Content(file, 0, len(entity), hashlib.sha256(entity).hexdigest())
    request: Any = read_request(content, Headers(()), limits=desk.services.limits)
    assert "template-not-listed-for-type" in request.findings
    assert request.documents[0].type_code == "60591-5"
