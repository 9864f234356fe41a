"""HL7 v2 messages as segments and fields, in bounded memory (facts/clinical.md §5)."""

from __future__ import annotations

import base64
import csv
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dcc.router.hl7 import SEGMENTS, WHOLE, Message, hl7_header, read_message
from dcc.router.hl7_fields import flags_of, ids_of, intent_of, kind_of_message, patient_of, payloads_of, sender_of
from dcc.smime.errors import LimitPassed, Malformed
from hl7make import Hl7


def message(kit: Any, data: bytes) -> Message:
    return read_message(kit.attachment(data, "m.hl7", "application/hl7-v2"))


def test_headers_of_the_samples(shared: Path) -> None:
    """Every HL7 sample has the message type the index says, with LF, CR and CR LF."""
    folder = shared / "samples/hl7"
    for row in csv.DictReader((folder / "INDEX.csv").read_text(encoding="utf-8").splitlines()):
        if not row["file"].endswith((".er7", ".hl7")):
            continue
        data = (folder / row["file"]).read_bytes()
        for form in (data, data.replace(b"\r\n", b"\n").replace(b"\n", b"\r"), data.replace(b"\n", b"\r\n")):
            header = hl7_header(form)
            assert header is not None, row["file"]
            assert header.message_type == "^".join(row["message_type"].split("^")[:2])


def test_fields_of_the_samples(kit: Any, shared: Path) -> None:
    """Every MDM and ORU sample: kind, intent, patient and documents, as index and file say."""
    folder = shared / "samples/hl7"
    intents = {"NW": "new", "CA": "delete", "RO": "replace"}
    seen = 0
    for row in csv.DictReader((folder / "INDEX.csv").read_text(encoding="utf-8").splitlines()):
        if not row["message_type"].startswith(("MDM", "ORU")):
            continue
        found = message(kit, (folder / row["file"]).read_bytes())
        assert kind_of_message(found) == "^".join(row["message_type"].split("^")[:2])
        expected = intents.get(row["orc_1"], "delete" if "T04" in row["message_type"] else "new")
        assert intent_of(found) == expected, row["file"]
        patient = patient_of(found)
        assert patient.ins is not None
        assert (len(patient.ins), patient.sex in {"F", "M"}, len(patient.birth_date or "")) == (15, True, 8)
        assert payloads_of(found), row["file"]
        assert all(one.kind == "XML" for one in payloads_of(found))
        assert sender_of(found) is not None
        seen += 1
    assert seen == 7


def test_identity_of_a_sample(kit: Any, shared: Path) -> None:
    """PID-3 by its type INS, PID-5 of type L, the BDL address of PID-11."""
    data = (shared / "samples/hl7/MDM_T02_CR_radio_initial_v2.1.er7").read_bytes()
    patient = patient_of(message(kit, data))
    assert (patient.ins, patient.oid) == ("279035121518989", "1.2.250.1.213.1.4.10")
    assert (patient.birth_name, patient.first_given, patient.birth_place) == ("PAT-TROIS", "DOMINIQUE", "63220")
    assert ids_of(message(kit, data)) == ("1.2.250.1.71.4.2.2.120456789.71024000081", None)
    flags = flags_of(message(kit, data))
    assert (flags["MASQUE_PS"], flags["INVISIBLE_PATIENT"], flags["DESTMSSANTEPAT"]) == ("N", "Y", "N")


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segment_ends(kit: Any, end: str) -> None:
    """CR, LF and CR LF end a segment; an MLLP frame around it does no harm."""
    data = Hl7([("34794-8", "XML", b"<x/>")], end=end).data()
    for form in (data, b"\x0b" + data + b"\x1c\r"):
        assert [one.kind for one in payloads_of(message(kit, form))] == ["XML"]


def test_other_separators_and_escapes(kit: Any) -> None:
    """Separators come from the header, escapes are resolved."""
    data = b"MSH#*~\\&#A#B#C#D#2025##MDM*T02#77#P#2.6\rPID###x*y##O\\S\\NEIL*A\\F\\B\r"
    found = message(kit, data)
    assert kind_of_message(found) == "MDM^T02"
    assert (patient_of(found).birth_name, patient_of(found).first_given) == ("O*NEIL", "A#B")


@pytest.mark.parametrize("data", [b"", b"MSH", b"MSH|^~\\&|||||||", b"PID|1", b"%PDF", b"MSHAAAAAAAAAAA"])
def test_other_bytes_have_no_header(data: bytes) -> None:
    """Anything else is not HL7."""
    assert hl7_header(data) is None


def test_large_values_stay_in_the_file(kit: Any) -> None:
    """A value of 24 MB is found by its place, in less than a megabyte of memory, and so are the fields behind it."""
    data = Hl7([("34794-8", "PDF", bytes(range(256)) * (72 << 10))], status="C").data()
    source = kit.attachment(data)
    tracemalloc.start()
    found = read_message(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20
    (payload,) = payloads_of(found)
    assert (payload.status, payload.size) == ("C", (18 << 20) * 4 // 3)
    with source.open() as reader:
        reader.seek(payload.start)
        assert base64.b64decode(reader.read(1024)) == (bytes(range(256)) * 3)


def test_bounds(kit: Any) -> None:
    """Too many segments, or a long one that is no encoded value, are over a limit; no MSH is malformed."""
    with pytest.raises(LimitPassed):
        message(kit, Hl7().data() + b"NTE|1\r" * SEGMENTS)
    with pytest.raises(LimitPassed):
        message(kit, Hl7().data() + b"NTE|" + b"x" * WHOLE + b"\r")
    with pytest.raises(LimitPassed):
        message(kit, Hl7().data() + b"OBX|1|TX|" + b"x" * WHOLE + b"\r")
    for data in (b"", b"PID|1\r", b"MSH||||||||||"):
        with pytest.raises(Malformed):
            message(kit, data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 900), piece=st.binary(max_size=40), cut=st.integers(20, 900))
def test_damaged_messages_are_values(kit: Any, place: int, piece: bytes, cut: int) -> None:
    """Whatever is damaged, reading ends with a message or one of two errors, and its fields can be asked."""
    whole = Hl7([("34794-8", "XML", b"<x/>")], flags={"MASQUE_PS": "Y"}).data()
    try:
        found = message(kit, (whole[:place] + piece + whole[place + len(piece) :])[:cut])
    except (Malformed, LimitPassed):
        return
    for ask in (patient_of, flags_of, ids_of, intent_of, payloads_of, sender_of, kind_of_message):
        ask(found)
