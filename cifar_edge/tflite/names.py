"""Names: "small", a path, or an export in `runs/` -> a model's file."""

from __future__ import annotations

import glob
import os
from pathlib import Path

from cifar_edge.errors import ModelError, UsageError

RUNS = Path("runs")
"""The folder of runs, where trainings go and exports are looked for."""

MODELS = Path(__file__).parents[1] / "models"  # those that ship

IN_MEMORY = "a graph in memory"
"""The name of a graph without a file, in errors."""

LARGEST = 1 << 30
"""Bytes of a model's file; the largest image classifiers in use have a third of it."""

IDENTIFIER = b"TFL3"  # bytes 4 to 8 of every .tflite file


def find_model(name: str | Path, runs: Path = RUNS) -> Path:
    """Return a model's file: `name` itself, or else a model that comes with this package, or an export in `runs`.

    Args:
        name: a path; or "nano" or "small", which are int8, or "nano-float32" and so on; or an export's name without
            its suffix, such as "cnn-int8": the newest of that name.
        runs: folder of runs.

    Raises:
        UsageError: there is none of these.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.name == str(name):
        for shipped in (MODELS / f"{name}.tflite", MODELS / f"{name}-int8.tflite"):
            if shipped.is_file():
                return shipped
        if exports := list(runs.glob(f"*/{glob.escape(path.name)}.tflite")):
            return max(exports, key=lambda export: export.stat().st_mtime_ns)
    known = ", ".join(sorted(shipped.stem for shipped in MODELS.glob("*.tflite")))
    raise UsageError(f"{name}: no such model file, none that ships ({known}), nor an export in {runs.absolute()}")


def read_model(path: Path) -> bytes:
    """Read a model's file.

    Raises:
        ModelError: it does not begin as a `.tflite` file does, or has more than `LARGEST` bytes.
    """
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > LARGEST:
            raise ModelError(f"{path}: has {size / 1e9:,.1f} GB, and a model has {LARGEST / 1e9:.1f} at most")
        if file.read(8)[4:] != IDENTIFIER:
            raise ModelError(f"{path}: not a TFLite model; export or copy it again")
        file.seek(0)
        return file.read()
