"""`cifar-edge train`: data -> a run."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from cifar_edge.cli.data import load_or_fetch
from cifar_edge.cli.options import Data
from cifar_edge.cli.terminal import progress_bar, say

images_option = partial(typer.Option, rich_help_panel="Images and labels")
optimizer_option = partial(typer.Option, rich_help_panel="Optimization")


@dataclass(frozen=True)
class RecipeOptions:
    """Changes to the network's own recipe: fields of `Recipe`, None for unchanged."""

    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None
    augment: Annotated[
        str | None, images_option(help="none, standard (mirror and shift), or robust (photos, noise).")
    ] = None
    label_smoothing: Annotated[
        float | None, images_option(help="Share of the label's weight spread over all classes; without a teacher only.")
    ] = None
    teacher: Annotated[
        str | None,
        images_option(metavar="FILE|NAME", help="Learn from a .tflite model's answers instead of labels; '' for none."),
    ] = None
    cycle: Annotated[
        int | None,
        images_option(
            metavar="EPOCHS", help="With a teacher: reuse its images, damaged anew, after this many epochs; 0: never."
        ),
    ] = None
    optimizer: Annotated[str | None, optimizer_option(help="sgd, adam, adamw, nadam, rmsprop, lion or muon.")] = None
    learning_rate: Annotated[float | None, optimizer_option(help="Peak learning rate.")] = None
    schedule: Annotated[str | None, optimizer_option(help="constant, cosine, one-cycle, linear or trapezoid.")] = None
    weight_decay: Annotated[
        float | None, optimizer_option(help="Decoupled weight decay, as a share of the learning rate.")
    ] = None
    batch_size: Annotated[int | None, optimizer_option(help="Images a step.")] = None
    precision: Annotated[
        str | None, optimizer_option(help="float32, or mixed_bfloat16: quicker on processors that have it.")
    ] = None
    seed: Annotated[int | None, optimizer_option(help="Seed of every random choice.")] = None


def train(
    *,
    model: Annotated[
        str | None, typer.Option(help="Network: ann, cnn, resnet8, quick, nano or small.", show_default="quick")
    ] = None,
    data: Data = None,
    changes: RecipeOptions,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/MODEL-DATE-TIME")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue --run, or the newest unfinished run in runs/.")
    ] = False,
) -> None:
    """Train a network on CIFAR-10. Defaults come from the network's own recipe."""
    from cifar_edge.tflite.names import RUNS
    from cifar_edge.training.recipe import DEFAULT, recipe_for
    from cifar_edge.training.run import Run, newest_run

    if resume:
        folder = run or newest_run(finished=False).folder
        recipe = Run(folder).recipe_if_same(model=model, **vars(changes))
    else:
        recipe = recipe_for(model or DEFAULT, **vars(changes))
        folder = run or RUNS / f"{recipe.model}-{datetime.now():%Y%m%d-%H%M%S}"
        Run(folder).check_unused()  # before data is fetched for nothing
    import_keras()
    from cifar_edge.training import loop

    arrays = load_or_fetch(data or Run(folder).data_source)
    say(f"{'continuing' if resume else 'training'} {recipe.model}, {recipe.epochs} epochs, in {folder}")
    with training_progress() as progress:
        result = loop.resume(folder, arrays, progress) if resume else loop.train(recipe, arrays, folder, progress)
    typer.echo(f"test accuracy {result.accuracy:.2%}, loss {result.loss:.4f}: {folder}")
    say(f"next: cifar-edge export --quantize {shlex.quote(str(folder))}")


def import_keras() -> None:
    """Import Keras and its backend without their messages; what fails is raised all the same."""
    from cifar_edge.system.silence import silenced

    with silenced():
        import keras  # noqa: F401


@contextlib.contextmanager
def training_progress() -> Iterator[Callable[[int, int, dict[str, float]], None]]:
    """Show how far a training is, with loss, accuracy and the time left; a Ctrl-C that was lost ends it at a step."""
    with progress_bar() as bar, _remembered_interrupt() as interrupted:
        task = bar.add_task("step", total=None)

        def progress(done: int, total: int, logs: dict[str, float]) -> None:
            if interrupted():
                raise KeyboardInterrupt
            if bar.tasks[task].total is None:  # resumed: what was done before says nothing of the speed
                bar.reset(task, total=total, completed=done)
            note = f"loss {logs['loss']:.3f} accuracy {logs['accuracy']:.1%}"
            bar.update(task, completed=done, description=note)

        yield progress


@contextlib.contextmanager
def _remembered_interrupt() -> Iterator[Callable[[], bool]]:
    """Tell whether Ctrl-C was pressed: one KeyboardInterrupt in a hundred or two is dropped while Keras saves."""
    interrupt, pressed = signal.getsignal(signal.SIGINT), False
    if isinstance(interrupt, int) or not interrupt:  # ignored, as in a shell's background job
        yield lambda: False
        return

    def press(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        interrupt(number, frame)  # a second time it ends the program

    def show(dropped: Any) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            show_any(dropped)

    signal.signal(signal.SIGINT, press)
    show_any, sys.unraisablehook = sys.unraisablehook, show
    try:
        yield lambda: pressed
    finally:
        if signal.getsignal(signal.SIGINT) is press:
            signal.signal(signal.SIGINT, interrupt)
        sys.unraisablehook = show_any
