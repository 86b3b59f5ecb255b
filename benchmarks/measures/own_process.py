"""Measure in a process of its own: its memory is the model's alone, and TensorFlow takes its number of threads."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from typing import Any

from cifar_edge.errors import CifarEdgeError
from cifar_edge.system.child import command_of

DONE = "cifar-edge:done"
"""First word of a progress line; a runtime may print other lines."""


def in_fresh_process(
    module: str, request: dict[str, Any], what: str, progress: Callable[[int, int], None] = lambda *_: None
) -> Any:
    """Run `cifar_edge.benchmarks.measures.MODULE` as a program.

    Args:
        module: a program that reads JSON from stdin and prints JSON on its last line.
        request: what it reads.
        what: is measured, in words, for an error's message.
        progress: called with what the program reports by `report`.

    Returns:
        What it prints.

    Raises:
        CifarEdgeError: it failed, or was killed.
    """
    command = command_of(f"cifar_edge.benchmarks.measures.{module}")
    with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile("w+", errors="replace") as complaints:
        json.dump(request, asked)
        asked.seek(0)
        with subprocess.Popen(command, stdin=asked, stdout=subprocess.PIPE, stderr=complaints, text=True) as process:  # noqa: S603 - ourselves
            answer = _last_line(process, progress)
        complaints.seek(0)
        reasons = complaints.read().splitlines()
    if process.returncode == 0:
        return json.loads(answer)
    if process.returncode < 0:
        raise CifarEdgeError(
            f"the process that measured {what} was killed by signal {-process.returncode}; "
            "most likely memory ran out: measure fewer models at a time"
        )
    raise CifarEdgeError(f"measuring {what} failed: {(reasons or ['no reason given'])[-1]}")


def report(done: int, total: int) -> None:
    """Report progress to the process that started this one."""
    print(DONE, done, total, flush=True)


def _last_line(process: subprocess.Popen[str], progress: Callable[[int, int], None]) -> str:
    line = ""
    try:
        for line in process.stdout or ():
            word, *numbers = line.split() or [""]
            if word == DONE:
                progress(*map(int, numbers))
    except BaseException:
        process.kill()
        raise
    return line
