"""A program that is run for photos of some classes."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from cifar_edge.errors import UsageError, first_line
from cifar_edge.photos.class_folders import composed
from cifar_edge.results.row import UNKNOWN, Row
from cifar_edge.system.opening import open_same

HOOK_SECONDS = 60.0
STOP_SECONDS = 3.0  # that it still has when the watch is to stop
TICK = 0.1  # seconds between looks whether it is

NEVER = threading.Event()


class Hook:
    """Runs a program for photos of some classes, without a shell: PROGRAM ARGUMENTS PATH LABEL CONFIDENCE.

    It runs once, after the row is written. If the plug is pulled in between, it may not run, or run again with a row
    that had not reached the disk. It has a process group of its own: if it takes too long, it ends with all that it has
    started. It does not run if another file has taken the photo's place.

    Args:
        labels: the classes.
        command: program and first arguments, quoted as in a shell.
        known: the model's labels.

    Attributes:
        command: program, by its whole path, and first arguments.

    Raises:
        UsageError: there is no such class or program.
    """

    def __init__(self, labels: Sequence[str], command: str, known: Sequence[str]) -> None:
        for label in labels:
            if composed(label) not in {*map(composed, known), UNKNOWN}:
                raise UsageError(f"label {label!r}: the model knows {', '.join(known)}")
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"{command}: {error}") from error
        program = shutil.which(words[0]) if words else None
        if not program:
            raise UsageError(f"{command}: no such program; give its whole path")
        self.command = [str(Path(program).absolute()), *words[1:]]
        self._labels = frozenset(map(composed, labels))

    def __call__(self, row: Row, stop: threading.Event = NEVER) -> str:
        """Run the program if the row has one of the labels; return what went wrong, or "".

        Args:
            row: of the photo.
            stop: once it is set, the program has `STOP_SECONDS` left.
        """
        if composed(row.label) not in self._labels or row.error:
            return ""
        try:
            with contextlib.suppress(FileNotFoundError):  # somebody was faster; the program still learns of it
                open_same(row.path, row.file).close()
            code = _run([*self.command, row.path, row.label, str(row.confidence)], stop)
        except (OSError, ValueError, TimeoutError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            return f"{self.command[0]} for {row.path}: {reason}"
        return f"{self.command[0]} for {row.path}: ended with {code}" if code else ""


def _run(command: Sequence[str], stop: threading.Event) -> int:
    """Run a program and return its exit code; if it is given up, nothing of it is left."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, process_group=0)  # noqa: S603 - the user's own
    end, stopping = time.monotonic() + HOOK_SECONDS, False
    try:
        while time.monotonic() < end:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(TICK)
            if stop.is_set() and not stopping:
                end, stopping = min(end, time.monotonic() + STOP_SECONDS), True
        raise TimeoutError("did not end in time and was killed")
    except BaseException:  # Ctrl-C, which does not reach another group, too
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()
        raise
