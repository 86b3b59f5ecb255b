"""A run's rows, on the disk before the run is over: a pulled plug costs a second, and nothing is done twice.

A journal lies beside the results as `<results>.partial`. It is JSON Lines: first what the run was
asked for, then its rows as they come. They come in the order of paths; where photos were added
between two runs, the second begins a new sorted stretch, and reading merges the stretches.
"""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from cifar_edge.errors import UsageError
from cifar_edge.photos.find import order
from cifar_edge.results.request import check_request
from cifar_edge.results.row import Row, from_line, to_line
from cifar_edge.system.append_only import Lines
from cifar_edge.system.files import sync_folder


def journal_of(results: Path) -> Path:
    """Return where the journal of such results lies: beside the file itself, whatever link leads there."""
    return Path(f"{os.path.realpath(results)}.partial")


class Journal:
    """The rows of an unfinished run. Use it as a context: on leaving, all rows are on the disk.

    Args:
        results: the file that is to be made of the rows.
        request: what decides about the rows, as JSON; a run with another one is not continued.
        resume: continue an earlier run's journal, if there is one.

    Attributes:
        path: of the journal.

    Raises:
        UsageError: an earlier run has left a journal and is not to be continued, or not like this;
            or another process is writing it.
    """

    def __init__(self, results: Path, request: dict[str, Any], resume: bool) -> None:
        self.path = journal_of(results)
        self._last = ""
        self._stretches: list[int] = []  # where each begins
        self._lines = Lines(self.path)
        try:
            self._recover(json.dumps(request).encode("ascii") + b"\n", resume)
        except BaseException:
            self._lines.close()
            raise

    def _recover(self, request: bytes, resume: bool) -> None:
        """Take over the whole rows that an earlier run has left; or begin."""
        end = 0
        with self.path.open("rb") as file:
            first = file.readline()
            begun = not (len(first) < len(request) and request.startswith(first))  # else stopped before its first row
            if begun:
                if not resume:
                    raise UsageError(f"{self.path}: a stopped run has left it; go on with --resume, or delete it")
                check_request(str(self.path), first, request)
                end = len(first)
                for line in file:
                    if (place := _place(line)) is None:
                        break
                    self._note(place, end)
                    end += len(line)
        self._lines.cut(end)
        if not begun:
            self._lines.append(request)
            self._lines.sync()
            sync_folder(self.path.parent)

    def __enter__(self) -> Self:
        self._lines.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._lines.__exit__(*reason)

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are recorded by now, in the order of their paths."""
        stretches = pairwise([*self._stretches, self._lines.end])
        return heapq.merge(*(self._read(*stretch) for stretch in stretches), key=lambda row: order(row.path))

    def unrecorded(self, files: Iterable[str]) -> Iterator[str]:
        """Yield those of `files`, which come in the order of paths, that have no row by now."""
        recorded = (order(row.path) for row in self.rows())
        row = next(recorded, None)
        for file in files:
            place = order(file)
            while row is not None and row < place:
                row = next(recorded, None)
            if row != place:
                yield file

    def record(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Append rows as they come and pass them on; each is on the disk within a second."""
        for row in rows:
            start = self._lines.end
            self._lines.append(to_line(row))
            self._note(order(row.path), start)
            yield row

    def remove(self) -> None:
        """Remove the file, once there is a better one."""
        self.path.unlink()

    def _note(self, place: str, start: int) -> None:
        """Take a row into account that begins at `start`, behind all others."""
        if not self._stretches or place < self._last:
            self._stretches.append(start)
        self._last = place

    def _read(self, start: int, end: int) -> Iterator[Row]:
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end:
                line = file.readline()
                start += len(line)
                yield from_line(line)


def _place(line: bytes) -> str | None:
    """Return where a row's path stands in the order; None if this is no whole row."""
    try:
        return order(from_line(line).path)
    except ValueError:
        return None
