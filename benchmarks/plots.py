"""Pictures of benchmark results; needs matplotlib (extra `train`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cifar_edge.files import atomic


def noise_curves(names: Sequence[str], sigmas: Sequence[float], accuracy: NDArray[np.float64], path: Path) -> None:
    """Draw accuracy against the strength of gaussian noise, a line for each model, as a PNG.

    Args:
        names: of the models.
        sigmas: standard deviations, for pixels 0-1; 0 stands for the clean images.
        accuracy: top-1, 0-1, (models, sigmas).
        path: of the picture.
    """
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    # Marker and dashes tell the lines apart without colour.
    for name, line, marker, style in zip(
        names, 100 * accuracy, cycle("osD^vP"), cycle(("-", "--", "-.", ":")), strict=False
    ):
        axes.plot(sigmas, line, marker=marker, linestyle=style, label=name)
    axes.set_xlabel("gaussian noise, standard deviation (pixels 0-1)")
    axes.set_ylabel("top-1 accuracy, %")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic(path) as partial:
        figure.savefig(partial, dpi=120)
