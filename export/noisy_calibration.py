"""Do noisy images belong into the calibration set? `python -m cifar_edge.export.noisy_calibration RUN...`.

Prints, for each run, top-1 on held-out images, clean and noisy, of float32 and of int8 that was
calibrated without and with noisy images. The answer, and thus the default, stands in `README.md`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import hold_out, load_cifar10
from cifar_edge.export.calibration import from_training_set
from cifar_edge.export.convert import convert
from cifar_edge.export.source import load_source
from cifar_edge.export.write import load_graph
from cifar_edge.metrics import evaluate
from cifar_edge.training.run import Run

SIGMA = 0.1  # severity 5 of CIFAR-10-C's gaussian noise, for pixels 0-1
SHARES = (0.0, 0.25, 0.5, 1.0)


def noisy(images: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Add gaussian noise to uint8 images."""
    noise = np.random.default_rng(seed).normal(0, 255 * SIGMA, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def main(*folders: str) -> None:
    """Print the table for finished runs that share their data."""
    train = load_cifar10(Run(Path(folders[0])).data_source).train
    held_out = hold_out(train)[1]
    images = {"clean": held_out.images, "noisy": noisy(held_out.images, seed=0)}
    calibration = from_training_set(train)
    print("| run | held-out images | float32 |", *(f"int8, {share:.0%} noisy |" for share in SHARES))
    print("|---" * (3 + len(SHARES)) + "|")
    for folder in folders:
        network = load_source(Run(Path(folder)).model).classifier()
        graphs = [convert(network, "float32", calibration)]
        for share in SHARES:
            chosen = np.random.default_rng(1).permutation(len(calibration))[: round(share * len(calibration))]
            mixed = calibration.copy()
            mixed[chosen] = noisy(mixed[chosen], seed=2)
            graphs.append(convert(network, "int8", mixed))
        for name, shown in images.items():
            shares = (evaluate(load_graph(graph).predict(shown), held_out.labels).accuracy for graph in graphs)
            print("|", Path(folder).name, "|", name, "|", *(f"{share:.2%} |" for share in shares))


if __name__ == "__main__":
    main(*sys.argv[1:])
