"""Which network is worth its time?

`python -m cifar_edge.benchmarks.studies.search` trains a family briefly and prints a table.

Latency is that of the int8 graph, ResNet8's being 1, all in turns; accuracy is that on the held-out training images
after `EPOCHS` epochs. The test images are not used.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import keras

from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.data import hold_out, load_cifar10
from cifar_edge.evaluation import evaluate
from cifar_edge.export.calibration import from_training_set
from cifar_edge.export.convert import convert
from cifar_edge.system import timing
from cifar_edge.tflite.graph import operations
from cifar_edge.tflite.interpreter import load_interpreter
from cifar_edge.training.keras_file import predict
from cifar_edge.training.loop import fit_epoch, prepare
from cifar_edge.training.networks import plain, residual
from cifar_edge.training.recipe import recipe_for

EPOCHS = 5

CANDIDATES: dict[str, Callable[[str], keras.Model]] = {
    "ResNet8": lambda name: residual(name, (16, 1), ((16, 1), (32, 2), (64, 2))),
    "residual 32-64-128": lambda name: residual(name, (32, 2), ((32, 1), (64, 2), (128, 2))),
    "residual 64-64-128": lambda name: residual(name, (32, 2), ((64, 2), (64, 1), (128, 2))),
    "residual 64-128-128": lambda name: residual(name, (32, 2), ((64, 2), (128, 2), (128, 1))),
    "residual 16-64-128-128": lambda name: residual(name, (16, 2), ((16, 1), (64, 2), (128, 2), (128, 1))),
    "plain 32x3, 64x3, 112x2": lambda name: plain(name, *_stages(32, 3, 64, 3, 112, 2)),
    "plain 32x3, 64x2, 128x2": lambda name: plain(name, *_stages(32, 3, 64, 2, 128, 2)),
    "plain 32x2, 64x3, 128x2": lambda name: plain(name, *_stages(32, 2, 64, 3, 128, 2)),
    "plain 32x2, 64x2, 128x3": lambda name: plain(name, *_stages(32, 2, 64, 2, 128, 3)),
    "plain 32, 64x3, 128x3": lambda name: plain(name, *_stages(32, 1, 64, 3, 128, 3)),
    "plain 32, 64x3, 144x3": lambda name: plain(name, *_stages(32, 1, 64, 3, 144, 3)),
    "plain 48, 64x3, 128x3": lambda name: plain(name, *_stages(48, 1, 64, 3, 128, 3)),
}
"""Residual ones by their blocks' filters, plain ones by filters and convolutions at 16x16, 8x8 and 4x4 pixels."""


def _stages(*numbers: int) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Return stem and convolutions: filters and number of each stage, whose first convolution halves the image."""
    layers = [
        (filters, 1 if later else 2)
        for filters, count in zip(numbers[::2], numbers[1::2], strict=True)
        for later in range(count)
    ]
    return layers[0], layers[1:]


def main() -> None:
    """Print the table, as Markdown."""
    train = load_cifar10().train
    learn, select = hold_out(train)
    images = from_training_set(train, 100, seed=0).images
    recipe = recipe_for("quick", epochs=EPOCHS)
    rows, interpreters = [], []
    for number, (name, build) in enumerate(CANDIDATES.items(), 1):
        print(f"{number} of {len(CANDIDATES)}: {name}", file=sys.stderr)
        keras.utils.set_random_seed(recipe.seed)
        model = prepare(build("candidate"), recipe, -(-len(learn.labels) // recipe.batch_size))
        started = time.perf_counter()
        for epoch in range(EPOCHS):
            fit_epoch(model, recipe, learn, epoch)
        seconds = (time.perf_counter() - started) / EPOCHS
        graph = convert(model, "int8", images)
        accuracy = evaluate(predict(model, select.images), select.labels).accuracy
        rows.append(
            (name, sum(operation.macs for operation in operations(graph)), model.count_params(), accuracy, seconds)
        )
        interpreters.append(load_interpreter(graph))
    times = timing.measure([interpreter.invoke for interpreter in interpreters])
    cells = (
        (name, f"{macs / 1e6:.1f}", f"{parameters:,}", f"{timed.ratio:.2f}", f"{accuracy:.1%}", f"{seconds:.0f}")
        for (name, macs, parameters, accuracy, seconds), timed in zip(rows, times, strict=True)
    )
    print(markdown(("network", "MMACs", "parameters", "latency", "held-out top-1", "seconds an epoch"), cells))


if __name__ == "__main__":
    run_program(main)
