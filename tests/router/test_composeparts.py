"""Attachments encoded once for a deposit: kept for its readers, within a bounded memory (I8)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dcc.mailbox.blobs import BlobStore
from dcc.mailbox.keyring import KeyRing
from dcc.mailbox.records import Document, Part
from dcc.router import composeparts
from dcc.router.composeparts import IN_MEMORY, KEPT, Enclosed, EncodedDeposits
from dcc.smime.segments import body_chunks

Encode = Callable[[int, int], Enclosed]


@pytest.fixture
def encoded(tmp_path: Path) -> EncodedDeposits:
    """A cache over documents under keys."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "work").mkdir()
    store = BlobStore(tmp_path / "documents", KeyRing({1: bytes(32)}), os.urandom)
    return EncodedDeposits(store, tmp_path / "work", os.urandom)


@pytest.fixture
def encode(encoded: EncodedDeposits, kit: Any, constants: Any) -> Encode:
    """Enclose one PDF of so many octets, as the document of this number."""
    (filed,) = kit.settle(kit.decide(kit.deposit()))
    with kit.database.read() as conn:
        from dcc.mailbox import folders

        folder = folders.folder(conn, kit.folder)

    def make(number: int, size: int) -> Enclosed:
        ref = encoded._blobs.put(iter((b"%PDF-1.7 " + os.urandom(size),)))
        part = Part("a.pdf", "application/pdf", size + 9, ref.sha256, ref, "document")
        document: Document = replace(filed, id=f"d{number}", parts=(part,))
        return encoded.enclosed([document], constants["p0"], folder, complete=False)

    return make


def held(encoded: EncodedDeposits) -> int:
    return sum(file.in_memory for file, _ in encoded._kept.values())


@pytest.mark.parametrize("size", [1_000, 700_000, 2_700_000, 4_500_000])
def test_memory_of_all_that_is_kept_is_bounded(size: int, encoded: EncodedDeposits, encode: Encode) -> None:
    """Whatever their sizes, those that are kept have IN_MEMORY together, and the newest is among them."""
    for number in range(6):
        encode(number, size)
        assert held(encoded) <= IN_MEMORY
        assert 1 <= len(encoded._kept) <= KEPT
        assert next(reversed(encoded._kept))[0] == (f"d{number}",)
    assert held(encoded) > 0


def test_a_large_one_takes_nobodys_place(encoded: EncodedDeposits, encode: Encode) -> None:
    """What is larger than all may be lies on the disk from the first, and the small ones stay at hand."""
    encode(1, 500_000)
    before = held(encoded)
    encode(2, IN_MEMORY)
    assert [key[0] for key in encoded._kept] == [("d1",), ("d2",)]
    assert held(encoded) == before


def test_read_on_after_it_was_let_go(encoded: EncodedDeposits, encode: Encode) -> None:
    """A reader's mail that is being sealed is not cut short when other deposits come."""
    found = encode(1, 300_000)
    expected = b"".join(body_chunks([found.parts[-1].segment]))
    for number in range(2, 2 + KEPT + 1):
        encode(number, 300_000)
    assert ("d1",) not in [key[0] for key in encoded._kept]
    assert b"".join(body_chunks([found.parts[-1].segment])) == expected


def test_bound_is_the_table(encoded: EncodedDeposits, encode: Encode, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one only, one is kept."""
    monkeypatch.setattr(composeparts, "IN_MEMORY", 2_000_000)
    for number in range(3):
        encode(number, 500_000)
    assert len(encoded._kept) == 1
