"""A program that is run for photos of some classes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from cifar_edge.errors import UsageError, first_line
from cifar_edge.results.row import UNKNOWN, Row

HOOK_SECONDS = 60.0


class Hook:
    """Runs a program for photos of some classes, without a shell: PROGRAM ARGUMENTS PATH LABEL CONFIDENCE.

    It runs once, after the row is written. If the plug is pulled in between, it may not run, or run again with a row
    that had not reached the disk.

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
            if label not in (*known, UNKNOWN):
                raise UsageError(f"label {label!r}: the model knows {', '.join(known)}")
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"{command}: {error}") from error
        program = shutil.which(words[0]) if words else None
        if not program:
            raise UsageError(f"{command}: no such program; give its whole path")
        self.command = [str(Path(program).absolute()), *words[1:]]
        self._labels = frozenset(labels)

    def __call__(self, row: Row) -> str:
        """Run the program if the row has one of the labels; return what went wrong, or ""."""
        if row.label not in self._labels or row.error:
            return ""
        command = [*self.command, row.path, row.label, str(row.confidence)]
        try:
            result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=2, timeout=HOOK_SECONDS)  # noqa: S603 - the user's own
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            return f"{self.command[0]} for {row.path}: {first_line(error)}"
        return f"{self.command[0]} for {row.path}: ended with {result.returncode}" if result.returncode else ""
