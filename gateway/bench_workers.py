"""The same pipeline at 1, 2 and 4 workers: processes on one instance, working until nothing is left.

The S/MIME engine is measured alone too, each process on its own mails: what is missing to it is the shared store's.
The floor likewise: what is missing to that is the machine's, its cores and its disk.
"""

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
from dcc.gateway.bench_floor import Floor
from dcc.gateway.bench_material import mail, material
from dcc.gateway.bench_smime import Smime
from dcc.gateway.bench_whole import Whole
from dcc.gateway.services import open_services
from dcc.gateway.settings import load_settings

WORKERS = (1, 2, 4)
ENGINE, FLOOR = "engine", "floor"
WARM = 3  # messages that each worker does before the common start, as it does in any but its first second


@dataclass(frozen=True, slots=True)
class Rate:
    """How many messages a second so many workers finish, mails to the readers included. `part`: gateway, engine or floor."""

    part: str
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
            for _ in range(count + workers * WARM):
                whole.receive(instance, bench_deposit.deposit(instance, size))
        rate = count / _together([str(instance.directory)], workers)
        found.append(Rate("gateway", workers, size, rate, rate / found[0].messages_per_second if found else 1.0))
    return [asdict(one) for one in [*found, *_alone_rates(ENGINE, size, count), *_alone_rates(FLOOR, size, count)]]


def _alone_rates(part: str, size: int, count: int) -> list[Rate]:
    """Each number of processes, `count` mails for each of them."""
    found: list[Rate] = []
    for workers in WORKERS:
        rate = workers * count / _together([part, str(size), str(count)], workers)
        found.append(Rate(part, workers, size, rate, rate / found[0].messages_per_second if found else 1.0))
    return found


def _together(arguments: list[str], workers: int) -> float:
    """Seconds from the common start until the last worker finds nothing more."""
    command = [sys.executable, "-m", "dcc.gateway.bench_workers", *arguments]
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
    for _, told in pipes:
        if told is None or told.readline() != "done\n":
            raise RuntimeError("a worker failed")
    seconds = time.perf_counter() - begun
    for one in processes:
        one.communicate()
        if one.returncode:
            raise RuntimeError("a worker failed")
    return seconds


def _work(directory: Path) -> None:
    with open_services(load_settings(directory / "dcc.toml")) as services:
        whole = Whole.of(services, at_once=1)  # a worker is one thread here: what is measured is many of them
        for _ in range(WARM):
            whole.work()
            whole.announce()
        _ready()
        idle = 0
        while idle < 2:  # a mail may be queued by another worker between the two looks
            done = whole.work() + whole.announce()
            idle = 0 if done else idle + 1
        _say("done")


def _alone(part: str, size: int, count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        keys = material()
        made = Smime if part == ENGINE else Floor
        one = made(keys, mail(keys, part, size), Path(name))
        one.run()
        _ready()
        for _ in range(count):
            one.run()
        _say("done")
        one.close()


def _ready() -> None:
    _say("ready")
    sys.stdin.readline()


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    """`DIR`: be one worker on this instance. `engine|floor SIZE COUNT`: be one of them. `SIZE COUNT`: measure, print JSON."""
    if len(arguments) == 1:
        _work(Path(arguments[0]))
        return
    if arguments[0] in (ENGINE, FLOOR):
        _alone(arguments[0], int(arguments[1]), int(arguments[2]))
        return
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write(json.dumps(rows(Path(name), int(arguments[0]), int(arguments[1]))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
