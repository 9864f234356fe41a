"""Hostile content reaches neither the network nor a file, whichever reader it meets (I8)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dcc.router.request import Deposit, PlainDeposit
from hl7make import Hl7

WATCHED = {"open", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.system"}
_seen: list[tuple[str, Any]] | None = None
_hooked = False


def _hook(event: str, arguments: Any) -> None:
    if _seen is not None and event in WATCHED:
        _seen.append((event, arguments))


@contextmanager
def watched() -> Iterator[list[tuple[str, Any]]]:
    """Everything that is opened, connected or started meanwhile."""
    global _seen, _hooked
    found: list[tuple[str, Any]] = []
    _seen = found
    if not _hooked:  # from the first need on: it cannot be taken away, and slows down every test of this process
        _hooked = True
        sys.addaudithook(_hook)
    try:
        yield found
    finally:
        _seen = None


def test_what_is_opened_is_seen() -> None:
    """The watch itself: a file opened meanwhile is told, one opened before or after is not."""
    Path(__file__).open().close()
    with watched() as seen:
        Path(__file__).open().close()
    Path(__file__).open().close()
    assert [(event, Path(arguments[0])) for event, arguments in seen] == [("open", Path(__file__))]


DTDS = {
    "external DTD": '<!DOCTYPE ClinicalDocument SYSTEM "http://127.0.0.1:9/x.dtd">',
    "local file": '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    "parameter entity": '<!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;]>',
    "laughs": "<!DOCTYPE x [" + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 20)) + "]>",
}
OTHERS = {
    "stylesheet": '<?xml-stylesheet type="text/xsl" href="http://127.0.0.1:9/x.xsl"?>',
    "schema": "",
}


def documents(kit: Any) -> dict[str, tuple[bytes, str | None]]:
    """CDA documents with something that a careless reader would fetch, and the code they are refused with."""
    head, body = kit.cda().split(b"\n", 1)
    made = {name: (head + text.encode() + body, "D2R-XDM07") for name, text in DTDS.items()}
    made |= {name: (head + text.encode() + body, None) for name, text in OTHERS.items()}
    place = (
        b'xsi:schemaLocation="urn:hl7-org:v3 http://127.0.0.1:9/CDA.xsd" xmlns:xi="http://www.w3.org/2001/XInclude" '
    )
    included = body.replace(b"<ClinicalDocument ", b"<ClinicalDocument " + place, 1)
    included = included.replace(b"<realmCode", b'<xi:include href="file:///etc/passwd"/><realmCode', 1)
    return made | {"schema": (head + included, None)}


@pytest.mark.parametrize("way", ["archive", "loose", "hl7"])
def test_xml_fetches_nothing(kit: Any, way: str) -> None:
    """DTD, entities, XInclude, schema and stylesheet of a document: refused or left alone, nothing is fetched."""
    for name, (cda, code) in documents(kit).items():
        if way == "archive":
            archive = kit.xdm(kit.cda())
            import io
            import re
            import zipfile

            out = io.BytesIO()
            with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
                for entry in old.namelist():
                    data = cda if entry.endswith("DOC0001.XML") else old.read(entry)
                    if entry.endswith("METADATA.XML"):
                        data = re.sub(rb'<Slot name="(size|hash)">.*?</Slot>', b"", data)
                    new.writestr(entry, data)
            mail = kit.mail(("IHE_XDM.zip", "application/zip", out.getvalue()))
        elif way == "loose":
            mail = kit.mail(("cr.xml", "text/xml", cda))
        else:
            mail = kit.mail(("m.hl7", "text/plain", Hl7([("34794-8", "XML", cda)]).data()))
        kit.read(mail)  # what Python itself loads once is loaded now
        with watched() as seen:
            found = kit.read(mail)
        assert seen == [], name
        if code is None:
            assert isinstance(found, Deposit), (name, found)
            assert "root:" not in repr(found.documents)
        else:
            assert found.reason.code == code, name


def test_pages_and_files_fetch_nothing(kit: Any) -> None:
    """A mail's HTML with remote pictures, a PDF with actions, a text of links: read as bytes, nothing is opened."""
    page = (
        b'<html><base href="http://127.0.0.1:9/"><img src="x.png"><link rel=stylesheet href="a.css"><p>RCP</p></html>'
    )
    mail = (
        b"Subject: x\r\nFrom: dra@rca.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: text/html\r\n\r\n" + page + b"\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: "
        b"attachment; filename=a.pdf\r\n\r\n%PDF-1.4 /OpenAction /JavaScript /URI (http://127.0.0.1:9)\r\n--b--\r\n"
    )
    kit.read(mail)
    with watched() as seen:
        found = kit.read(mail)
    assert seen == []
    assert isinstance(found, PlainDeposit)
    assert found.types == (("34794-8", "2.16.840.1.113883.6.1"),)
