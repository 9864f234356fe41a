"""`make bench`: the floor and the pipeline in one run, with their ratio; memory; ingest; workers.

Times are medians of alternating runs, so that both see the same machine. Definitions: facts/smime.md §5.2.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcc.gateway import (
    bench_deposit,
    bench_ingest,
    bench_lists,
    bench_match,
    bench_memory,
    bench_openssl,
    bench_whole,
    bench_workers,
)
from dcc.gateway.bench_floor import Floor
from dcc.gateway.bench_material import Mail, Material, mail, material
from dcc.gateway.bench_smime import Smime

SIZES = {"50 kB": 50_000, "1 MB": 1_000_000, "10 MB": 10_000_000}
ROUNDS = {50_000: 60, 1_000_000: 20, 10_000_000: 6}
INGESTED = {50_000: 400, 10_000_000: 16}
WORKED = {50_000: 200, 1_000_000: 40}


def alternate(first: Callable[[], None], second: Callable[[], None], rounds: int) -> tuple[float, float]:
    """Median seconds of both, run in turns after one round to warm up."""
    first()
    second()
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for run, into in ((first, times[0]), (second, times[1])):
            begun = time.perf_counter()
            run()
            into.append(time.perf_counter() - begun)
    return statistics.median(times[0]), statistics.median(times[1])


def smime_rows(keys: Material, folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Open, verify, seal for three readers, against the floor, at each size."""
    rows = []
    for name, size in SIZES.items():
        one = mail(keys, name, size)
        floor, pipeline = Floor(keys, one, folder), Smime(keys, one, folder)
        rounds = max(2, ROUNDS[size] // (10 if quick else 1))
        low, high = alternate(floor.run, pipeline.run, rounds)
        floor.close()
        pipeline.close()
        rows.append({
            "size": size, "received": len(one.raw), "floor_ms": low * 1000, "smime_ms": high * 1000,
            "ratio": high / low,
        })  # fmt: skip
    return rows


def ingest_rows(keys: Material, folder: Path, quick: bool) -> list[dict[str, Any]]:
    """Messages and octets each second into each server; every message of a run is another one."""
    instance = bench_deposit.make_instance(folder / "ingest")
    counts = {size: max(bench_ingest.CONNECTIONS, count // (10 if quick else 1)) for size, count in INGESTED.items()}
    mails: dict[int, Path] = {}
    for size in INGESTED:
        one: Mail = mail(keys, "ingest", size)
        mails[size] = folder / f"ingest-{size}.eml"
        mails[size].write_bytes(one.raw)
    return [asdict(row) for row in bench_ingest.measure(mails, counts, instance.directory, instance.address)]


def run(*, quick: bool) -> dict[str, Any]:
    """Everything, as one JSON document."""
    result: dict[str, Any] = {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "machine": {"python": platform.python_version(), "cores": os.cpu_count(), "processor": processor()},
    }
    with tempfile.TemporaryDirectory(prefix="dcc-bench-") as name:
        folder = Path(name)
        keys = material()
        result["smime"] = smime_rows(keys, folder, quick)
        rounds = {size: max(2, count // (10 if quick else 1)) for size, count in ROUNDS.items()}
        result["openssl"] = bench_openssl.rows(keys, SIZES, rounds)
        result["gateway"] = bench_whole.rows(keys, folder, SIZES, rounds)
        result["memory"] = bench_memory.measured(10_000_000 if quick else bench_memory.SIZE)
        result["ingest"] = ingest_rows(keys, folder, quick)
        result["matching"] = bench_match.rows(folder, (1_000, 20_000) if quick else bench_match.COUNTS)
        result["lists"] = bench_lists.measured(20_000 if quick else bench_lists.ENTRIES)
        result["workers"] = []
        for size, count in WORKED.items():
            (folder / f"workers-{size}").mkdir()
            result["workers"] += bench_workers.rows(folder / f"workers-{size}", size, count // (10 if quick else 1))
    return result


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def tables(result: dict[str, Any]) -> str:
    """The result as the tables of docs/operations.md."""
    memory = result["memory"]
    over, idle = memory["over_idle"] / (1 << 20), memory["idle"] / (1 << 20)
    floors = [
        f"| {_size(row['size'])} | {row['floor_ms']:.1f} ms | {row['gateway_ms']:.1f} ms | {row['ratio']:.2f} "
        f"| {row['quick_floor_ms']:.1f} ms, {row['quick_ratio']:.2f} "
        f"| {row['receive_ms']:.1f} + {row['work_ms']:.1f} + {row['announce_ms']:.1f} | {alone['ratio']:.2f} |"
        for row, alone in zip(result["gateway"], result["smime"], strict=True)
    ]
    ingest = [
        f"| {row['server']} | {_size(row['size'])} | {row['messages_per_second']:.0f} "
        f"| {row['bytes_per_second'] / 1e6:.0f} |"
        for row in result["ingest"]
    ]
    workers = [
        f"| {row['part']} | {row['workers']} | {_size(row['size'])} | {row['messages_per_second']:.1f} | {row['times_one']:.2f} |"
        for row in result["workers"]
    ]
    return "\n".join([
        "| message | floor | gateway | ratio | floor with our base64, ratio | receive + work + announce, ms | S/MIME, ratio |",
        "|---|---|---|---|---|---|---|", *floors, "",
        *_openssl(result["openssl"]), "",
        f"One message of {_size(memory['size'])}: {over:.1f} MiB over {idle:.0f} MiB idle, {memory['seconds']:.2f} s.",
        "", "| server | message | messages/s | MB/s |", "|---|---|---|---|", *ingest,
        "", *bench_match.table(result["matching"]),
        "", bench_lists.sentence(result["lists"]),
        "", "| part | workers | message | messages/s | times one |", "|---|---|---|---|---|", *workers,
    ])  # fmt: skip


def _openssl(found: dict[str, Any]) -> list[str]:
    """Reading alone, in CPU time, against the system's OpenSSL in the same process."""
    if found["version"] is None:
        return ["Reading against OpenSSL: no libcrypto of version 3 was found on this machine."]
    rows = [*found["rows"], {"what": "of which one RSA private operation", "inner": "", **found["rsa"]}]
    lines = [
        f"| {row.get('what') or _size(row['size'])} | {row['inner']} | {row['openssl_ms']:.2f} ms "
        f"| {row['dcc_ms']:.2f} ms | {row['ratio']:.2f} |"
        for row in rows
    ]
    head = ["| reading, CPU | signature | OpenSSL | gateway | ratio |", "|---|---|---|---|---|"]
    return [*head, *lines, "", f"The other side is {found['version']}."]


def _size(octets: float) -> str:
    return f"{octets / 1e6:g} MB" if octets >= 1e6 else f"{octets / 1e3:g} kB"


def main() -> int:
    """Run, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m dcc.gateway.bench", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), help="where the result is written")
    parser.add_argument("--quick", action="store_true", help="few rounds: does it run, not how fast")
    arguments = parser.parse_args()
    result = run(quick=arguments.quick)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(tables(result) + f"\n\n{arguments.json}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
