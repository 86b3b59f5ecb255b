"""The tables of `README.md`: `python -m cifar_edge.benchmarks.studies.formats RUN...`, for runs that share their data.

The first compares the formats that each run was exported to, from its `export.json`. The second asks
whether noisy images belong into the calibration set: it calibrates int8 with and without them and
gives top-1 on held-out images, clean and noisy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cifar_edge.benchmarks.measures.corruptions import corrupt
from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.data import hold_out, load_cifar10
from cifar_edge.evaluation import evaluate
from cifar_edge.export.calibration import from_training_set
from cifar_edge.export.convert import convert
from cifar_edge.export.source import load_source
from cifar_edge.export.write import RAW_PIXELS
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.run import Run

NOISE = ("gaussian_noise", 5)
"""Family and severity of what is noisy here."""

COMPARED = ("largest difference", "agreement, %", "latency, µs", "to float32")

SHARES = (0.0, 0.25, 0.5, 1.0)


def formats(folders: Sequence[Path]) -> Iterator[tuple[object, ...]]:
    """Yield the lines of the first table."""
    yield ("run", "format", "size, KB", "operations", "top-1, %", "held-out, %", *COMPARED)
    for folder in folders:
        files = json.loads((folder / "export.json").read_text())["files"]
        reference = next(file["latency"]["median"] for file in files if file["format"] == "float32")
        for file in files:
            yield (
                folder.name,
                file["format"],
                f"{file['size'] / 1000:.1f}",
                file["operations"],
                f"{100 * file['accuracy']:.2f}",
                f"{100 * file['held_out']:.2f}",
                f"{file['from_keras']['difference']:.2g}",
                f"{100 * file['from_keras']['agreement']:.2f}",
                f"{file['latency']['median']:.1f}",
                f"{file['latency']['median'] / reference:.2f}",
            )


def noisy_calibration(folders: Sequence[Path]) -> Iterator[tuple[object, ...]]:
    """Yield the lines of the second table."""
    train = load_cifar10(Run(folders[0]).data_source).train
    held_out = hold_out(train)[1]
    shown = {"clean": held_out.images, "noisy": corrupt(held_out.images, *NOISE)}
    calibration = from_training_set(train).images
    noisy = corrupt(calibration, *NOISE, seed=1)
    yield ("run", "held-out images", "float32", *(f"int8, {share:.0%} noisy" for share in SHARES))
    for folder in folders:
        network = load_source(Run(folder).model).classifier()
        graphs = [convert(network, "float32", calibration)]
        for share in SHARES:
            chosen = np.random.default_rng(1).permutation(len(calibration)) < share * len(calibration)
            graphs.append(convert(network, "int8", np.where(chosen[:, None, None, None], noisy, calibration)))
        models = [EdgeModel.from_bytes(graph, "int8", pixel_range=RAW_PIXELS) for graph in graphs]
        for name, images in shown.items():
            shares = (evaluate(model.predict(images), held_out.labels).accuracy for model in models)
            yield (folder.name, name, *(f"{share:.2%}" for share in shares))


def main(runs: list[Path]) -> None:
    """Print both tables as Markdown."""
    for table in (formats, noisy_calibration):
        columns, *rows = table(runs)
        print(f"{markdown(columns, rows)}\n")


if __name__ == "__main__":
    run_program(main)
