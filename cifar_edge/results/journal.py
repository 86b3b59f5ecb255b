"""Rows of a run that ends, in one file. A pulled plug costs a second, and nothing is done twice.

Until the run is over the rows are in `<results>.partial`. That is JSON Lines: first the request, then the rows as
they come. They come in the order of paths. Where photos were added between two runs, the second run begins a new
sorted section, and reading merges the sections.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Self

from cifar_edge.errors import ResultsError, UsageError, first_line
from cifar_edge.photos.find import order
from cifar_edge.results.formats import save
from cifar_edge.results.request import check_request
from cifar_edge.results.row import Row, from_line, to_line
from cifar_edge.system.append_only import AppendOnlyFile
from cifar_edge.system.files import only_process, remove_leftovers, sync_folder
from cifar_edge.system.opening import destination


class Journal:
    """The rows of one run. Use it as a context.

    On leaving, all rows are on the disk. The journal itself goes when the run is finished.

    Args:
        results: the file to be made of the rows: .csv, .jsonl or .parquet.
        request: from `results.request`; a journal with another one is refused.
        top_k: classes in a row.
        resume: continue an earlier run's journal, if there is one.

    Attributes:
        path: of the journal.
        resumed: whether an earlier run has left it.

    Raises:
        UsageError: an earlier run has left a journal and is not to be continued, or not like this;
            or another process is writing it.
        ResultsError: on leaving, if a row could not be written or the results not be made.
    """

    def __init__(self, results: Path, request: bytes, top_k: int = 1, *, resume: bool) -> None:
        self._results = destination(results)  # a link keeps pointing to the results
        self.path = Path(f"{self._results}.partial")
        self.resumed = False
        self._top_k = top_k
        self._last = ""
        self._sections: list[int] = []  # where each begins
        self._finished = False
        with contextlib.ExitStack() as opened:
            opened.enter_context(only_process(self.path))
            opened.callback(self._remove_if_finished)
            self._file = opened.enter_context(AppendOnlyFile(self.path))
            self._recover(request + b"\n", resume)
            self._opened = opened.pop_all()
        self._recorded = (order(row.path) for row in self.rows())
        self._next = next(self._recorded, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            self._finished &= error is None
            self._opened.close()
            if isinstance(error, OSError):
                raise error
        except OSError as failure:
            raise ResultsError(
                f"{failure.filename or self.path}: {failure.strerror or first_line(failure)}; put that right and go "
                f"on with the same command and --resume: the rows so far are in {self.path}"
            ) from failure

    def has(self, path: str) -> bool:
        """Tell whether a file had its row at the start. Ask for each file once, in the order of paths."""
        place = order(path)
        while self._next is not None and self._next < place:
            self._next = next(self._recorded, None)
        return self._next == place

    def add(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Append rows as they come and pass them on; each is on the disk within a second."""
        for row in rows:
            start = self._file.end
            self._file.append(to_line(row))
            self._note(order(row.path), start)
            yield row

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are there by now, in the order of their paths."""
        sections = pairwise([*self._sections, self._file.end])
        return heapq.merge(
            *(map(from_line, self._file.lines(*section)) for section in sections), key=lambda row: order(row.path)
        )

    def extend(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Add rows as they come; yield them and those that were there, in the order of paths."""
        return heapq.merge(self.rows(), self.add(rows), key=lambda row: order(row.path))

    def finish(self) -> None:
        """Make the results; the journal goes when the context is left without an error."""
        remove_leftovers(self._results.parent, self._results.name)
        save(self.rows(), self._results, self._top_k)
        self._finished = True

    def _remove_if_finished(self) -> None:
        if self._finished:
            self.path.unlink(missing_ok=True)

    def _recover(self, request: bytes, resume: bool) -> None:
        """Take over the whole rows that an earlier run has left; or begin."""
        end = 0
        lines = self._file.lines()
        first = next(lines, b"")
        # An earlier run may have been stopped while it wrote its request.
        self.resumed = not (len(first) < len(request) and request.startswith(first))
        if self.resumed:
            if not resume:
                raise UsageError(f"{self.path}: a stopped run has left it; go on with --resume, or delete it")
            check_request(str(self.path), first, request)
            end = len(first)
            for line in lines:
                if (place := _place(line)) is None:
                    break
                self._note(place, end)
                end += len(line)
        self._file.cut(end)
        if not self.resumed:
            self._file.append(request)
            self._file.sync()
            sync_folder(self.path.parent)

    def _note(self, place: str, start: int) -> None:
        """Remember a row that begins at `start`, behind all others."""
        if not self._sections or place < self._last:
            self._sections.append(start)
        self._last = place


def _place(line: bytes) -> str | None:
    """Return where a row's path stands in the order; None if this is no whole row."""
    try:
        return order(from_line(line).path)
    except ValueError:
        return None
