"""Catch a wrong order of labels or a wrong pixel range, before a network of CIFAR-10's classes is exported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import CLASSES, Split
from cifar_edge.errors import ExportError
from cifar_edge.evaluation import evaluate
from cifar_edge.export.calibration import resized
from cifar_edge.export.source import Source
from cifar_edge.training.keras_file import predict

PIXEL_RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
"""The usual input values for black and white."""

CHECKED, CHECKED_RESIZED = 5_000, 1_000
"""The most training images for checking labels and pixel range; fewer if they must be enlarged, to save memory."""


def check_labels(source: Source, train: Split) -> None:
    """Check that no other pixel range or order of labels explains a network's answers clearly better.

    Args:
        source: a network of CIFAR-10's classes.
        train: CIFAR-10's training images, of which some are asked.

    Raises:
        ExportError: one does; the message says which.
    """
    if source.run and source.labels == CLASSES and source.pixel_range == (0, 255):
        return  # as it was trained
    number = CHECKED if source.size == train.images.shape[1:3] else CHECKED_RESIZED
    some = slice(None, None, -(-len(train.labels) // number))
    images, labels = resized(train.images[some], source.size), source.numbered(train.labels[some])
    readings: list[_Reading] = []
    as_listed = np.arange(len(source.labels))
    for pixel_range in dict.fromkeys((source.pixel_range, *PIXEL_RANGES)):
        probabilities = predict(replace(source, pixel_range=pixel_range).classifier(), images)
        likely = _likely_order(evaluate(probabilities, labels).confusion)
        readings += [_Reading(pixel_range, order, probabilities, labels) for order in (as_listed, likely)]
    given = readings[0]
    best = min(readings, key=lambda reading: reading.loss)
    if not best.clearly_better_than(given):
        return
    hints = []
    if best.pixel_range != source.pixel_range:
        hints.append("--pixel-range {:g},{:g}".format(*best.pixel_range))
    if (best.order != as_listed).any():
        hints.append("the labels in the order " + " ".join(source.labels[index] for index in best.order))
    raise ExportError(
        f"{source.file}: as given, {given.right.mean():.1%} of {len(labels):,} training images get their class "
        f"(loss {given.loss:.2f}), but {best.right.mean():.1%} (loss {best.loss:.2f}) with {' and '.join(hints)}; "
        "look up what it was trained with, and give that"
    )


class _Reading:
    """How well a pixel range and an order of labels explain a network's answers."""

    def __init__(
        self,
        pixel_range: tuple[float, float],
        order: NDArray[np.intp],
        probabilities: NDArray[np.float32],
        labels: NDArray[np.uint8],
    ) -> None:
        reordered = probabilities[:, np.argsort(order)]
        self.pixel_range, self.order = pixel_range, order
        self.loss = evaluate(reordered, labels).loss
        self.right = reordered.argmax(axis=1) == labels

    def clearly_better_than(self, other: _Reading) -> bool:
        """Tell whether more images are right than chance explains, or about as many with half the loss.

        Swapped names cost a weak network few points, so what counts is how seldom such a difference
        comes by chance (McNemar's test, three standard deviations). Pixels that are 255 times too
        bright can leave the order of the scores and only blow them up.
        """
        gained, lost = (self.right & ~other.right).sum(), (other.right & ~self.right).sum()
        as_many = gained - lost > -0.02 * len(self.right)
        return bool(gained - lost > 3 * np.sqrt(gained + lost) or (as_many and self.loss < other.loss / 2))


def _likely_order(confusion: NDArray[np.int64]) -> NDArray[np.intp]:
    """Match each output with a true class, one to one, the most frequent pairs first."""
    order = np.empty(len(confusion), np.intp)
    left = confusion.copy()
    for _ in order:
        truth, output = np.unravel_index(left.argmax(), left.shape)
        order[output] = truth
        left[truth, :] = left[:, output] = -1
    return order
