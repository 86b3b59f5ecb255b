"""Class names from a text file."""

from __future__ import annotations

from pathlib import Path

from cifar_edge.errors import UsageError


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names from a text file, one a line.

    Raises:
        UsageError: it cannot be read, or a line is empty or there twice.
    """
    try:
        labels = tuple(line.strip() for line in path.read_text("utf-8-sig").splitlines())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: no text file with a class name a line ({error})") from error
    if not labels or not all(labels) or len(set(labels)) < len(labels):
        raise UsageError(f"{path}: empty, or a line is, or a name is there twice; give each class a line of its own")
    return labels
