"""A process of this package's own: how it is started, and how its memory is limited."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def command_of(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of this package as a program, for `subprocess`."""
    # -P: a folder of photos may hold a numpy.py, and a folder that happens to be called cifar_edge is not the package.
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Return an environment in which it finds this package and all others where this process did."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, map(str, sys.path)))}


def limit_memory(further: int) -> None:
    """Let this process take so many bytes more than now, where the system can, and leave no core dump."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):  # without /proc, or where a service may not, its own limits count
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + further, hard))
