"""Are these the corruptions of CIFAR-10-C?

`python -m cifar_edge.benchmarks.studies.fidelity pretrainedResnet_quant.tflite`.

Prints, for each family, top-1 of that model on corrupted test images, beside its top-1 on the published arrays, and
fails if one is far off. The model is ResNet8, int8, of MLPerf Tiny v1.4
(`benchmark/training/image_classification/trained_models` in github.com/mlcommons/tiny). The table is in `README.md`.
"""

from __future__ import annotations

import numpy as np

from cifar_edge.benchmarks.measures.corruptions import FAMILIES, SEVERITIES
from cifar_edge.benchmarks.measures.robustness import measure
from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.data import load_split
from cifar_edge.tflite.cifar10 import load_cifar10_model

PUBLISHED = {
    "gaussian_noise": 28.2,
    "shot_noise": 38.7,
    "impulse_noise": 41.3,
    "defocus_blur": 82.2,
    "glass_blur": 37.6,
    "motion_blur": 76.0,
    "zoom_blur": 79.1,
    "snow": 64.8,
    "frost": 61.6,
    "fog": 79.2,
    "brightness": 85.3,
    "contrast": 66.1,
    "elastic_transform": 81.4,
    "pixelate": 66.3,
    "jpeg_compression": 72.9,
}
"""Top-1 of this model on the published arrays, mean over severities, in percent."""

TOLERANCE = 2.0  # points


def main(model: str) -> None:
    """Print the table for the model that `PUBLISHED` is of."""
    off, rows = [], []
    (result,) = measure([load_cifar10_model(model)], load_split("test"))
    for family, accuracy in zip(FAMILIES, 100 * result.corrupted_accuracy, strict=True):
        mean, published = accuracy.mean(), PUBLISHED[family]
        if abs(mean - published) > TOLERANCE:
            off.append(family)
        cells = [*(f"{share:.1f}" for share in accuracy), f"{mean:.1f}", f"{published}", f"{mean - published:+z.1f}"]
        rows.append([family.replace("_", " "), *cells])
    published = float(np.mean(list(PUBLISHED.values())))
    mean = 100 * result.mean_corrupted_accuracy
    empty = [""] * len(SEVERITIES)
    rows.append(["mean", *empty, f"{mean:.1f}", f"{published:.1f}", f"{mean - published:+z.1f}"])
    severities = (f"severity {number}" for number in SEVERITIES)
    print(markdown(("corruption", *severities, "mean", "published", "difference"), rows))
    print(f"\nclean {result.accuracy:.2%}")
    if off:
        raise SystemExit(f"more than {TOLERANCE:g} points from the published arrays: {', '.join(off)}")


if __name__ == "__main__":
    run_program(main)
