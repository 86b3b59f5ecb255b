"""Rows as a folder of Parquet parts, in a bucket or on a disk, for runs too large for one file or one machine.

    results/_request.json     what the run was asked for
    results/part-*.parquet    the rows of some hundred photos; the name is a digest of their paths
    results/_SUCCESS          counts, as JSON, once every photo has its row
    results/_MISSING          or the paths of the photos that are left without one, a line each

A part appears whole or not at all, and a task that is done again writes the same part again. So whatever was
killed, what is there counts. Readers of Parquet data sets pass over names that begin with `_` or a dot; with a dot
begin parts that are being written. One run at a time writes there.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cifar_edge.errors import ResultsError, UsageError
from cifar_edge.results.formats import write_parquet
from cifar_edge.results.request import check_request
from cifar_edge.results.row import Row, from_record
from cifar_edge.results.summary import Summary
from cifar_edge.system import uris
from cifar_edge.system.files import atomic, only_process

REQUEST, SUCCESS, MISSING = "_request.json", "_SUCCESS", "_MISSING"

PART = 1_000  # rows; a stopped run on one machine loses fewer than these

READERS = 16  # parts that are read together, as each waits for the network

DIGEST = 16  # bytes of a path's; at ten million paths, two are the same with a probability of 1e-25


class Paths:
    """A bag of paths in 16 bytes each: ten million take 160 MB, and hardly more while it is made.

    Args:
        paths: with surrogates for bytes that are not UTF-8, or with Python's escapes for them, as Parquet has it.

    Attributes:
        repeated: how many were there already.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._sorted = np.fromiter(map(_digest, paths), f"S{DIGEST}")
        self._sorted.sort()
        self.repeated = int((self._sorted[1:] == self._sorted[:-1]).sum())

    def __contains__(self, path: str) -> bool:
        return bool(self.place(path) < self._sorted.searchsorted(_digest(path), "right"))

    def __len__(self) -> int:
        return len(self._sorted)

    def place(self, path: str) -> int:
        """Return a number below the length for a path that is in there; no other one has it."""
        return int(self._sorted.searchsorted(_digest(path)))


def _digest(path: str) -> bytes:
    return hashlib.blake2b(path.encode(errors="backslashreplace"), digest_size=DIGEST).digest()


class Tally(NamedTuple):
    """What a data set holds."""

    paths: Paths
    summary: Summary
    parts: int


class DataSet:
    """The results of one request. To begin them, it is written down, and never gives way to another one.

    Args:
        folder: a URI or a path.
        request: what decides about the rows, as JSON; with "choice of labels".
        resume: go on where an earlier run of the same request was, if there was one.

    Raises:
        UsageError: something else is there, or an earlier run's results that are not to be continued, or not like this;
            or another process has it.
        StorageError: it cannot be reached.
        OSError: nothing can be written in this folder.
        ModuleNotFoundError: it needs pyarrow, the extra `parquet`.
    """

    def __init__(self, folder: str, request: dict[str, Any], resume: bool) -> None:
        import pyarrow  # noqa: F401 - before hours of work

        self.folder = folder.rstrip("/")
        if self.folder.endswith((".csv", ".jsonl", ".parquet")):
            raise UsageError(f"{folder}: many files are written there; name a folder")
        self._labels: Sequence[str] = request["choice of labels"]
        asked = json.dumps(request).encode("ascii")
        self._make_folder()
        with self.alone():
            names = {name for name in self._names() if not name.startswith(".")}
            if not names:
                write(self.folder, REQUEST, asked)
                return
            if REQUEST not in names:
                raise UsageError(f"{folder}: not empty, but no results of this program; choose another folder")
            if names != {REQUEST} and not resume:
                raise UsageError(f"{folder}: there are results; go on with --resume, or choose another folder")
            check_request(self.folder, self._read(REQUEST), asked)  # somebody may be at work who has no part yet

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Hold the folder against other processes, where that can be: a bucket has no locks.

        Raises:
            UsageError: another process has it.
        """
        return contextlib.nullcontext() if uris.is_remote(self.folder) else only_process(Path(self.folder))

    def complete(
        self, files: Iterable[str], classify: Callable[[Iterable[str]], Iterator[Row]]
    ) -> Generator[Row, None, None]:
        """Yield the rows that are there, then those of the other files as `classify` makes them, and write these."""
        done = self.reopen().paths
        for _, rows in self._parts(self._part_names()):
            yield from rows
        new = classify(file for file in files if file not in done)
        while part := list(islice(new, PART)):
            write_part(self.folder, part)
            yield from part
        self.finish(self.tally())

    def reopen(self) -> Tally:
        """Count what is there before more is written: no outcome is claimed any longer, and no photo has two rows.

        A task that was given up may still write its part when others have written the same photos. Of such parts
        one stays, and what only the others have is to be done again.
        """
        for outcome in {SUCCESS, MISSING}.intersection(self._names()):
            self._remove(outcome)
        tally = self.tally()
        if tally.paths.repeated:
            for name in self._overlapping(tally.paths):
                self._remove(name)
            tally = self.tally()
        return tally

    def tally(self) -> Tally:
        """Read all parts and count what they hold."""
        summary, names = Summary(self._labels), self._part_names()

        def paths() -> Iterator[str]:
            for _, rows in self._parts(names):
                for row in rows:
                    summary.add(row)
                    yield row.path

        return Tally(Paths(paths()), summary, len(names))

    def finish(self, tally: Tally) -> None:
        """Say in `_SUCCESS` that every photo has its row; what killed processes were writing goes.

        Raises:
            ResultsError: one has two.
        """
        if len(self._part_names()) != tally.parts:  # a task that was given up has written one since
            tally = self.tally()
        if tally.paths.repeated:
            raise ResultsError(
                f"{self.folder}: {tally.paths.repeated:,} photos have more than one row, as if another run had written "
                f"there at the same time ({', '.join(self._overlapping(tally.paths)[:3])}); --resume puts that right"
            )
        for name in self._names():
            if name.startswith(".") and ".partial" in name:
                self._remove(name)
        counts = {
            "photos": tally.summary.photos,
            "unreadable": tally.summary.unreadable,
            "by_label": dict(tally.summary.by_label.most_common()),
            "parts": tally.parts,
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        write(self.folder, SUCCESS, json.dumps(counts, indent=2).encode())

    def lack(self, files: Iterable[str]) -> str:
        r"""Name the photos that have no row in `_MISSING`; return what is to be said of them.

        A line break in a name is `\n` there, and a backslash two.
        """
        count, first, names = 0, [], io.BytesIO()
        for count, file in enumerate(files, 1):
            line = file.replace("\\", "\\\\").replace("\n", "\\n")
            names.write(os.fsencode(f"{line}\n"))
            if count <= 3:
                first.append(file)
        write(self.folder, MISSING, names.getvalue())
        return f"{self.folder}: {count:,} photos have no row yet, as {', '.join(first)} ({MISSING} names all)"

    def _overlapping(self, paths: Paths) -> list[str]:
        """Name the parts without which each of the paths has one row."""
        seen = np.zeros(len(paths), bool)
        names = []
        for name, rows in self._parts(self._part_names()):
            places = [paths.place(row.path) for row in rows if row.path in paths]
            if seen[places].any() or len(set(places)) < len(places):
                names.append(name)
            else:
                seen[places] = True
        return names

    def _parts(self, names: Iterable[str]) -> Iterator[tuple[str, list[Row]]]:
        names = iter(names)
        with ThreadPoolExecutor(READERS) as pool:
            while some := list(islice(names, READERS)):
                yield from zip(some, pool.map(self._rows, some), strict=True)

    def _rows(self, name: str) -> list[Row]:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        content = io.BytesIO(self._read(name))
        try:
            with ParquetFile(content) as part:
                return [from_record(record) for record in part.read().to_pylist()]
        except (ArrowException, OSError, ValueError, TypeError, LookupError) as error:  # whatever damage looks like
            raise ResultsError(
                f"{self.folder}/{name}: no part of results; delete it and go on with --resume"
            ) from error

    def _part_names(self) -> list[str]:
        return [name for name in self._names() if name.startswith("part-")]

    def _names(self) -> list[str]:
        if uris.is_remote(self.folder):
            return uris.names(self.folder)
        folder = Path(self.folder)
        return [path.name for path in folder.iterdir()] if folder.exists() else []

    def _make_folder(self) -> None:
        folder = self.folder
        try:
            uris.make_folder(folder) if uris.is_remote(folder) else Path(folder).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"{error.filename or folder}: a file is in the way; name a folder") from error

    def _read(self, name: str) -> bytes:
        place = f"{self.folder}/{name}"
        return uris.read_whole(place) if uris.is_remote(place) else Path(place).read_bytes()

    def _remove(self, name: str) -> None:
        place = f"{self.folder}/{name}"
        uris.remove(place) if uris.is_remote(place) else Path(place).unlink()


def write_part(folder: str, rows: Sequence[Row]) -> None:
    """Write rows as a part of the data set in a folder; the same photos make a part of the same name."""
    content = io.BytesIO()
    write_parquet(iter(rows), content)
    name = hashlib.sha256("\0".join(row.path for row in rows).encode(errors="surrogateescape")).hexdigest()
    write(folder, f"part-{name[:32]}.parquet", content.getvalue())


def write(folder: str, name: str, content: bytes) -> None:
    """Write a file of a data set, whole or not at all, into its folder, which has to be there.

    Raises:
        StorageError, OSError: in vain.
    """
    if uris.is_remote(folder):
        uris.write(f"{folder}/{name}", content)
        return
    with atomic(Path(folder, name), uuid.uuid4().hex) as partial:  # a task that was given up may write the same part
        partial.write_bytes(content)
