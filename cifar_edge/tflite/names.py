"""Names: "small", a path, or an export in `runs/` -> a model's file."""

from __future__ import annotations

import glob
from pathlib import Path

from cifar_edge.errors import UsageError

RUNS = Path("runs")
"""The folder of runs, where trainings go and exports are looked for."""

MODELS = Path(__file__).parents[1] / "models"  # those that ship


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
