"""Rows of a run without an end, and which photos have one."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Self

import numpy as np

from cifar_edge.errors import UsageError
from cifar_edge.results.row import Row, from_line, to_line
from cifar_edge.system.append_only import Lines
from cifar_edge.system.files import check_writable, sync_folder

SYNC_SECONDS = 5.0  # a row that a pulled plug takes away is made again, so there is no hurry to wear the SD card

ROTATE = 10_000_000  # bytes of a file of results; about 50,000 rows
BEGINNING = b'{"path": "'  # of every row


def check_name(path: Path) -> None:
    """Raise `UsageError` unless a log can have this name."""
    if path.suffix != ".jsonl" or path.is_dir():
        raise UsageError(f"{path}: the name must end in .jsonl, and not be that of a folder")


class Log:
    """Rows in `<name>.jsonl`, the earlier ones in `<name>.1.jsonl`, `<name>.2.jsonl`, ...; `path in log` has a row.

    Nothing is ever rewritten: a full file gets its number and keeps it.

    Raises:
        UsageError: the files cannot be written, or a line of theirs is no row.
    """

    def __init__(self, path: Path, rotate: int) -> None:
        check_name(path)
        check_writable(path.parent)  # files will get other names there
        self._path, self._rotate = path, rotate
        self._seen = _Digests()
        self._lines = Lines(path, SYNC_SECONDS)
        try:
            full = self._full()
            self._number = max(full, default=0) + 1
            for number in sorted(full):
                self._read(full[number])
            self._lines.cut(self._read(path))
        except BaseException:
            self._lines.close()
            raise

    def __enter__(self) -> Self:
        self._lines.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._lines.__exit__(*reason)

    def __contains__(self, path: str) -> bool:
        return path in self._seen

    def append(self, row: Row) -> None:
        """Write a row."""
        if self._lines.end >= self._rotate:
            self._begin_another()
        self._lines.append(to_line(row))
        self._seen.add(row.path)

    def _begin_another(self) -> None:
        """Give the full file its number; it is closed when that is done, so that a failure leaves one to go on with."""
        self._lines.sync()
        self._path.rename(self._path.with_suffix(f".{self._number}.jsonl"))
        self._number += 1
        full, self._lines = self._lines, Lines(self._path, SYNC_SECONDS).__enter__()
        full.__exit__()
        sync_folder(self._path.parent)

    def _full(self) -> dict[int, Path]:
        names = re.compile(rf"{re.escape(self._path.stem)}\.(\d+)\.jsonl")
        matches = ((names.fullmatch(path.name), path) for path in self._path.parent.iterdir())
        return {int(match[1]): path for match, path in matches if match}

    def _read(self, path: Path) -> int:
        """Take note of the rows in a file and return where they end; what a pulled plug has torn is behind that."""
        end = 0
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
                self._seen.add(row.path)
                end += len(line)
        return end


def _is_torn(line: bytes) -> bool:
    """Tell whether a crash can have left this as the last of a file's lines: how a row begins, and then NULs."""
    begun = line.rstrip(b"\0")
    return not line.endswith(b"\n") and (begun.startswith(BEGINNING) or BEGINNING.startswith(begun))


class _Digests:
    """A set of texts that takes 8 bytes for each: of a million, two have the same digest with a chance of 3e-8."""

    MERGED = 10_000

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._new: set[int] = set()

    def __contains__(self, text: str) -> bool:
        digest = _digest(text)
        place = int(np.searchsorted(self._sorted, np.uint64(digest)))
        return digest in self._new or (place < len(self._sorted) and int(self._sorted[place]) == digest)

    def add(self, text: str) -> None:
        self._new.add(_digest(text))
        if len(self._new) == self.MERGED:
            self._sorted = np.union1d(self._sorted, np.fromiter(self._new, np.uint64))
            self._new = set()


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(text), digest_size=8).digest())
