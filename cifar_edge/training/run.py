"""A run: the folder that one training leaves behind.

model.keras      the selected network; its presence says that the run is finished
run.json         recipe, data, versions and results: all that is needed to repeat it
history.csv      a line per epoch
curves.png       loss and accuracy by epoch
confusion.png    test images by true and predicted class
checkpoint/      while it trains: last.keras with the optimizer's state, best.keras
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cifar_edge.data.cifar10 import SAMPLE, SAMPLE_DIGESTS
from cifar_edge.errors import UsageError
from cifar_edge.files import atomic
from cifar_edge.training.recipe import Recipe

RUNS = Path("runs")


@dataclass(frozen=True)
class Epoch:
    """One line of `history.csv`; `seconds` is the time of training and validation together."""

    epoch: int
    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Run:
    """The paths of a run's files, and how they are read and written."""

    folder: Path

    @property
    def model(self) -> Path:
        """The trained network."""
        return self.folder / "model.keras"

    @property
    def checkpoint(self) -> Path:
        """Folder of the training's state, gone when the run is finished."""
        return self.folder / "checkpoint"

    @property
    def record(self) -> dict[str, Any]:
        """Content of `run.json`."""
        try:
            content: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.folder}: not a run of cifar-edge (no readable run.json)") from error
        return content

    @property
    def recipe(self) -> Recipe:
        """The recipe it was started with."""
        return Recipe(**self.record["recipe"])

    def recipe_if_same(self, **options: str | int | float | None) -> Recipe:
        """Return the recipe if every option that is not None agrees with it; raise `UsageError` if not."""
        recipe = self.recipe
        for name, value in options.items():
            started = getattr(recipe, name)
            if value is not None and value != started:
                raise UsageError(
                    f"{self.folder}: was started with {name.replace('_', '-')} {started}, cannot go on "
                    f"with {value}; resume it as it was or start a new run"
                )
        return recipe

    @property
    def data_source(self) -> str | None:
        """What to give `load_cifar10` for the data of this run: "sample", or None for the whole set."""
        if not (self.folder / "run.json").exists():
            return None
        sample = self.record["data"]["train"]["sha256"] == SAMPLE_DIGESTS["train"]
        return SAMPLE if sample else None

    def write_record(self, **parts: Any) -> None:
        """Write `run.json`."""
        with atomic(self.folder / "run.json") as path:
            path.write_text(json.dumps(parts, indent=2) + "\n")

    def read_history(self) -> list[Epoch]:
        """Read `history.csv`; an empty list before the first epoch."""
        path = self.folder / "history.csv"
        if not path.exists():
            return []
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return [Epoch(int(row.pop("epoch")), **{name: float(text) for name, text in row.items()}) for row in rows]

    def write_history(self, history: list[Epoch]) -> None:
        """Write `history.csv`."""
        with atomic(self.folder / "history.csv") as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
            writer.writeheader()
            writer.writerows(asdict(epoch) for epoch in history)


def newest_run(*, finished: bool, runs: Path = RUNS) -> Run:
    """Return the run in `runs` that was worked on last, among the finished or the unfinished ones.

    Raises:
        UsageError: there is none.
    """
    found = [Run(path.parent) for path in runs.glob("*/run.json")]
    found = [run for run in found if run.model.exists() == finished]
    if not found:
        kind = "finished" if finished else "unfinished"
        raise UsageError(f"{runs.absolute()}: no {kind} run in there; name one, or start one with `cifar-edge train`")
    return max(found, key=lambda run: (run.folder / "run.json").stat().st_mtime)
