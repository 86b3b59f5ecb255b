"""A run: the folder that one training leaves behind.

model.keras      the selected network; its presence says that the run is finished
run.json         recipe, data, versions and results: all that is needed to repeat it
history.csv      a line per epoch
curves.png       loss and accuracy by epoch
confusion.png    test images by true and predicted class
checkpoint/      while it trains: the last epoch and the best one, with the optimizer's state; the teacher's answers

A run on your own photos has `report.html` instead of the history and the pictures, and `answers.npz`: the network's
answers to photos that it did not learn from.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from cifar_edge.data import CLASSES
from cifar_edge.data.cifar10 import SAMPLE
from cifar_edge.errors import UsageError
from cifar_edge.system.files import atomic
from cifar_edge.tflite.names import RUNS
from cifar_edge.training.recipe import PhotoRecipe, Recipe, photo_recipe_for, recipe_for

Kind = TypeVar("Kind", Recipe, PhotoRecipe)


@dataclass(frozen=True)
class Epoch:
    """One line of `history.csv`.

    `accuracy` is agreement with the teacher, if there is one; `seconds` is the time of training and validation.
    """

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

    def checkpoint_of(self, epoch: int) -> Path:
        """The state after an epoch, counted from one."""
        return self.checkpoint / f"epoch-{epoch:04}.keras"

    def last_checkpoint(self) -> int:
        """Number of the last epoch whose state was saved; zero before the first."""
        return max((int(path.stem[-4:]) for path in self.checkpoint.glob("epoch-*.keras")), default=0)

    def exists(self) -> bool:
        """Tell whether the folder holds a run of cifar-edge."""
        try:
            return bool(self.record)
        except UsageError:
            return False

    @property
    def record(self) -> dict[str, Any]:
        """Content of `run.json`."""
        try:
            content = json.loads((self.folder / "run.json").read_text())
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.folder}: not a run of cifar-edge (no readable run.json)") from error
        if not isinstance(content, dict) or not {"recipe", "data"} <= content.keys():
            raise UsageError(f"{self.folder}: not a run of cifar-edge (run.json holds no recipe)")
        return content

    @property
    def photos(self) -> Path | None:
        """The folder of photos it was started with; None for a run on CIFAR-10."""
        return Path(self.record["data"]["source"]) if self.exists() and "classes" in self.record else None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the network's outputs."""
        return tuple(self.record.get("classes", CLASSES))

    @property
    def recipe(self) -> Recipe:
        """The recipe it was started with, of a run on CIFAR-10."""
        # An option missing in an older record did not exist then: it gets Recipe's default, not the network's.
        return recipe_for(**asdict(self._recipe(Recipe)))

    @property
    def photo_recipe(self) -> PhotoRecipe:
        """The recipe it was started with, of a run on your own photos."""
        return photo_recipe_for(**asdict(self._recipe(PhotoRecipe)))

    def _recipe(self, kind: type[Kind]) -> Kind:
        try:
            return kind(**self.record["recipe"])
        except TypeError as error:
            raise UsageError(f"{self.folder}: run.json holds no recipe of this version ({error})") from error

    def check_same(self, **options: str | int | float | None) -> None:
        """Raise `UsageError` if an option that is not None is not as in the recipe."""
        recipe = self.record["recipe"]
        for name, value in options.items():
            if value is not None and value != recipe.get(name):
                raise UsageError(
                    f"{self.folder}: was started with {name.replace('_', '-')} {recipe.get(name)}, cannot go on "
                    f"with {value}; resume it as it was or start a new run"
                )

    @property
    def data_source(self) -> str | None:
        """The source of this run's data for `load_cifar10`, or None if it is gone, or photos of your own."""
        if not self.exists() or self.photos:
            return None
        source: str = self.record["data"]["source"]
        return source if source == SAMPLE or Path(source).exists() else None

    def check_unused(self) -> None:
        """Raise `UsageError` if the folder is in use already."""
        if self.folder.exists() and not (self.folder.is_dir() and not any(self.folder.iterdir())):
            raise UsageError(f"{self.folder}: already in use; continue it with --resume or choose another folder")

    def write_record(self, **parts: Any) -> None:
        """Write `run.json`."""
        with atomic(self.folder / "run.json") as path:
            path.write_text(json.dumps(parts, indent=2) + "\n")

    def read_history(self, epochs: int | None = None) -> list[Epoch]:
        """Read `history.csv`: all of it, or the first `epochs`; `UsageError` if these are not there."""
        path = self.folder / "history.csv"
        rows = []
        if path.exists():
            with path.open(newline="") as file:
                rows = list(csv.DictReader(file))[:epochs]
        try:
            history = [
                Epoch(int(row.pop("epoch")), **{name: float(text) for name, text in row.items()}) for row in rows
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: damaged ({error}); start a new run") from error
        if epochs is not None and [row.epoch for row in history] != list(range(1, epochs + 1)):
            raise UsageError(f"{path}: does not hold the {epochs} epochs that are done; start a new run")
        return history

    def write_history(self, history: list[Epoch]) -> None:
        """Write `history.csv`."""
        with atomic(self.folder / "history.csv") as path, path.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Epoch)])
            writer.writeheader()
            writer.writerows(asdict(epoch) for epoch in history)


def best_epoch(history: list[Epoch]) -> Epoch:
    """Return the epoch that is best on the held-out images; the later one of two equals."""
    return max(history, key=lambda row: (row.val_accuracy, row.epoch))


def newest_run(*, finished: bool, runs: Path = RUNS) -> Run:
    """Return the newest run in `runs`, among the finished or the unfinished ones.

    Raises:
        UsageError: there is none.
    """
    found = [Run(path.parent) for path in runs.glob("*/run.json")]
    found = [run for run in found if run.model.exists() == finished]
    if not found:
        kind = "finished" if finished else "unfinished"
        raise UsageError(f"{runs.absolute()}: no {kind} run in there; name one, or start one with `cifar-edge train`")
    # Files are replaced by renaming, which changes the folder's own time.
    return max(found, key=lambda run: run.folder.stat().st_mtime_ns)
