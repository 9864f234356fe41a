"""What a large opposition list costs: to index, in memory, and in a verdict against a small one in the same run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from asn1crypto import algos, core
from asn1crypto import crl as asn1
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from dcc.cards.crl import CrlStore
from dcc.cards.issue import Authority, LookAlikePki, new_key
from dcc.cards.judge import Judge
from dcc.cards.trust import trust_of
from dcc.cards.verdict import Verdict
from dcc.gateway.bench_memory import status

ENTRIES = 500_000  # issue 4: the largest list that must cost no more than a small one
SMALL = 50
ROUNDS = 300
CARDS = "FO-PP"


def measured(entries: int = ENTRIES, rounds: int = ROUNDS) -> dict[str, float]:
    """Sizes in octets, "index_seconds", "peak_over_idle", CPU "small_ms" and "large_ms" of a verdict, "ratio"."""
    with tempfile.TemporaryDirectory(prefix="dcc-bench-") as name:
        _write(Path(name), entries)
        done = subprocess.run(  # noqa: S603 - this very module, in a fresh process
            [sys.executable, "-m", "dcc.gateway.bench_lists", name, str(rounds)],
            capture_output=True, check=True, timeout=600,
        )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return {"entries": entries, **found}


def _write(folder: Path, entries: int) -> None:
    """A card, its authorities, and two lists that do not name it."""
    now = datetime.now(UTC).replace(microsecond=0)
    key = new_key()  # one for all: their number is no part of what is measured
    pki = LookAlikePki.create(now, key_source=lambda: key)
    card = pki.issue_card(
        "CPS", idnps="899700366240", family_name="MEDECIN", given_name="ANNE", not_before=now - timedelta(days=30),
        not_after=now + timedelta(days=300), card_number="8025000001/2800000001", profession=10, specialties=("SM36",),
    )  # fmt: skip
    (folder / "card").write_bytes(card.signature.certificate)
    for place, der in enumerate((*pki.anchors, *pki.intermediates)):
        (folder / f"{place}.authority").write_bytes(der)
    for place, der in enumerate(pki.crls(now - timedelta(hours=1), now + timedelta(days=6))):
        if der != _of(der, pki.authorities[CARDS]):
            (folder / f"{place}.other").write_bytes(der)
            continue
        (folder / "small").write_bytes(filled(der, pki.authorities[CARDS], SMALL))
        (folder / "large").write_bytes(filled(der, pki.authorities[CARDS], entries))


def _of(der: bytes, authority: Authority) -> bytes | None:
    issuer: Any = asn1.CertificateList.load(der)["tbs_cert_list"]["issuer"]
    return der if issuer.dump() == authority.name.public_bytes() else None


def filled(template: bytes, authority: Authority, entries: int) -> bytes:
    """The same list with this many serials of 16 octets, signed anew; a builder would take minutes."""
    fields: Any = asn1.CertificateList.load(template)["tbs_cert_list"]
    date = fields["this_update"].dump()
    rows = b"".join(_tlv(0x30, b"\x02\x10\x5a" + number.to_bytes(15, "big") + date) for number in range(1, entries + 1))
    head = b"".join(fields[one].dump() for one in ("version", "signature", "issuer", "this_update", "next_update"))
    tbs = _tlv(0x30, head + _tlv(0x30, rows) + fields["crl_extensions"].dump())
    signature = authority.key.sign(tbs, padding.PKCS1v15(), hashes.SHA256())
    algorithm = algos.SignedDigestAlgorithm({"algorithm": "sha256_rsa", "parameters": core.Null()}).dump()
    return _tlv(0x30, tbs + algorithm + _tlv(0x03, b"\0" + signature))


def _tlv(tag: int, contents: bytes) -> bytes:
    size = len(contents)
    if size < 128:
        return bytes([tag, size]) + contents
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + contents


def _child(folder: Path, rounds: int) -> dict[str, float]:
    trust = trust_of(one.read_bytes() for one in sorted(folder.glob("*.authority")))
    card = (folder / "card").read_bytes()
    now = datetime.now(UTC)
    others = [one.read_bytes() for one in sorted(folder.glob("*.other"))]
    judges = {}
    timing: dict[str, float] = {}
    for size in ("small", "large"):
        store = CrlStore(folder / f"cache-{size}")
        for der in others:
            store.add(der)
        idle = status("VmRSS")
        begun = time.perf_counter()
        store.add_file(folder / size)
        timing |= {
            f"{size}_index_seconds": time.perf_counter() - begun,
            f"{size}_octets": (folder / size).stat().st_size,
        }
        judges[size] = Judge(trust, store)
        if judges[size](card, at=now).verdict is not Verdict.VALID:
            raise AssertionError("the card is good")
    timing["peak_over_idle"] = status("VmHWM") - idle
    spent: dict[str, list[float]] = {"small": [], "large": []}
    for _ in range(rounds):
        for size, judge in judges.items():
            begun = time.process_time()
            judge(card, at=now)
            spent[size].append(time.process_time() - begun)
    small, large = (statistics.median(spent[size]) * 1000 for size in ("small", "large"))
    return timing | {"small_ms": small, "large_ms": large, "ratio": large / small}


def sentence(found: dict[str, float]) -> str:
    """The line of the tables."""
    size, seconds = found["large_octets"] / 1e6, found["large_index_seconds"]
    over = found["peak_over_idle"] / (1 << 20)
    return (
        f"An opposition list of {found['entries']:.0f} entries ({size:.1f} MB): indexed in {seconds:.1f} s, {over:.0f} MiB "
        f"over idle; a verdict, warm: {found['large_ms']:.2f} ms of CPU, {found['ratio']:.2f} times one with {SMALL} entries."
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(Path(sys.argv[1]), int(sys.argv[2]))))
