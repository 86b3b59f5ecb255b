"""A run's rows, on the disk before the run is over: a pulled plug costs a second, and nothing is done twice.

A journal lies beside the results as `<results>.partial`. It is JSON Lines: first what the run was
asked for, then its rows as they come. They come in the order of paths; where photos were added
between two runs, the second begins a new sorted stretch, and reading merges the stretches.
"""

from __future__ import annotations

import heapq
import json
import os
import threading
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from cifar_edge.errors import UsageError
from cifar_edge.files import lock, sync_folder
from cifar_edge.results import Row, from_record, order, to_record

SYNC_SECONDS = 0.5


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
        self.path = results.with_name(f"{results.name}.partial")
        self._file = self.path.open("ab", buffering=0)  # what is written survives the process, if not yet the plug
        self._end = 0
        self._last = ""
        self._stretches: list[int] = []  # where each begins
        try:
            if not lock(self._file.fileno()):
                raise UsageError(f"{self.path}: another run is writing it; wait for it, or write elsewhere")
            self._recover(json.dumps(request).encode("ascii") + b"\n", resume)
        except BaseException:
            self._file.close()
            raise
        self._closing = threading.Event()
        self._failure: OSError | None = None
        self._syncing = threading.Thread(target=self._sync, daemon=True)

    def _recover(self, request: bytes, resume: bool) -> None:
        """Take over the whole rows that an earlier run has left; or begin."""
        with self.path.open("rb") as file:
            first = file.readline()
            begun = not (len(first) < len(request) and request.startswith(first))  # else stopped before its first row
            if begun:
                if not resume:
                    raise UsageError(f"{self.path}: a stopped run has left it; go on with --resume, or delete it")
                check_request(str(self.path), first, request)
                self._end = len(first)
                for line in file:
                    if (place := _place(line)) is None:
                        break
                    self._note(place, len(line))
        self._file.truncate(self._end)
        if not begun:
            self._end = self._write(request)
            os.fsync(self._file.fileno())
            sync_folder(self.path.parent)

    def __enter__(self) -> Self:
        self._syncing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._syncing.join()
        with self._file:
            os.fsync(self._file.fileno())

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are recorded by now, in the order of their paths."""
        stretches = pairwise([*self._stretches, self._end])
        return heapq.merge(*(self._read(*stretch) for stretch in stretches), key=lambda row: order(row.path))

    def unrecorded(self, files: Iterable[Path | str]) -> Iterator[Path | str]:
        """Yield those of `files`, which come in the order of paths, that have no row by now."""
        recorded = (order(row.path) for row in self.rows())
        row = next(recorded, None)
        for file in files:
            place = order(str(file))
            while row is not None and row < place:
                row = next(recorded, None)
            if row != place:
                yield file

    def record(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Append rows as they come and pass them on; each is on the disk within a second."""
        for row in rows:
            if self._failure:
                raise self._failure
            self._note(order(row.path), self._write(json.dumps(to_record(row)).encode("ascii") + b"\n"))
            yield row

    def remove(self) -> None:
        """Remove the file, once there is a better one."""
        self.path.unlink()

    def _note(self, place: str, size: int) -> None:
        """Take a row of `size` bytes at the end of the file into account."""
        if not self._stretches or place < self._last:
            self._stretches.append(self._end)
        self._last = place
        self._end += size

    def _read(self, start: int, end: int) -> Iterator[Row]:
        with self.path.open("rb") as file:
            file.seek(start)
            while start < end:
                line = file.readline()
                start += len(line)
                yield from_record(json.loads(line))

    def _write(self, line: bytes) -> int:
        """Append a line and return its length."""
        rest = memoryview(line)
        try:
            while rest:  # a disk that is nearly full takes a part before it refuses
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            error.filename = str(self.path)
            raise
        return len(line)

    def _sync(self) -> None:
        """Bring to the disk what is written, also while the next photo takes its time."""
        synced = 0
        try:
            while not self._closing.wait(SYNC_SECONDS):
                if synced < self._end:
                    synced = self._end
                    os.fsync(self._file.fileno())
        except OSError as error:
            self._failure = error


def check_request(place: str, first: bytes, request: bytes) -> None:
    """Raise `UsageError` unless the run that began with the line `first` at a place was asked for the same."""
    now = json.loads(request)
    try:
        earlier = json.loads(first)
        same_kind = earlier.keys() == now.keys()
    except (ValueError, AttributeError):
        same_kind = False
    if not same_kind:
        raise UsageError(f"{place}: not what a stopped run of this version leaves; move it away")
    for name in now:
        if earlier[name] != now[name]:
            was, wanted = (str(value)[:80] for value in (earlier[name], now[name]))
            raise UsageError(
                f"{place}: began with another {name} ({was}; now {wanted}); "
                "give the same again, or delete it to begin anew"
            )


def _place(line: bytes) -> str | None:
    """Return where a row's path stands in the order; None if this is no whole row."""
    try:
        return order(from_record(json.loads(line)).path) if line.endswith(b"\n") else None
    except (ValueError, TypeError, LookupError, AttributeError):  # a pulled plug may leave anything
        return None
