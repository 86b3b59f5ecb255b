"""`cifar-edge export`: a run -> verified .tflite files."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cifar_edge.cli.data import load_or_fetch, photos_progress
from cifar_edge.cli.options import CardOptions, Data
from cifar_edge.cli.terminal import say, table, warn
from cifar_edge.cli.train import import_keras
from cifar_edge.errors import UsageError

if TYPE_CHECKING:
    from cifar_edge.data import Cifar10
    from cifar_edge.export.calibration import Calibration
    from cifar_edge.export.source import Source
    from cifar_edge.export.write import Exported
    from cifar_edge.training.photo_set import Photos


calibration_option = partial(typer.Option, rich_help_panel="Calibration")


@dataclass(frozen=True)
class FormatOptions:
    """The formats to write."""

    quantize: Annotated[
        bool, typer.Option("--quantize", help="Write float32 and int8: short for --formats float32,int8.")
    ] = False
    formats: Annotated[
        str | None, typer.Option(help="Some of float32,float16,dynamic,int8,int16x8.", show_default="float32")
    ] = None

    def check(self) -> None:
        """Raise `UsageError` if both are given."""
        if self.quantize and self.formats is not None:
            raise UsageError("--quantize stands for --formats float32,int8: give one of them")

    @property
    def names(self) -> list[str]:
        """Names of the formats, each once."""
        names = "float32,int8" if self.quantize else "float32" if self.formats is None else self.formats
        return list(dict.fromkeys(name.strip() for name in names.split(",")))


@dataclass(frozen=True)
class CalibrationOptions:
    """The images that quantization is calibrated with."""

    calibration: Annotated[
        Path | None,
        calibration_option(
            metavar="DIR", help="Folder of photos for quantization.", show_default="from the training images"
        ),
    ] = None
    calibration_images: Annotated[int, calibration_option(min=1, help="How many images to use.")] = 500
    seed: Annotated[int, calibration_option(min=0, help="Seed for choosing them.")] = 0

    def images(self, data: Cifar10 | Photos, network: Source) -> Calibration:
        """Return the images, photos at the network's size, and say where they come from."""
        from cifar_edge.export.calibration import calibration_from, from_folder

        if not self.calibration:
            return calibration_from(data, network.size, self.calibration_images, self.seed)
        chosen = from_folder(self.calibration, network.size, self.calibration_images, self.seed, network.labels)
        photos, place, unreadable = len(chosen.images), self.calibration, chosen.unreadable
        say(f"calibrating with {photos} photos from {place}; {unreadable} could not be read")
        return chosen


def export(
    *,
    run: Annotated[
        Path | None, typer.Argument(help="A run's folder, a .keras or an .h5 file.", show_default="the newest run")
    ] = None,
    formats: FormatOptions,
    max_drop: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="The most held-out top-1 that a format may lose. If one loses more, nothing is written.",
            show_default="1; where classes are unknown, 10 of changed answers",
        ),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="The model's licence, for its card.", show_default="not known")
    ] = None,
    data: Data = None,
    calibration: CalibrationOptions,
    card: CardOptions,
) -> None:
    """Export a trained model to TFLite, verified: float32, with --quantize also int8."""
    from cifar_edge.training.run import Run, newest_run

    formats.check()
    source = run or newest_run(finished=True).folder
    keras_file = Run(source).model if source.is_dir() else source
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whichever backend trained it, only TensorFlow writes TFLite
    import_keras()
    from cifar_edge.export.source import load_source
    from cifar_edge.export.write import export as export_files

    network = load_source(keras_file, card.labels, card.black_and_white or (0.0, 255.0), card.size)
    images = _photos_of(network) if network.photos else _cifar10_for(network, keras_file, data)
    chosen = calibration.images(images, network)
    first, *_, last = network.labels
    say(f"exporting {keras_file}; its {len(network.labels)} classes are {first} ... {last} (--labels)")
    if not network.of_cifar10 and not network.photos and chosen.labels is None:
        say("its answers are compared with Keras'; for top-1, give photos in folders of its classes (--calibration)")
    files = export_files(network, images, formats.names, chosen, max_drop, licence)
    print_exports(files)
    fastest = min(files, key=lambda file: file.latency.median)
    say(f"next: cifar-edge classify PHOTOS --model {shlex.quote(str(fastest.path))}")


def _photos_of(network: Source) -> Photos:
    """Return the photos of the network's run, decoded at its size."""
    from cifar_edge.training.photo_set import Photos
    from cifar_edge.training.photo_views import Views
    from cifar_edge.training.run import Run

    run = Run(network.file.parent)
    recipe, record = run.photo_recipe, run.record
    with photos_progress() as progress:
        photos = Photos.of(record["data"]["source"], recipe.fit, network.size[:1], recipe.seed, progress=progress)
    if Views.classes_of(photos) != run.classes:
        raise UsageError(f"{photos.directory}: its classes are no longer those of {run.folder}; train again")
    if photos.digest != record["data"]["sha256"]:
        warn(f"{photos.directory}: the photos have changed since the training; those that are there now verify")
    return photos


def _cifar10_for(network: Source, keras_file: Path, data: str | None) -> Cifar10:
    from cifar_edge.training.run import Run

    # Networks of other classes are only compared on these, so the images of the package do.
    return load_or_fetch(data or (Run(keras_file.parent).data_source if network.of_cifar10 else "sample"))


def print_exports(files: Sequence[Exported]) -> None:
    """Print a line for each exported file."""
    rows = [
        (
            file.format,
            f"{file.path.stat().st_size / 1000:.1f} KB",
            file.operations,
            "-" if file.accuracy is None else f"{file.accuracy:.2%} of {file.test_images:,}",
            f"{file.from_keras.difference:.2g}",
            f"{file.from_keras.agreement:.2%} of {file.from_keras.images:,}",
            f"{file.latency.median:.1f} µs",
            f"{file.latency.median / files[0].latency.median:.2f}",
            file.path,
        )
        for file in files
    ]
    columns = (
        "format",
        "size",
        "operations",
        "top-1",
        "largest difference",
        "agreement",
        "latency here",
        f"to {files[0].format}",
        "file",
    )
    table("top-1 on test images or labelled photos; difference and agreement with Keras", columns, rows)
    for file in files:
        if file.worst_layers:
            say(f"{file.format} disturbs most: {file.worst_layers}")
