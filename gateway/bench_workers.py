"""The same pipeline at 1, 2 and 4 workers: processes on one instance, working until nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcc.gateway import bench_deposit
from dcc.gateway.bench_whole import Whole
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings

WORKERS = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Rate:
    """How many messages a second so many workers finish, mails to the readers included."""

    workers: int
    size: int
    messages_per_second: float
    times_one: float


def rows(folder: Path, size: int, count: int) -> list[dict[str, Any]]:
    """Each number of workers on `count` fresh deposits of `size` octets."""
    instance = bench_deposit.make_instance(folder / "instance")
    found: list[Rate] = []
    for workers in WORKERS:
        with open_services(instance.settings) as services:
            whole = Whole.of(services)
            for _ in range(count):
                whole.receive(instance, bench_deposit.deposit(instance, size))
        rate = count / _drain(instance.directory, workers)
        found.append(Rate(workers, size, rate, rate / found[0].messages_per_second if found else 1.0))
    return [asdict(one) for one in found]


def _drain(directory: Path, workers: int) -> float:
    """Seconds from the common start until the last worker finds nothing more."""
    command = [sys.executable, "-m", "dcc.gateway.bench_workers", str(directory)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this very module
        for _ in range(workers)
    ]
    pipes = [(one.stdin, one.stdout) for one in processes]
    for _, told in pipes:
        if told is None or told.readline() != "ready\n":
            raise RuntimeError("a worker does not start")
    begun = time.perf_counter()
    for go, _ in pipes:
        if go is not None:
            go.write("go\n")
            go.flush()
    for one in processes:
        one.communicate()
        if one.returncode:
            raise RuntimeError("a worker failed")
    return time.perf_counter() - begun


def _work(directory: Path) -> None:
    with open_services(load_settings(directory / "dcc.toml")) as services:
        whole = Whole.of(services, at_once=1)  # a worker is one thread here: what is measured is many of them
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        idle = 0
        while idle < 2:  # a mail may be queued by another worker between the two looks
            done = whole.work() + whole.announce()
            idle = 0 if done else idle + 1


def main(arguments: list[str]) -> None:
    """`DIR`: be one worker on this instance. `SIZE COUNT`: measure, print JSON."""
    if len(arguments) == 1:
        _work(Path(arguments[0]))
        return
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write(json.dumps(rows(Path(name), int(arguments[0]), int(arguments[1]))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
