"""A Keras classifier from any source -> one that takes raw pixels and returns probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cifar_edge.data import CLASSES, Split
from cifar_edge.errors import ExportError, UsageError
from cifar_edge.evaluation import evaluate
from cifar_edge.export.calibration import resized
from cifar_edge.tflite.model import are_probabilities
from cifar_edge.training.keras_file import load_network, predict
from cifar_edge.training.run import Run

PIXEL_RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
"""The usual input values for black and white."""

TOLD, TOLD_RESIZED = 5_000, 1_000
"""The most training images for checking labels and pixel range; fewer if they must be enlarged, to save memory."""


@dataclass(frozen=True)
class Source:
    """A classifier to be exported.

    Attributes:
        file: where it comes from.
        network: as it was saved, with a softmax behind it if that gave scores.
        pixel_range: what the network takes for black and white.
        labels: class names, in the order of its outputs.
    """

    file: Path
    network: keras.Model
    pixel_range: tuple[float, float]
    labels: tuple[str, ...]

    @property
    def is_ours(self) -> bool:
        """Whether it is the network of a run."""
        return Run(self.file.parent).model == self.file and Run(self.file.parent).exists()

    @property
    def name(self) -> str:
        """The name of its exports: a run's network, or the file's stem."""
        return str(self.network.name) if self.is_ours else self.file.stem

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        _, height, width, _ = self.network.input_shape
        return height, width

    @property
    def of_cifar10(self) -> bool:
        """Whether its classes are those of CIFAR-10, in any order; images may have any size."""
        return self.is_ours or self._has_names_of_cifar10

    @property
    def _has_names_of_cifar10(self) -> bool:
        return sorted(name.lower() for name in self.labels) == sorted(CLASSES)

    def numbered(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn numbers of CIFAR-10's classes into those of this network's outputs."""
        if not self._has_names_of_cifar10:  # a run under names of the user's own
            return labels
        names = [name.lower() for name in self.labels]
        return np.array([names.index(name) for name in CLASSES], np.uint8)[labels]

    def classifier(self) -> keras.Model:
        """Return the network with the scaling of pixels in front: 0-255, (N, H, W, 3) -> probabilities."""
        if self.pixel_range == (0, 255):
            return self.network
        black, white = self.pixel_range
        # Keras would number what has no name, and no two files would be the same.
        pixels = keras.Input(self.network.input_shape[1:], name="unscaled_pixels")
        scaled = layers.Rescaling((white - black) / 255, black, name="scaling_of_pixels")(pixels)
        return keras.Model(pixels, self.network(scaled), name=self.network.name)


def load_source(
    file: Path, labels: Sequence[str] | None = None, pixel_range: tuple[float, float] = (0.0, 255.0)
) -> Source:
    """Load a `.keras` or `.h5` file, without running code that it may carry.

    Args:
        file: a classifier of images of any fixed size.
        labels: class names in the order of its outputs; by default CIFAR-10's for the network of a run,
            else numbers.
        pixel_range: what it was trained with for black and white.

    Raises:
        UsageError: no such file, or not as many labels as outputs.
        ModelError: it cannot be loaded, or is no image classifier.
    """
    network = _with_probabilities(load_network(file), pixel_range)
    classes = network.output_shape[1]
    source = Source(file, network, pixel_range, tuple(map(str, range(classes)) if labels is None else labels))
    if labels is None and source.is_ours:
        source = replace(source, labels=CLASSES)
    if len(source.labels) != classes:
        raise UsageError(
            f"{file}: {len(source.labels)} labels for {classes} outputs; give as many, in the outputs' order"
        )
    return source


def check_told(source: Source, train: Split) -> None:
    """Check that no other pixel range or order of labels explains a network's answers clearly better.

    Args:
        source: a network of CIFAR-10's classes.
        train: CIFAR-10's training images, of which some are asked.

    Raises:
        ExportError: one does; the message says which.
    """
    if source.is_ours and source.labels == CLASSES and source.pixel_range == (0, 255):
        return  # as it was trained
    number = TOLD if source.size == train.images.shape[1:3] else TOLD_RESIZED
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


def _with_probabilities(network: keras.Model, pixel_range: tuple[float, float]) -> keras.Model:
    low, high = sorted(pixel_range)
    noise = np.random.default_rng(0).uniform(low, high, (16, *network.input_shape[1:]))
    if are_probabilities(predict(network, noise.astype(np.float32))):
        return network
    pixels = keras.Input(network.input_shape[1:], name="pixels_of_logits")
    return keras.Model(pixels, layers.Softmax(name="softmax_of_logits")(network(pixels)), name=network.name)


def _likely_order(confusion: NDArray[np.int64]) -> NDArray[np.intp]:
    """Match each output with a true class, one to one, the most frequent pairs first."""
    order = np.empty(len(confusion), np.intp)
    left = confusion.copy()
    for _ in order:
        truth, output = np.unravel_index(left.argmax(), left.shape)
        order[output] = truth
        left[truth, :] = left[:, output] = -1
    return order
