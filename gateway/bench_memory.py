"""Peak memory over idle for one large message, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

SIZE = 100_000_000


def status(field: str) -> int:
    """A field of /proc/self/status in octets."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise OSError(f"/proc/self/status has no {field}")


def measured(size: int = SIZE) -> dict[str, float]:
    """{"size", "idle", "peak", "over_idle"} in octets and "seconds", from a fresh process."""
    done = subprocess.run(  # noqa: S603 - this very module, in a fresh process
        [sys.executable, "-m", "dcc.gateway.bench_memory", str(size)], capture_output=True, check=True, timeout=600
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _child(size: int) -> dict[str, float]:
    import time

    from dcc.gateway.bench_material import mail, material
    from dcc.gateway.bench_smime import Smime

    keys = material()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, path = Smime(keys, mail(keys, "small", 50_000), folder), folder / "large.eml"
        small.run()  # everything imported and warm: what a waiting gateway holds
        _make_elsewhere(keys, path, size)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forget the peak so far
        idle = status("VmRSS")
        begun = time.perf_counter()
        small.process(path)
        seconds = time.perf_counter() - begun
        peak = status("VmHWM")
        small.close()
    return {"size": size, "idle": idle, "peak": peak, "over_idle": peak - idle, "seconds": seconds}


def _make_elsewhere(keys: object, path: Path, size: int) -> None:
    """The large mail is made in a child, so that making it leaves no trace in this process's memory."""
    import os

    from dcc.gateway.bench_material import Material, mail

    if not isinstance(keys, Material):
        raise TypeError("keys")
    child = os.fork()
    if child == 0:
        path.write_bytes(mail(keys, "large", size).raw)
        os._exit(0)
    _, code = os.waitpid(child, 0)
    if code:
        raise OSError("the large mail could not be made")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(int(sys.argv[1]))))
