"""What came without an archive gets one when it is sent: our own reader reads it, independent tools find it whole."""

from __future__ import annotations

import base64
import hashlib
import io
import tracemalloc
import zipfile
from typing import Any

import pytest
from lxml import etree

from dcc.router.wrap import IN_MEMORY, needs_archive, write_archive
from dcc.smime.workfile import WorkFile
from hl7make import Hl7


def archive(kit: Any, decision: Any, patient: Any) -> tuple[bytes, list[Any], list[bytes]]:
    """The archive of a filed deposit, its documents, and the bytes of each document's own part."""
    documents = list(kit.settle(decision))
    held = {one.deposited.digest: b"".join(one.deposited.source.chunks()) for one in decision.new}
    assert needs_archive(documents)
    out = WorkFile()
    size = write_archive(documents, patient, lambda part: io.BytesIO(held[part.sha256]), out)
    assert size == out.size
    return out.view().read(), documents, list(held.values())


@pytest.mark.parametrize("size", [10, 3 * 70_000 + 1, IN_MEMORY])
def test_plain_file(kit: Any, constants: Any, size: int) -> None:
    """A PDF becomes a CDA N1 of the folder's patient, with its own id, type, author and masks; small or large."""
    data = b"%PDF-1.4" + bytes(range(256)) * (size // 256 + 1)
    decision = kit.decide(
        kit.read(kit.mail(("a.pdf", "application/pdf", data), headers=(("Subject", "RCP"), ("From", "a@b"))))
    )
    made, (document,), _ = archive(kit, decision, constants["p0"])
    with zipfile.ZipFile(io.BytesIO(made)) as listing:
        assert listing.testzip() is None
        assert {"INDEX.HTM", "README.TXT", "IHE_XDM/SUBSET01/METADATA.XML"} < set(listing.namelist())
        cda = listing.read("IHE_XDM/SUBSET01/DOC0001.XML")
        metadata = listing.read("IHE_XDM/SUBSET01/METADATA.XML")
    body = etree.fromstring(cda, etree.XMLParser(huge_tree=True)).find(
        ".//{urn:hl7-org:v3}nonXMLBody/{urn:hl7-org:v3}text"
    )
    assert body is not None
    assert (body.get("mediaType"), base64.b64decode(body.text or "")) == ("application/pdf", data)
    assert hashlib.sha1(cda).hexdigest().encode() in metadata
    found = kit.read(kit.mail(("IHE_XDM.zip", "application/zip", made)))
    read = found.documents[0]
    assert (read.unique_id, read.type_code, read.format_code) == (
        document.unique_id, "34794-8", "urn:ihe:iti:xds-sd:pdf:2008",
    )  # fmt: skip
    assert (read.patient.ins, read.author.id) == ("279035121518989", "899700000017")
    assert found.findings == ()


def test_document_of_an_hl7_message(kit: Any, constants: Any) -> None:
    """A CDA that came in an HL7 message is put into the archive as it is, with its masks."""
    cda = kit.cda()
    message = Hl7([("34794-8", "XML", cda)], flags={"INVISIBLE_PATIENT": "Y"}).data()
    decision = kit.decide(kit.read(kit.mail(("m.hl7", "text/plain", message))))
    made, _, _ = archive(kit, decision, constants["p0"])
    with zipfile.ZipFile(io.BytesIO(made)) as listing:
        assert listing.read("IHE_XDM/SUBSET01/DOC0001.XML") == cda
    read = kit.read(kit.mail(("IHE_XDM.zip", "application/zip", made))).documents[0]
    assert "INVISIBLE_PATIENT" in read.confidentiality


def test_received_archive_is_not_made_anew(kit: Any) -> None:
    """What came with an archive is sent with that archive."""
    assert not needs_archive(kit.settle(kit.decide(kit.deposit())))


def test_large_file_in_little_memory(kit: Any, constants: Any) -> None:
    """A file of 40 MB is wrapped within the memory of a work file and a few megabytes."""
    size = 40 << 20

    class Long(io.RawIOBase):
        left = size

        def readable(self) -> bool:
            return True

        def read(self, count: int = -1) -> bytes:
            found = (
                b"%PDF" + bytes(max(0, min(count, self.left) - 4))
                if self.left == size
                else bytes(min(count, self.left))
            )
            self.left -= len(found)
            return found

    data = b"%PDF-1.4"
    decision = kit.decide(
        kit.read(kit.mail(("a.pdf", "application/pdf", data), headers=(("Subject", "RCP"), ("From", "a@b"))))
    )
    (document,) = kit.settle(decision)
    from dataclasses import replace

    part = replace(document.parts[0], size=size)
    document = replace(document, parts=(part,))
    tracemalloc.start()
    out = WorkFile()
    write_archive([document], constants["p0"], lambda _: Long(), out)  # type: ignore[arg-type,return-value]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 << 20
    assert out.size > 0
