"""`cifar-edge evaluate`: a model's accuracy on CIFAR-10."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_edge.cli.data import load_or_fetch, load_test
from cifar_edge.cli.options import Data
from cifar_edge.cli.terminal import results, say, table
from cifar_edge.cli.train import import_keras

if TYPE_CHECKING:
    from cifar_edge.evaluation import Evaluation


def evaluate(
    *,
    model: Annotated[Path, typer.Argument(help="A run's folder, a .keras or a .tflite file.")],
    data: Data = None,
    validation: Annotated[
        bool,
        typer.Option("--validation", help="Use the held-out part of the training set, not the test set."),
    ] = False,
) -> None:
    """Measure a model on CIFAR-10: accuracy, loss, accuracy per class, confusion matrix."""
    from cifar_edge.data import hold_out
    from cifar_edge.training.evaluate import evaluate_file
    from cifar_edge.training.run import Run

    if model.suffix != ".tflite":
        import_keras()
    source = data or (Run(model).data_source if model.is_dir() else None)
    split = hold_out(load_or_fetch(source).train)[1] if validation else load_test(source)
    say(f"evaluating {model}")
    print_evaluation(evaluate_file(model, split))


def print_evaluation(result: Evaluation) -> None:
    """Print accuracy and loss, and the confusion matrix with each class's accuracy."""
    from cifar_edge.data import CLASSES

    console = results()
    count = result.confusion.sum()
    console.print(f"accuracy {result.accuracy:.2%}, loss {result.loss:.4f} on {count:,} images")
    rows = [
        (name, f"{accuracy:.1%}", *counts)
        for name, accuracy, counts in zip(CLASSES, result.per_class, result.confusion, strict=True)
    ]
    table("images by true class (rows) and predicted class", ("class", "accuracy", *CLASSES), rows, console)
