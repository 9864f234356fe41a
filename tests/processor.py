"""Time that code takes of a processor: what else a busy machine does meanwhile is no failure."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path


def seconds_of(work: Callable[[], object], attempts: int = 3) -> float:
    """The least that `work` takes of this thread's processor time in a few attempts, without collections of garbage."""
    spent = []
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(attempts):
            begun = time.thread_time()
            work()
            spent.append(time.thread_time() - begun)
    finally:
        if collects:
            gc.enable()
    return min(spent)


def seconds_used_by(pid: int) -> float:
    """What a process has taken of the processor until now (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
