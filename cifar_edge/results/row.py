"""One photo's result, and its line of JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from cifar_edge.system.opening import Identity

UNKNOWN = "unknown"
"""The label of a photo whose confidence is too low."""


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
        file: the file that was classified, for those who open it again; None if it is not known, as after a resume.
            It is in no output.
    """

    path: str
    label: str
    confidence: float | None
    top: tuple[tuple[str, float], ...]
    error: str
    milliseconds: float
    model: str
    file: Identity | None = field(default=None, compare=False, repr=False)


COLUMNS = ("path", "label", "confidence", "top", "error", "milliseconds", "model")
"""The fields of a row that are written."""


def to_record(row: Row) -> dict[str, Any]:
    """Return a row as a record for JSON and Parquet: `top` is a list of objects with label and confidence."""
    top = [{"label": label, "confidence": confidence} for label, confidence in row.top]
    return {name: getattr(row, name) for name in COLUMNS} | {"top": top}


def from_record(record: dict[str, Any]) -> Row:
    """Return the row of a record from `to_record`."""
    return Row(**record | {"top": tuple((one["label"], one["confidence"]) for one in record["top"])})


def to_line(row: Row) -> bytes:
    """Return a row as a line of JSON Lines."""
    return json.dumps(to_record(row)).encode("ascii") + b"\n"


def from_line(line: bytes) -> Row:
    """Return the row of a line from `to_line`; raise `ValueError` if the line is torn or no row."""
    try:
        if line.endswith(b"\n"):
            return from_record(json.loads(line))
    except (TypeError, LookupError, AttributeError) as error:  # a pulled plug may leave anything
        raise ValueError("not a row") from error
    raise ValueError("half a row")
