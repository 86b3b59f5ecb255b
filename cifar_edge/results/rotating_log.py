"""Rows of a watch, which does not end, and which photos have one."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

from cifar_edge.errors import UsageError
from cifar_edge.results.path_set import PathSet
from cifar_edge.results.row import Row, from_line, to_line
from cifar_edge.system.append_only import AppendOnlyFile
from cifar_edge.system.files import check_writable, only_process, sync_folder
from cifar_edge.system.opening import open_ours

SYNC_SECONDS = 5.0  # a row that a pulled plug takes away is made again, so there is no hurry to wear the SD card
ROTATE = 10_000_000  # bytes of a file of results; about 50,000 rows
BEGINNING = b'{"path": "'  # of every row


def check_name(path: Path) -> None:
    """Raise `UsageError` unless a log can have this name."""
    if path.suffix.lower() != ".jsonl" or path.is_dir():
        raise UsageError(f"{path}: the name must end in .jsonl, and not be that of a folder")


class RotatingLog:
    """Rows in `<name>.jsonl`, the earlier ones in `<name>.1.jsonl`, `<name>.2.jsonl`, ... Use it as a context.

    Nothing is ever rewritten: a full file gets its number and keeps it.

    Args:
        path: of the newest file.
        rotate: bytes of a full file.
        warn: called if somebody deletes or replaces the newest file meanwhile.

    Raises:
        UsageError: the files cannot be written, or a line of theirs is no row, or another process is writing them.
    """

    def __init__(self, path: Path, rotate: int = ROTATE, warn: Callable[[str], None] = lambda message: None) -> None:
        check_name(path)
        check_writable(path.parent)  # files get other names there
        self._path, self._rotate, self._warn = path, rotate, warn
        with contextlib.ExitStack() as opened:
            opened.enter_context(only_process(path))
            self._file = AppendOnlyFile(path, SYNC_SECONDS)
            opened.callback(lambda: self._file.close())  # whichever is the newest by then
            full = self._full()
            self._number = max(full, default=0) + 1
            earlier = (row.path for number in sorted(full) for row in _rows_of(full[number]))
            self._seen = PathSet(itertools.chain(earlier, self._take_over()))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def has(self, path: str) -> bool:
        """Tell whether a photo has a row."""
        return path in self._seen

    def add(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Append rows as they come and pass them on; each is on the disk within seconds."""
        for row in rows:
            self.keep()
            if self._file.end >= self._rotate:
                self._begin_another()
            self._file.append(to_line(row))
            self._seen.add(row.path)
            yield row

    def keep(self) -> None:
        """Go on in another file, and say so, if somebody has deleted or replaced the newest one."""
        if self._file.is_there():
            return
        self._warn(
            f"{self._path}: was deleted or replaced; rows go to a new file of this name, without the earlier ones"
        )
        lost, self._file = self._file, AppendOnlyFile(self._path, SYNC_SECONDS)
        lost.close()
        for path in self._take_over():
            self._seen.add(path)

    def finish(self) -> None:
        """Bring all rows to the disk, and let other processes write."""
        self._opened.close()

    def _begin_another(self) -> None:
        """Give the full file its number; it is closed when that is done, so that a failure leaves one to go on with."""
        self._file.sync()
        self._path.rename(self._path.with_suffix(f".{self._number}{self._path.suffix}"))
        self._number += 1
        full, self._file = self._file, AppendOnlyFile(self._path, SYNC_SECONDS)
        full.close()
        sync_folder(self._path.parent)

    def _full(self) -> dict[int, Path]:
        names = re.compile(rf"{re.escape(self._path.stem)}\.(\d+){re.escape(self._path.suffix)}")
        matches = ((names.fullmatch(path.name), path) for path in self._path.parent.iterdir())
        return {int(match[1]): path for match, path in matches if match}

    def _take_over(self) -> Iterator[str]:
        """Yield the paths in the newest file, and cut off what a pulled plug has torn behind them."""
        end = 0
        for line, row in _rows(self._path, self._file.lines()):
            end += len(line)
            yield row.path
        self._file.cut(end)


def _rows_of(path: Path) -> Iterator[Row]:
    with os.fdopen(open_ours(path, os.O_RDONLY), "rb") as file:
        for _, row in _rows(path, file):
            yield row


def _rows(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[bytes, Row]]:
    """Yield a file's lines, each with its row, up to what a pulled plug has torn."""
    for number, line in enumerate(lines, 1):
        try:
            row = from_line(line)
        except ValueError:
            if _is_torn(line):
                return
            raise UsageError(
                f"{path}, line {number}: not a row of this version; mend or delete the line, or write elsewhere"
            ) from None
        yield line, row


def _is_torn(line: bytes) -> bool:
    """Tell whether a crash can have left this as the last of a file's lines: how a row begins, and then NULs."""
    begun = line.rstrip(b"\0")
    return not line.endswith(b"\n") and (begun.startswith(BEGINNING) or BEGINNING.startswith(begun))
