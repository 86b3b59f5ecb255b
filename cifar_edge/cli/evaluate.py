"""`cifar-edge evaluate`: a model's accuracy on CIFAR-10 or on your own photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_edge.cli.data import load_or_fetch, load_test, photos_progress
from cifar_edge.cli.models import say_note
from cifar_edge.cli.options import CardOptions, Data, Workers
from cifar_edge.cli.terminal import results, say, table, warn
from cifar_edge.cli.train import import_keras
from cifar_edge.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cifar_edge.evaluation import Evaluation
    from cifar_edge.tflite.model import EdgeModel
    from cifar_edge.training.run import Run

WIDEST = 30  # classes of a confusion matrix that is printed


def evaluate(
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A run's folder, a .keras or .tflite file, or a name.")],
    photos: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="Folder with a sub-folder of photos for each class.",
            show_default="a run's own test photos, or CIFAR-10",
        ),
    ] = None,
    data: Data = None,
    validation: Annotated[
        bool, typer.Option("--validation", help="Use the held-out images or photos, not those to test on.")
    ] = False,
    workers: Workers = None,
    card: CardOptions,
) -> None:
    """Measure a model: accuracy, loss, calibration error, accuracy per class, confusion matrix."""
    from cifar_edge.tflite.names import find_model
    from cifar_edge.training.run import Run

    is_network = Path(model).is_dir() or Path(model).suffix == ".keras"
    file = Path(model) if is_network else find_model(model)
    run = Run(file if file.is_dir() else file.parent)
    if photos is None and (data or not run.photos):
        _on_cifar10(file, data, validation)
    elif is_network and not run.photos:
        raise UsageError(f"{file}: export it (`cifar-edge export`), and name the .tflite file to measure it on photos")
    else:
        _on_photos(run if is_network else card.load(file), run, photos, validation, workers)


def _on_cifar10(file: Path, data: str | None, validation: bool) -> None:
    from cifar_edge.data import CLASSES, hold_out
    from cifar_edge.training.evaluate import evaluate_file
    from cifar_edge.training.run import Run

    if file.suffix != ".tflite":
        import_keras()
    source = data or (Run(file).data_source if file.is_dir() else None)
    split = hold_out(load_or_fetch(source).train)[1] if validation else load_test(source)
    say(f"evaluating {file}")
    print_evaluation(evaluate_file(file, split), CLASSES, "images")


def _on_photos(model: Run | EdgeModel, run: Run, directory: Path | None, validation: bool, workers: int | None) -> None:
    """Measure a run's network or a `.tflite` model on a folder of photos, or on the run's own."""
    from cifar_edge.training.evaluate import evaluate_model, evaluate_run, labelled_photos, photos_of_run
    from cifar_edge.training.run import Run

    with photos_progress() as progress:
        photos = labelled_photos(directory, validation) if directory else photos_of_run(run, validation, progress)
        side = f"the {photos.side} photos of " if photos.side else ""
        say(f"evaluating on {side}{directory or run.photos}")
        if isinstance(model, Run):
            import_keras()
            found = evaluate_run(model, photos, progress)
        else:
            say_note(model)
            found = evaluate_model(model, photos, workers)
    for path, reason in found.unreadable.items():
        warn(f"{path}: cannot be read, left out: {reason}")
    for name, count in found.left_out.items():
        warn(f"{name}: the model has no such class; its {count:,} photos are left out")
    print_evaluation(found.evaluation, found.labels, "photos")
    if found.unknown:
        count, called = found.unknown
        results().print(f"of {count:,} photos of none of the classes, {called:,} are called unknown")


def print_evaluation(result: Evaluation, classes: Sequence[str], what: str) -> None:
    """Print accuracy and loss, and the confusion matrix with each class's accuracy."""
    from cifar_edge.evaluation import interval

    console, count = results(), int(result.confusion.sum())
    low, high = interval(result.accuracy, count)
    console.print(
        f"accuracy {result.accuracy:.2%}, loss {result.loss:.4f} on {count:,} {what} "
        f"(95 % interval {low:.1%} to {high:.1%}; calibration error {result.ece:.1%})"
    )
    answered = [number for number, counts in enumerate(result.confusion.T + result.confusion) if counts.any()]
    rows = [
        (classes[number], f"{result.per_class[number]:.1%}", *result.confusion[number, answered])
        for number in answered
        if result.confusion[number].any()
    ]
    title = f"{what} by true class (rows) and predicted class"
    if len(answered) <= WIDEST:
        table(title, ("class", "accuracy", *(classes[number] for number in answered)), rows, console)
    else:
        table(title, ("class", "accuracy"), [row[:2] for row in rows], console)
