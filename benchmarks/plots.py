"""Pictures of benchmark results; needs matplotlib (extra `train`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cifar_edge.benchmarks.corruptions import FAMILIES, SEVERITIES, corrupt
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


def corruption_samples(images: NDArray[np.uint8], path: Path) -> None:
    """Show what each corruption makes of some images, a row for each family, as a PNG.

    Args:
        images: uint8, (N, 32, 32, 3); each is shown clean and at every severity, one image beside the other.
        path: of the picture.
    """
    rows = [
        np.concatenate([images, *(corrupt(images, family, severity) for severity in SEVERITIES)]).reshape(
            1 + len(SEVERITIES), *images.shape
        )
        for family in FAMILIES
    ]
    framed = np.pad(rows, ((0, 0), (0, 0), (0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    families, conditions, count, height, width, _ = framed.shape
    sheet = framed.transpose(0, 3, 2, 1, 4, 5).reshape(families * height, count * conditions * width, 3)
    figure = Figure(figsize=(2.2 + 0.7 * count * conditions, 0.7 * families), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, interpolation="nearest")
    axes.set_yticks(height * (np.arange(families) + 0.5), [family.replace("_", " ") for family in FAMILIES])
    axes.set_xticks(width * (np.arange(count * conditions) + 0.5), ["clean", *map(str, SEVERITIES)] * count)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    with atomic(path) as partial:
        figure.savefig(partial, dpi=100, bbox_inches="tight")
