"""Peak memory over idle for one large message through the whole gateway, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
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
    from dcc.gateway import bench_whole

    return bench_whole.memory(size)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(int(sys.argv[1]))))
