"""A stream of rows -> a CSV file."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TextIO

from cifar_edge.errors import UsageError

FLUSH_SECONDS = 1.0


@dataclass(frozen=True)
class Row:
    """One photo's result.

    Attributes:
        path: as found; names that are not UTF-8 via surrogateescape.
        label: the most probable class, "" if the file could not be read, "unknown" if too uncertain.
        confidence: of the most probable class, 0-1, also where the label is unknown; or None.
        top: the most probable classes with their probabilities.
        error: why the file could not be read, or "".
        milliseconds: time spent on this photo.
        model: name of the model's file.
    """

    path: str
    label: str
    confidence: float | None
    top: tuple[tuple[str, float], ...]
    error: str
    milliseconds: float
    model: str


def in_own_folder(row: Row) -> bool:
    """Tell whether a photo lies in a folder named as its label, as labelled collections do."""
    return Path(row.path).parent.name == row.label


def write_csv(rows: Iterable[Row], file: TextIO) -> Iterator[Row]:
    """Write rows as they come, with a header, and pass them on; flushed every second."""
    writer = csv.DictWriter(file, [field.name for field in fields(Row)])
    writer.writeheader()
    flushed = time.monotonic()
    for row in rows:
        confidence = "" if row.confidence is None else f"{row.confidence:.4f}"
        writer.writerow(asdict(row) | {"confidence": confidence})
        if time.monotonic() - flushed > FLUSH_SECONDS:
            file.flush()
            flushed = time.monotonic()
        yield row
    file.flush()


def save_csv(rows: Iterable[Row], path: Path) -> Iterator[Row]:
    """Write rows to `path` as they come and pass them on.

    They stand in `<path>.partial` until the last one is on the disk, and there they stay if
    something stops the run. Names that are not UTF-8 keep their bytes.

    Raises:
        UsageError: `path` is no place for a file; before anything is written.
    """
    path = path.resolve()
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it or write elsewhere")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path}: not a file; name one, or '-' for stdout")
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        yield from write_csv(rows, file)
        os.fsync(file.fileno())
    partial.replace(path)
