"""`cifar-edge train`: CIFAR-10 or your own photos -> a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cifar_edge.cli.data import load_or_fetch, photos_progress
from cifar_edge.cli.options import Data, Workers
from cifar_edge.cli.terminal import say, warn
from cifar_edge.cli.training_progress import training_progress
from cifar_edge.errors import Interrupted, UsageError

photos_option = partial(typer.Option, rich_help_panel="Your own photos")
cifar10_option = partial(typer.Option, rich_help_panel="CIFAR-10")
optimizer_option = partial(typer.Option, rich_help_panel="Optimization")


@dataclass(frozen=True)
class PhotoOptions:
    """Changes to a backbone's recipe: fields of `PhotoRecipe`, None for unchanged."""

    backbone: Annotated[
        str | None, photos_option(help="lite0, mobilenet_v2, small, nano, or none: from scratch.", show_default="lite0")
    ] = None
    image_size: Annotated[
        int | None,
        photos_option(
            metavar="PIXELS",
            help="32 to 320. Latency of lite0 as int8, times small's: 1.4 at 96, 2.3 at 128, 3.5 at 160, 6.8 at 224.",
            show_default="224 for lite0",
        ),
    ] = None
    alpha: Annotated[float | None, photos_option(help="Width of mobilenet_v2, 0.35 to 1.4.")] = None
    weights: Annotated[
        str | None, photos_option(metavar="FILE", help="Weights of mobilenet_v2, where Keras cannot fetch them.")
    ] = None
    fit: Annotated[str | None, photos_option(help="How a photo becomes a square: stretch, crop or pad.")] = None
    mirror: Annotated[
        bool | None,
        photos_option("--mirror/--no-mirror", help="Whether a mirrored photo shows the same.", show_default="mirror"),
    ] = None
    start: Annotated[
        str | None,
        photos_option("--from", metavar="RUN", help="Keep what a run has learned; train the last layer."),
    ] = None


@dataclass(frozen=True)
class Cifar10Options:
    """Changes to the recipe of a network for CIFAR-10: fields of `Recipe`, None for unchanged."""

    model: Annotated[
        str | None,
        cifar10_option(help="Network: ann, cnn, resnet8, quick, nano or small.", show_default="quick"),
    ] = None
    augment: Annotated[
        str | None, cifar10_option(help="none, standard (mirror and shift), or robust (photos, noise).")
    ] = None
    label_smoothing: Annotated[
        float | None,
        cifar10_option(help="Share of the label's weight spread over all classes; without a teacher only."),
    ] = None
    teacher: Annotated[
        str | None,
        cifar10_option(metavar="FILE|NAME", help="Learn from a .tflite model's answers, not labels; '' for none."),
    ] = None
    cycle: Annotated[
        int | None,
        cifar10_option(
            metavar="EPOCHS", help="With a teacher: reuse its images, damaged anew, after this many epochs; 0: never."
        ),
    ] = None
    optimizer: Annotated[str | None, cifar10_option(help="sgd, adam, adamw, nadam, rmsprop, lion or muon.")] = None
    schedule: Annotated[str | None, cifar10_option(help="constant, cosine, one-cycle, linear or trapezoid.")] = None
    weight_decay: Annotated[
        float | None, cifar10_option(help="Decoupled weight decay, as a share of the learning rate.")
    ] = None
    precision: Annotated[
        str | None, cifar10_option(help="float32, or mixed_bfloat16: quicker on processors that have it.")
    ] = None


@dataclass(frozen=True)
class OptimizerOptions:
    """Changes to either recipe, None for unchanged."""

    epochs: Annotated[int | None, optimizer_option(help="Passes over the training images.")] = None
    learning_rate: Annotated[float | None, optimizer_option(help="Peak learning rate.")] = None
    batch_size: Annotated[int | None, optimizer_option(help="Images a step.")] = None
    seed: Annotated[int | None, optimizer_option(help="Seed of every random choice.")] = None


def train(
    *,
    photos: Annotated[
        Path | None,
        typer.Argument(help="Folder with a sub-folder of photos for each class.", show_default="CIFAR-10"),
    ] = None,
    own: PhotoOptions,
    cifar10: Cifar10Options,
    optimizer: OptimizerOptions,
    data: Data = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Train for no longer than this.", show_default="as the epochs take")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/NAME-DATE-TIME")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue --run, or the newest unfinished run in runs/.")
    ] = False,
    workers: Workers = None,
) -> None:
    """Train a network on photos of your own, or on CIFAR-10. Defaults come from the backbone's or network's recipe."""
    from cifar_edge.training.run import Run, newest_run

    if minutes is not None and (resume or optimizer.epochs is not None):
        raise UsageError("--minutes decides about the epochs: leave it out with --epochs and --resume")
    if resume:
        run = run or newest_run(finished=False).folder
        photos = photos or Run(run).photos
    if photos:
        _refuse(vars(cifar10) | {"data": data}, "is for CIFAR-10; leave it out with photos of your own")
        train_on_photos(photos, run, resume, vars(own) | vars(optimizer), minutes, workers)
    else:
        _refuse(vars(own) | {"workers": workers}, "is for photos of your own; name their folder")
        train_on_cifar10(data, run, resume, vars(cifar10) | vars(optimizer), minutes)


def _refuse(options: Mapping[str, object], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"--{'from' if name == 'start' else name.replace('_', '-')} {why}")


def train_on_photos(
    directory: Path,
    folder: Path | None,
    resume: bool,
    options: Mapping[str, Any],
    minutes: float | None,
    workers: int | None,
) -> None:
    """Train on photos of your own, and print what the model is worth."""
    from cifar_edge.training.photo_set import Photos
    from cifar_edge.training.recipe import DEFAULT_BACKBONE, photo_recipe_for
    from cifar_edge.training.run import Run

    if resume and folder:
        Run(folder).check_same(**options)
        recipe = Run(folder).photo_recipe
    else:
        options = {name: value for name, value in options.items() if value is not None}
        if before := options.get("start"):
            options = asdict(Run(Path(before)).photo_recipe) | {"epochs": 0} | options
        recipe = photo_recipe_for(**{"backbone": DEFAULT_BACKBONE, **options})
        folder = folder or _new_folder(directory.resolve().name)
        Run(folder).check_unused()
    import_keras()
    from cifar_edge.training import own_classes
    from cifar_edge.training.photo_views import sizes_for

    try:
        with photos_progress() as progress:
            photos = Photos.of(directory, recipe.fit, sizes_for(recipe), recipe.seed, workers, progress)
    except KeyboardInterrupt:
        raise Interrupted("stopped; what is decoded is kept, run the same command again") from None
    for line in photos.survey.warnings():
        warn(line)
    say(f"{'continuing' if resume else 'training'} {recipe.backbone}, {len(photos):,} photos, in {folder}")
    with training_progress() as steps:
        if resume:
            own_classes.resume(folder, photos, steps)
        else:
            own_classes.train(recipe, photos, folder, steps, minutes)
    typer.echo(own_classes.summary(folder))
    say(f"report: {folder / 'report.html'}")
    say(f"next: cifar-edge export --quantize {shlex.quote(str(folder))}")


def train_on_cifar10(
    data: str | None, folder: Path | None, resume: bool, options: Mapping[str, Any], minutes: float | None
) -> None:
    """Train a network on CIFAR-10, and print what it is worth."""
    from cifar_edge.training.recipe import DEFAULT, recipe_for
    from cifar_edge.training.run import Run

    if resume and folder:
        Run(folder).check_same(**options)
        recipe = Run(folder).recipe
    else:
        recipe = recipe_for(**{**options, "model": options["model"] or DEFAULT})
        folder = folder or _new_folder(recipe.model)
        Run(folder).check_unused()  # before data is fetched for nothing
    import_keras()
    from cifar_edge.training import loop

    arrays = load_or_fetch(data or Run(folder).data_source)
    if minutes is not None:
        recipe = loop.fitted(recipe, arrays, minutes)
    say(f"{'continuing' if resume else 'training'} {recipe.model}, {recipe.epochs} epochs, in {folder}")
    with training_progress() as progress:
        result = loop.resume(folder, arrays, progress) if resume else loop.train(recipe, arrays, folder, progress)
    typer.echo(f"test accuracy {result.accuracy:.2%}, loss {result.loss:.4f}: {folder}")
    say(f"next: cifar-edge export --quantize {shlex.quote(str(folder))}")


def _new_folder(name: str) -> Path:
    from cifar_edge.tflite.names import RUNS

    return RUNS / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def import_keras() -> None:
    """Import Keras and its backend without their messages; what fails is raised all the same."""
    from cifar_edge.system.silence import silenced

    with silenced():
        import keras  # noqa: F401
