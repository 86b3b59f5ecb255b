"""The pictures of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cifar_edge.system.files import atomic
from cifar_edge.training.run import Epoch


def learning_curves(history: Sequence[Epoch], title: str, path: Path) -> None:
    """Draw loss and accuracy by epoch, training and validation, as a PNG."""
    epochs = [epoch.epoch for epoch in history]
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [getattr(epoch, name) for epoch in history], "--", color="0.5", label="training")
        axes.plot(epochs, [getattr(epoch, f"val_{name}") for epoch in history], color="C0", label="validation")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    _save(figure, path)


def confusion_matrix(confusion: NDArray[np.int64], classes: Sequence[str], title: str, path: Path) -> None:
    """Draw the share of each true class (row) that was predicted as each class, in per cent, as a PNG."""
    share = 100 * confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(7.5, 7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(share.shape):
        colour = "white" if share[row, column] > 50 else "black"
        axes.text(column, row, f"{share[row, column]:.0f}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with atomic(path) as partial:
        figure.savefig(partial, dpi=120)
