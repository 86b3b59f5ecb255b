"""Rows -> CSV, JSON Lines or Parquet."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from cifar_edge.errors import UsageError
from cifar_edge.results.row import COLUMNS, Row, to_line, to_record
from cifar_edge.system.files import atomic, check_replaceable

FORMULAS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""How a text begins that a spreadsheet may take for a formula, full-width signs too (OWASP, CSV Injection)."""

ROW_GROUP = 1_000  # rows of a Parquet file in memory at a time; larger groups make the file little smaller


def write_csv(rows: Iterable[Row], file: TextIO, top_k: int) -> Iterator[Row]:
    """Write rows as they come and pass them on; the reader of a pipe gets each at once.

    `top` becomes the columns `top_1`, `confidence_1`, `top_2` and so on up to `top_k`.
    """
    ranks = [name for rank in range(1, top_k + 1) for name in (f"top_{rank}", f"confidence_{rank}")]
    start = COLUMNS.index("top")
    lines = csv.writer(_Lines(file))
    lines.writerow((*COLUMNS[:start], *ranks, *COLUMNS[start + 1 :]))
    for row in rows:
        top = [cell for label, confidence in row.top for cell in (_no_formula(label), confidence)] or [""] * len(ranks)
        named = (_no_formula(row.path, f".{os.sep}"), _no_formula(row.label), row.confidence)
        lines.writerow((*named, *top, _no_formula(row.error), row.milliseconds, _no_formula(row.model)))
        file.flush()
        yield row


class _Lines:
    """Ends lines as Unix does. With `lineterminator`, `csv.writer` would leave a lone carriage return unquoted."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> None:
        self._file.write(line.removesuffix("\r\n") + "\n")


def _no_formula(text: str, guard: str = "'") -> str:
    """Return a text; one that a spreadsheet would take for a formula gets a guard before it."""
    return f"{guard}{text}" if text.startswith(FORMULAS) else text


def _save_csv(rows: Iterator[Row], path: Path, top_k: int) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        for _ in write_csv(rows, file, top_k):
            pass


def _save_json_lines(rows: Iterator[Row], path: Path, top_k: int) -> None:
    with path.open("wb") as file:
        for row in rows:
            file.write(to_line(row))


def write_parquet(rows: Iterator[Row], file: Path | BinaryIO) -> None:
    """Write rows as Parquet; a name that is not UTF-8 gets Python's escapes, as Parquet's text has to be UTF-8."""
    import pyarrow as arrow
    from pyarrow.parquet import ParquetWriter

    def valid(record: dict[str, Any]) -> dict[str, Any]:
        texts = {name: value for name, value in record.items() if isinstance(value, str)}
        return record | {name: text.encode(errors="backslashreplace").decode() for name, text in texts.items()}

    ranked = arrow.struct({"label": arrow.string(), "confidence": arrow.float64()})
    types = {"confidence": arrow.float64(), "top": arrow.list_(ranked), "milliseconds": arrow.float64()}
    schema = arrow.schema([(name, types.get(name, arrow.string())) for name in COLUMNS])
    with ParquetWriter(file, schema) as writer:
        while group := [valid(to_record(row)) for row in islice(rows, ROW_GROUP)]:
            writer.write_table(arrow.Table.from_pylist(group, schema))


def _save_parquet(rows: Iterator[Row], path: Path, top_k: int) -> None:
    write_parquet(rows, path)


FORMATS: dict[str, Callable[[Iterator[Row], Path, int], None]] = {
    ".csv": _save_csv,
    ".jsonl": _save_json_lines,
    ".parquet": _save_parquet,
}


def check_output(path: Path) -> None:
    """Check before hours of work that `save` can write to `path`.

    Raises:
        UsageError: it is not a file, it could not be replaced, its folder does not exist, or its suffix names no
            format.
        ModuleNotFoundError: Parquet needs pyarrow, the extra `parquet`.
    """
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it or write elsewhere")
    check_replaceable(path)
    if (suffix := path.suffix.lower()) not in FORMATS:
        raise UsageError(f"{path}: the suffix says the format; give it one of {', '.join(FORMATS)}")
    if suffix == ".parquet":
        import pyarrow  # noqa: F401


def save(rows: Iterator[Row], path: Path, top_k: int) -> None:
    """Write rows of `top_k` classes each in the format of the suffix; `path` is replaced when all are on the disk."""
    with atomic(path) as partial:
        FORMATS[path.suffix.lower()](rows, partial, top_k)
