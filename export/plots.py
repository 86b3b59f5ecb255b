"""The picture of a quantization: noise by layer, and changed answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cifar_edge.evaluation import evaluate

MOST_NAMES = 20  # classes that fit on an axis by name


def quantization_figure(
    decibels: dict[str, float],
    by_float32: NDArray[np.float32],
    by_int8: NDArray[np.float32],
    labels: Sequence[str],
) -> Figure:
    """Draw each layer's signal to noise, and which classes int8 and float32 give the same images.

    Args:
        decibels: signal to quantization noise of each layer, in the order they run.
        by_float32: probabilities, (N, classes).
        by_int8: those of the same images.
        labels: class names, in the order of the outputs.
    """
    figure = Figure(figsize=(14, 6), dpi=100, layout="constrained")
    noise, confusion = figure.subplots(1, 2)
    noise.barh(list(decibels), list(decibels.values()))
    noise.invert_yaxis()
    noise.set_xlabel("signal to quantization noise of the layer's output, dB")

    counts = evaluate(by_int8, by_float32.argmax(axis=1)).confusion
    changed = counts - np.diag(counts.diagonal())
    confusion.imshow(changed, cmap="Oranges")
    if len(labels) <= MOST_NAMES:
        for row, column in np.ndindex(counts.shape):
            confusion.text(column, row, str(counts[row, column]), ha="center", va="center")
        confusion.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
        confusion.set_yticks(range(len(labels)), labels)
    confusion.set_xlabel("int8 says")
    confusion.set_ylabel("float32 says")
    confusion.set_title(f"{changed.sum():,} of {counts.sum():,} images change class")
    return figure
