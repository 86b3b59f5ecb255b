"""Which training ships?

`python -m cifar_edge.benchmarks.studies.held_out MODEL...` prints a table of held-out accuracy.

Top-1 on the 5,000 held-out training images, as they are and under each of the damages of `training/augment.py`. The
test images are not used, so trainings may be chosen by it; compare float32 with float32.
"""

from __future__ import annotations

import numpy as np

from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.data import hold_out, load_split
from cifar_edge.evaluation import evaluate
from cifar_edge.tflite.cifar10 import load_cifar10_model, predict_cifar10
from cifar_edge.training.augment import DAMAGES


def main(models: list[str]) -> None:
    """Print the table, as Markdown; *damaged* is the mean over the damages."""
    loaded = {name: load_cifar10_model(name) for name in models}
    _, held_out = hold_out(load_split("train"))
    conditions = [held_out.images] + [damage(held_out.images, np.random.default_rng(0)) for damage in DAMAGES]
    names = ["model", "held-out", "damaged", *(damage.__name__.strip("_") for damage in DAMAGES)]
    rows = []
    for name, model in loaded.items():
        plain, *damaged = (evaluate(predict_cifar10(model, images), held_out.labels).accuracy for images in conditions)
        rows.append((name, *(f"{top1:.1%}" for top1 in (plain, float(np.mean(damaged)), *damaged))))
    print(markdown(names, rows))


if __name__ == "__main__":
    run_program(main)
