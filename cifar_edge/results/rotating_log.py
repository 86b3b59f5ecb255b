"""Rows of a watch, which does not end, and which photos have one."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from cifar_edge.errors import UsageError
from cifar_edge.results.path_set import PathSet
from cifar_edge.results.row import Row, from_line, to_line
from cifar_edge.system.append_only import AppendOnlyFile
from cifar_edge.system.files import check_writable, only_process, sync_folder

SYNC_SECONDS = 5.0  # a row that a pulled plug takes away is made again, so there is no hurry to wear the SD card
ROTATE = 10_000_000  # bytes of a file of results; about 50,000 rows
BEGINNING = b'{"path": "'  # of every row


def check_name(path: Path) -> None:
    """Raise `UsageError` unless a log can have this name."""
    if path.suffix != ".jsonl" or path.is_dir():
        raise UsageError(f"{path}: the name must end in .jsonl, and not be that of a folder")


class RotatingLog:
    """Rows in `<name>.jsonl`, the earlier ones in `<name>.1.jsonl`, `<name>.2.jsonl`, ... Use it as a context.

    Nothing is ever rewritten: a full file gets its number and keeps it.

    Args:
        path: of the newest file.
        rotate: bytes of a full file.

    Raises:
        UsageError: the files cannot be written, or a line of theirs is no row, or another process is writing them.
    """

    def __init__(self, path: Path, rotate: int = ROTATE) -> None:
        check_name(path)
        check_writable(path.parent)  # files get other names there
        self._path, self._rotate = path, rotate
        with contextlib.ExitStack() as opened:
            opened.enter_context(only_process(path))
            self._file = AppendOnlyFile(path, SYNC_SECONDS)
            opened.callback(lambda: self._file.close())  # whichever is the newest by then
            full = self._full()
            self._number = max(full, default=0) + 1
            self._end = 0
            files = [*(full[number] for number in sorted(full)), path]
            self._seen = PathSet(row.path for file in files for row in self._rows(file))
            self._file.cut(self._end)
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
            if self._file.end >= self._rotate:
                self._begin_another()
            self._file.append(to_line(row))
            self._seen.add(row.path)
            yield row

    def finish(self) -> None:
        """Bring all rows to the disk, and let other processes write."""
        self._opened.close()

    def _begin_another(self) -> None:
        """Give the full file its number; it is closed when that is done, so that a failure leaves one to go on with."""
        self._file.sync()
        self._path.rename(self._path.with_suffix(f".{self._number}.jsonl"))
        self._number += 1
        full, self._file = self._file, AppendOnlyFile(self._path, SYNC_SECONDS)
        full.close()
        sync_folder(self._path.parent)

    def _full(self) -> dict[int, Path]:
        names = re.compile(rf"{re.escape(self._path.stem)}\.(\d+)\.jsonl")
        matches = ((names.fullmatch(path.name), path) for path in self._path.parent.iterdir())
        return {int(match[1]): path for match, path in matches if match}

    def _rows(self, path: Path) -> Iterator[Row]:
        """Yield the rows in a file, and remember where they end; behind that is what a pulled plug has torn."""
        self._end = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = from_line(line)
                except ValueError:
                    if _is_torn(line):
                        break
                    raise UsageError(
                        f"{path}, line {number}: not a row of this version; mend or delete the line, or write elsewhere"
                    ) from None
                self._end += len(line)
                yield row


def _is_torn(line: bytes) -> bool:
    """Tell whether a crash can have left this as the last of a file's lines: how a row begins, and then NULs."""
    begun = line.rstrip(b"\0")
    return not line.endswith(b"\n") and (begun.startswith(BEGINNING) or BEGINNING.startswith(begun))
