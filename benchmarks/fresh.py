"""Measure in a process of its own: its memory is the model's alone, and TensorFlow takes its number of threads."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from cifar_edge.errors import CifarEdgeError


def in_fresh_process(module: str, request: dict[str, Any], what: str) -> Any:
    """Run `cifar_edge.benchmarks.MODULE` as a program.

    Args:
        module: a program that reads JSON from stdin and prints JSON on its last line.
        request: what it reads.
        what: is measured, in words, for an error's message.

    Returns:
        What it prints.

    Raises:
        CifarEdgeError: it failed, or was killed.
    """
    # -P: a folder that happens to be called cifar_edge, as in a clone, is not the package.
    command = [sys.executable, "-P", "-m", f"cifar_edge.benchmarks.{module}"]
    result = subprocess.run(command, input=json.dumps(request), capture_output=True, text=True)  # noqa: S603 - ourselves
    if result.returncode == 0:
        return json.loads(result.stdout.splitlines()[-1])
    if result.returncode < 0:
        raise CifarEdgeError(
            f"the process that measured {what} was killed by signal {-result.returncode}; "
            "most likely memory ran out: measure fewer models at a time"
        )
    raise CifarEdgeError(f"measuring {what} failed: {(result.stderr.splitlines() or ['no reason given'])[-1]}")
