"""Rows in a folder of Parquet files, in a bucket or on a disk, for runs too large for one file or machine.

    results/_request.json     the request
    results/part-*.parquet    rows of up to 1,000 photos; the name is a digest of their paths
    results/_SUCCESS          counts, as JSON, once every photo has its row
    results/_MISSING          otherwise: the paths of the photos without a row, one a line

A part appears whole or not at all, and a repeated task writes the same part again. So every part that is there counts,
whatever was killed. Readers of Parquet data sets skip names that begin with `_` or a dot; unfinished parts begin with
a dot. One run at a time writes to a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from cifar_edge.errors import ResultsError, UsageError
from cifar_edge.results.formats import write_parquet
from cifar_edge.results.path_set import PathSet
from cifar_edge.results.request import check_request
from cifar_edge.results.row import Row, from_record
from cifar_edge.results.summary import Summary
from cifar_edge.system.folders import Folder, folder_at
from cifar_edge.system.uris import Uri

REQUEST, SUCCESS, MISSING = "_request.json", "_SUCCESS", "_MISSING"

PART = 1_000  # rows; a stopped run on one machine loses fewer than these

READERS = 16  # parts that are read together, as each waits for the network


class Tally(NamedTuple):
    """The content of a folder: paths, their summary, and the number of parts."""

    paths: PathSet
    summary: Summary
    parts: int


class ParquetFolder:
    """The rows of one request. Use it as a context.

    The request is written first, and the folder refuses any other one.

    Args:
        place: of the folder; a URI or a path.
        request: from `results.request`.
        labels: the model's class names.
        resume: go on where an earlier run of the same request was, if there was one.

    Attributes:
        place: of the folder.
        resumed: whether an earlier run of the same request was there.
        tally: what the folder holds, as of `recount`; entering the context does that.

    Raises:
        UsageError: the folder holds something else, or results that are not to be resumed or belong to another
            request; or another process has it.
        StorageError: it cannot be reached.
        OSError: nothing can be written in this folder.
        ModuleNotFoundError: it needs pyarrow, the extra `parquet`.
    """

    def __init__(self, place: Path | Uri, request: bytes, labels: Sequence[str], *, resume: bool) -> None:
        import pyarrow  # noqa: F401 - before hours of work

        self.place = place if isinstance(place, Path) else Uri(place.rstrip("/"))
        if str(self.place).lower().endswith((".csv", ".jsonl", ".parquet")):
            raise UsageError(f"{place}: many files are written there; name a folder")
        self._labels, self._folder = labels, folder_at(place)
        try:
            self._folder.make()
        except (FileExistsError, NotADirectoryError) as error:
            raise UsageError(f"{error.filename or place}: a file is in the way; name a folder") from error
        with self._folder.alone():
            self.resumed = self._begin(request, resume)

    def _begin(self, request: bytes, resume: bool) -> bool:
        """Write the request, or compare it with the one that is there; return whether one was there."""
        names = {name for name in self._folder.names() if not name.startswith(".")}
        if not names:
            self._folder.write(REQUEST, request)
            return False
        if REQUEST not in names:
            raise UsageError(f"{self.place}: not empty, but no results of this program; choose another folder")
        if names != {REQUEST} and not resume:
            raise UsageError(f"{self.place}: there are results; go on with --resume, or choose another folder")
        check_request(
            str(self.place), self._folder.read(REQUEST), request
        )  # another run may be at work without a part yet
        return True

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opened:
            opened.enter_context(self._folder.alone())
            self.recount()
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def has(self, path: str) -> bool:
        """Tell whether a photo had its row when the folder was opened."""
        return path in self.tally.paths

    def add(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Write rows, `PART` of them together; yield each when it is written."""
        rows = iter(rows)
        while part := list(islice(rows, PART)):
            write_part(self._folder, part)
            yield from part

    def rows(self) -> Iterator[Row]:
        """Yield the rows that are written, part by part."""
        for _, rows in self._parts(self._part_names()):
            yield from rows

    def extend(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Add rows as they come; yield those that were there, then the new ones."""
        yield from self.rows()
        yield from self.add(rows)

    def recount(self) -> None:
        """Count the rows before more are written. Remove `_SUCCESS` and `_MISSING`, and parts that overlap others.

        A task that was given up may still write its part after others have written the same photos. One of such parts
        stays; the photos that only the others have are classified again.
        """
        for outcome in {SUCCESS, MISSING}.intersection(self._folder.names()):
            self._folder.remove(outcome)
        self.tally = self._count()
        if self.tally.paths.repeated:
            for name in self._overlapping(self.tally.paths):
                self._folder.remove(name)
            self.tally = self._count()

    def _count(self) -> Tally:
        """Read all parts and count what they hold."""
        summary, names = Summary(self._labels), self._part_names()

        def paths() -> Iterator[str]:
            for _, rows in self._parts(names):
                for row in rows:
                    summary.add(row)
                    yield row.path

        return Tally(PathSet(paths()), summary, len(names))

    def finish(self) -> None:
        """Write `_SUCCESS`: every photo has its row. Remove what killed processes left.

        Raises:
            ResultsError: a photo has two rows.
        """
        tally = self.tally
        if len(self._part_names()) != tally.parts:  # new parts, of this run or of a task that was given up
            tally = self._count()
        if tally.paths.repeated:
            raise ResultsError(
                f"{self.place}: {tally.paths.repeated:,} photos have more than one row, as if another run had written "
                f"there at the same time ({', '.join(self._overlapping(tally.paths)[:3])}); --resume puts that right"
            )
        for name in self._folder.names():
            if name.startswith(".") and ".partial" in name:
                self._folder.remove(name)
        counts = {
            "photos": tally.summary.photos,
            "unreadable": tally.summary.unreadable,
            "by_label": dict(tally.summary.by_label.most_common()),
            "parts": tally.parts,
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        self._folder.write(SUCCESS, json.dumps(counts, indent=2).encode())

    def lack(self, files: Iterable[str]) -> str:
        r"""Write the paths of photos without a row to `_MISSING`; return a message about them.

        A line break in a path becomes `\n`, and a backslash becomes two.
        """
        count, first, names = 0, [], io.BytesIO()
        for count, file in enumerate(files, 1):
            line = file.replace("\\", "\\\\").replace("\n", "\\n")
            names.write(os.fsencode(f"{line}\n"))
            if count <= 3:
                first.append(file)
        self._folder.write(MISSING, names.getvalue())
        return f"{self.place}: {count:,} photos have no row yet, as {', '.join(first)} ({MISSING} names all)"

    def _overlapping(self, paths: PathSet) -> list[str]:
        """Return the names of the parts to remove so that each path has one row."""
        seen = np.zeros(len(paths), bool)
        names = []
        for name, rows in self._parts(self._part_names()):
            places = [paths.index(row.path) for row in rows if row.path in paths]
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

        content = io.BytesIO(self._folder.read(name))
        try:
            with ParquetFile(content) as part:
                return [from_record(record) for record in part.read().to_pylist()]
        except (ArrowException, OSError, ValueError, TypeError, LookupError) as error:  # any kind of damage
            raise ResultsError(
                f"{self.place}/{name}: not a part of results; delete it and go on with --resume"
            ) from error

    def _part_names(self) -> list[str]:
        return [name for name in self._folder.names() if name.startswith("part-")]


def write_part(folder: Folder, rows: Sequence[Row]) -> None:
    """Write rows as a part into their folder; the same photos make a part of the same name."""
    content = io.BytesIO()
    write_parquet(iter(rows), content)
    name = hashlib.sha256("\0".join(row.path for row in rows).encode(errors="surrogateescape")).hexdigest()
    folder.write(f"part-{name[:32]}.parquet", content.getvalue())
