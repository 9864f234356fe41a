"""The whole gateway on one message: received, opened, judged, decided, filed, sealed for three readers, delivered.

The floor of the same message is measured in turns with it: its outgoing body is the one that the gateway really sent.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dcc.gateway import bench_deposit
from dcc.gateway.announce import Announcer
from dcc.gateway.bench_deposit import Instance
from dcc.gateway.bench_floor import Floor
from dcc.gateway.bench_material import Mail, Material
from dcc.gateway.intake import Intake, IntakeEnvelope
from dcc.gateway.metrics import Metrics
from dcc.gateway.pipeline import Pipeline
from dcc.gateway.relay import relay_of
from dcc.gateway.services import Services, open_services
from dcc.mailbox import messages, outbox
from dcc.mailbox.records import DeliveryState, MessageState


def clock() -> datetime:
    """The bench's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Whole:
    """The parts of one gateway, driven by hand in one thread."""

    services: Services
    intake: Intake
    work: Callable[[], int]
    announce: Callable[[], int]

    @classmethod
    def of(cls, services: Services, at_once: int | None = None) -> Whole:
        """Put together as `dcc serve` does, with one thread for each kind of work; `at_once`: mails sealed at a time."""
        announcer = Announcer(services, relay_of(services.settings), clock, Metrics(), at_once=at_once)
        return cls(services, Intake(services, clock), Pipeline(services, clock).run_once, announcer.run_once)

    def receive(self, instance: Instance, raw: bytes) -> str:
        """What the door does once a message is complete; returns its id."""
        envelope = IntakeEnvelope("127.0.0.1", "bench", None, instance.sender_entry["mailbox"], (instance.address,))
        writer = self.intake.begin(envelope)
        writer.write(raw)
        return self.intake.commit(envelope, writer)

    def drain(self) -> None:
        """Work until nothing is left."""
        while self.work():
            pass
        while self.announce():
            pass

    def check(self, message_id: str) -> None:
        """Raises RuntimeError unless the message was filed and three reports were sent."""
        with self.services.database.read() as conn:
            message = messages.get(conn, message_id)
            owed = outbox.deliveries(conn, message=message_id)
        if message is None or message.state is not MessageState.FILED:
            raise RuntimeError(f"the bench's message was not filed: {None if message is None else message.reason_code}")
        sent = [one for one in owed if one.kind == "report" and one.state is DeliveryState.SENT]
        if len(sent) != len(bench_deposit.READERS):
            raise RuntimeError(f"{len(sent)} reports were sent, {len(bench_deposit.READERS)} expected")


def rows(keys: Material, folder: Path, sizes: dict[str, int], rounds: dict[int, int]) -> list[dict[str, Any]]:
    """Floor, whole gateway and ratio at each size."""
    instance = bench_deposit.make_instance(folder / "instance")
    found = []
    with open_services(instance.settings) as services:
        whole = Whole.of(services)
        for size in sizes.values():
            found.append(_row(keys, folder, instance, whole, size, rounds[size]))
    return found


def _row(keys: Material, folder: Path, instance: Instance, whole: Whole, size: int, rounds: int) -> dict[str, Any]:
    first = bench_deposit.deposit(instance, size)
    message = whole.receive(instance, first)  # warm
    whole.drain()
    whole.check(message)
    outgoing = _sent_size(instance)
    body = first.partition(b"\r\n\r\n")[2]
    floor = Floor(keys, Mail("whole", first, body, b""), folder, bytes(outgoing))
    quick = Floor(keys, Mail("whole", first, body, b""), folder, bytes(outgoing), quick=True)
    low, lower, high, stages = [], [], [], []
    for _ in range(rounds):
        raw = bench_deposit.deposit(instance, size)
        began = time.perf_counter()
        quick.run()
        begun = time.perf_counter()
        floor.run()
        between = time.perf_counter()
        message = whole.receive(instance, raw)
        received = time.perf_counter()
        whole.work()  # once: looking for more when there is nothing is no part of a message
        settled = time.perf_counter()
        whole.announce()
        done = time.perf_counter()
        whole.check(message)
        lower.append(begun - began)
        low.append(between - begun)
        high.append(done - between)
        stages.append((received - between, settled - received, done - settled))
    floor.close()
    quick.close()
    names = ("receive_ms", "work_ms", "announce_ms")
    parts = {name: statistics.median(one[at] for one in stages) * 1000 for at, name in enumerate(names)}
    middle = (statistics.median(low), statistics.median(high), statistics.median(lower))
    return {
        "size": size, "received": len(first), "sent_body": outgoing, "floor_ms": middle[0] * 1000,
        "gateway_ms": middle[1] * 1000, "ratio": middle[1] / middle[0],
        "quick_floor_ms": middle[2] * 1000, "quick_ratio": middle[1] / middle[2], **parts,
    }  # fmt: skip


def _sent_size(instance: Instance) -> int:
    """Octets of the body inside one sealed report: the largest mail in the sinks, without its base64."""
    sink = instance.directory / "sink"
    largest = max(path.stat().st_size for path in sink.rglob("*") if path.is_file())
    return largest * 57 // 78


def memory(size: int) -> dict[str, float]:
    """Peak over idle of the whole gateway for one message of `size` octets; run in a fresh process."""
    import os

    from dcc.gateway.bench_memory import status

    with tempfile.TemporaryDirectory() as name:
        instance = bench_deposit.make_instance(Path(name) / "instance")
        path = Path(name) / "large.eml"
        child = os.fork()
        if child == 0:  # made elsewhere: making it leaves no trace in this process's memory
            path.write_bytes(bench_deposit.deposit(instance, size))
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise OSError("the large mail could not be made")
        with open_services(instance.settings) as services:
            whole = Whole.of(services)
            message = whole.receive(instance, bench_deposit.deposit(instance, 50_000))
            whole.drain()
            envelope = IntakeEnvelope("127.0.0.1", "bench", None, instance.sender_entry["mailbox"], (instance.address,))
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            idle = status("VmRSS")
            begun = time.perf_counter()
            writer = whole.intake.begin(envelope)
            with path.open("rb") as file:
                while chunk := file.read(1 << 16):
                    writer.write(chunk)
            message = whole.intake.commit(envelope, writer)
            whole.drain()
            seconds = time.perf_counter() - begun
            peak = status("VmHWM")
            whole.check(message)
    return {"size": size, "idle": idle, "peak": peak, "over_idle": peak - idle, "seconds": seconds}
