"""Time to load a model, and its memory.

Run as a program, it loads a model in a process that does nothing else: see `main`.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cifar_edge.benchmarks.measures.own_process import in_fresh_process
from cifar_edge.system.machine import peak_memory

REPEATS = 3


@dataclass(frozen=True)
class Footprint:
    """Medians of a few processes.

    Attributes:
        start: seconds to the first answer, with the runtime's own import.
        load: seconds to an answer once the runtime is there, the model's file in the system's cache.
        load_spread: the longest less the shortest.
        memory: most that the process ever held, in bytes, Python and NumPy included.
    """

    start: float
    load: float
    load_spread: float
    memory: int


def measure(runtime: str, file: Path, threads: int = 1) -> Footprint:
    """Load a prepared model in fresh processes.

    Args:
        runtime: one of `runtimes.RUNTIMES`.
        file: what that runtime's `prepare` returned.
        threads: given to the runtime.

    Raises:
        CifarEdgeError: it cannot be loaded.
    """
    request = {"runtime": runtime, "file": str(file), "threads": threads}
    what = f"the time {runtime} takes to load {file.name}"
    starts, loads, memory = zip(*(in_fresh_process("memory", request, what) for _ in range(REPEATS)), strict=True)
    return Footprint(float(np.median(starts)), float(np.median(loads)), max(loads) - min(loads), int(np.median(memory)))


def main() -> None:
    """Read a request from stdin; print seconds of the first and of a second load, and bytes."""
    request = json.load(sys.stdin)
    started = time.perf_counter()
    from cifar_edge.benchmarks.measures.runtimes import RUNTIMES

    load = RUNTIMES[request["runtime"]].load
    arguments = Path(request["file"]), request["threads"], 1
    load(*arguments)()
    first, memory = time.perf_counter() - started, peak_memory()
    started = time.perf_counter()
    load(*arguments)()
    print(json.dumps((first, time.perf_counter() - started, memory)))


if __name__ == "__main__":
    main()
