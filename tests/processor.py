"""Time that code takes of a processor: what else a busy machine does meanwhile is no failure."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


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
