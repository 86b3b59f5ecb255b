"""How fast is learning?

`python -m cifar_edge.benchmarks.studies.time_to_accuracy` trains for 25 minutes and prints a table.

The plain CNN that this project started from, with Adam at a constant learning rate and no augmentation, takes
turns, an epoch each, with the default recipe and with the same of a few epochs: a computer that slows down slows
down all. The clock of each runs while it trains, not while the test images are classified.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.data import Split, hold_out, load_cifar10
from cifar_edge.evaluation import evaluate
from cifar_edge.training.keras_file import predict
from cifar_edge.training.loop import fit_epoch, new_model
from cifar_edge.training.recipe import DEFAULT, Recipe, recipe_for

BUDGET = 600.0  # seconds

GOALS = (0.75, 0.80)
SHORT = 8  # epochs: about as few as take the default recipe over the goals

PLAIN = recipe_for(
    "cnn", learning_rate=1e-3, schedule="constant", augment="none", epochs=1_000
)  # until the budget ends


@dataclass
class Training:
    """A training under the clock.

    Attributes:
        name: of the training.
        recipe: of the training.
        seconds: its own time after each epoch.
        accuracy: top-1 on the test images after each epoch, 0-1.
        in_steps: seconds inside of the network's steps.
    """

    name: str
    recipe: Recipe
    seconds: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    in_steps: float = 0.0

    def epochs(self, learn: Split, test: Split) -> Iterator[None]:
        """Train, and yield after each epoch, until the recipe or the budget ends."""
        model = new_model(self.recipe, -(-len(learn.labels) // self.recipe.batch_size))
        model.train_on_batch = self._clocked(model.train_on_batch)
        used = 0.0
        for epoch in range(self.recipe.epochs):
            started = time.perf_counter()
            fit_epoch(model, self.recipe, learn, epoch)
            used += time.perf_counter() - started
            self.seconds.append(used)
            self.accuracy.append(evaluate(predict(model, test.images), test.labels).accuracy)
            yield
            if used > BUDGET:
                return

    def _clocked(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*arguments: Any, **options: Any) -> Any:
            started = time.perf_counter()
            result = step(*arguments, **options)
            self.in_steps += time.perf_counter() - started
            return result

        return clocked

    def seconds_to(self, goal: float) -> float | None:
        """Return when the test accuracy was first as good as `goal`; None if never."""
        return next((second for second, got in zip(self.seconds, self.accuracy, strict=True) if got >= goal), None)


def measure(learn: Split, test: Split) -> list[Training]:
    """Train all; see the module."""
    default = recipe_for(DEFAULT)
    trainings = [
        Training("plain CNN", PLAIN),
        Training("default", default),
        Training(f"default, {SHORT} epochs", replace(default, epochs=SHORT)),
    ]
    for _ in zip_longest(*(training.epochs(learn, test) for training in trainings)):
        pass
    return trainings


def main() -> None:
    """Print the table, as Markdown."""
    data = load_cifar10()
    columns = ("recipe", *(f"seconds to {goal:.0%}" for goal in GOALS), "epochs", "seconds", "top-1 then", "in steps")
    rows = []
    for training in measure(hold_out(data.train)[0], data.test):
        used = training.seconds[-1]
        reached = [training.seconds_to(goal) for goal in GOALS]
        cells = [
            training.name,
            *("never" if seconds is None else f"{seconds:.0f}" for seconds in reached),
            str(len(training.seconds)),
            f"{used:.0f}",
            f"{training.accuracy[-1]:.2%}",
            f"{training.in_steps / used:.0%}",
        ]
        rows.append(cells)
    print(markdown(columns, rows))


if __name__ == "__main__":
    run_program(main)
