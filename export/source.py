"""A Keras classifier, ours or anybody's -> one that takes raw pixels and gives probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cifar_edge.data import CLASSES, Split
from cifar_edge.errors import ExportError, UsageError
from cifar_edge.metrics import Evaluation, evaluate
from cifar_edge.training.inference import load_network, predict

PIXEL_RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
"""What networks are usually trained with for black and white."""


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
    def size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        _, height, width, _ = self.network.input_shape
        return height, width

    @property
    def of_cifar10(self) -> bool:
        """Whether it tells the classes of CIFAR-10, in any order, from images of that size."""
        return self.size == (32, 32) and sorted(self.labels) == sorted(CLASSES)

    def relabelled(self, split: Split) -> Split:
        """Number the classes of CIFAR-10 images by this network's outputs."""
        order = np.array([self.labels.index(name) for name in CLASSES], np.uint8)
        return Split(split.images, order[split.labels])

    def classifier(self) -> keras.Model:
        """Return the network with the scaling of pixels in front: 0-255, (N, H, W, 3) -> probabilities."""
        if self.pixel_range == (0, 255):
            return self.network
        pixels = keras.Input(self.network.input_shape[1:], name="pixels")
        # Keras would number the layer, and no two files would be the same.
        return keras.Model(pixels, self.network(_scaling(self.pixel_range)(pixels)), name=self.network.name)


def load_source(
    file: Path, labels: Sequence[str] | None = None, pixel_range: tuple[float, float] = (0.0, 255.0)
) -> Source:
    """Load a `.keras` or `.h5` file, without running code that it may carry.

    Args:
        file: a classifier of images of any fixed size.
        labels: class names in the order of its outputs; by default CIFAR-10's for ten classes of 32x32
            pixels, else numbers.
        pixel_range: what it was trained with for black and white.

    Raises:
        UsageError: no such file, or not as many labels as outputs.
        ModelError: it cannot be loaded, or is no image classifier.
    """
    network = _with_probabilities(load_network(file))
    classes = network.output_shape[1]
    if labels is None:
        alike = (*network.input_shape[1:3], classes) == (32, 32, len(CLASSES))
        labels = CLASSES if alike else tuple(map(str, range(classes)))
    if len(labels) != classes:
        raise UsageError(f"{file}: {len(labels)} labels for {classes} outputs; give as many, in the outputs' order")
    return Source(file, network, pixel_range, tuple(labels))


def check_told(source: Source, images: Split) -> None:
    """Make sure that no other pixel range or order of labels explains a network's answers clearly better.

    Args:
        source: a network of CIFAR-10's classes.
        images: CIFAR-10 images that it has not learned from.

    Raises:
        ExportError: one does; the message says which.
    """
    truth = source.relabelled(images).labels
    candidates: list[tuple[Evaluation, tuple[float, float], NDArray[np.intp]]] = []
    as_listed = np.arange(len(source.labels))
    for pixel_range in dict.fromkeys((source.pixel_range, *PIXEL_RANGES)):
        probabilities = predict(source.network, np.asarray(_scaling(pixel_range)(images.images)))
        likely = _likely_order(evaluate(probabilities, truth).confusion)
        candidates += [
            (evaluate(probabilities[:, np.argsort(order)], truth), pixel_range, order) for order in (as_listed, likely)
        ]
    told = candidates[0][0]
    best, pixel_range, order = min(candidates, key=lambda candidate: candidate[0].loss)
    if not _clearly_better(best, told):
        return
    hints = []
    if pixel_range != source.pixel_range:
        hints.append("--pixel-range {:g},{:g}".format(*pixel_range))
    if (order != as_listed).any():
        hints.append("the labels in the order " + " ".join(source.labels[index] for index in order))
    raise ExportError(
        f"{source.file}: as told, {told.accuracy:.1%} of held-out CIFAR-10 images get their class (loss "
        f"{told.loss:.2f}), but {best.accuracy:.1%} (loss {best.loss:.2f}) with {' and '.join(hints)}; export it so"
    )


def _with_probabilities(network: keras.Model) -> keras.Model:
    shape = (1, *network.input_shape[1:])
    scores = np.asarray(network(np.zeros(shape, np.float32)))
    if (scores >= 0).all() and np.allclose(scores.sum(), 1, atol=1e-3):
        return network
    pixels = keras.Input(shape[1:], name="pixels")
    return keras.Model(pixels, layers.Softmax(name="softmax")(network(pixels)), name=network.name)


def _scaling(pixel_range: tuple[float, float]) -> keras.Layer:
    black, white = pixel_range
    return layers.Rescaling((white - black) / 255, black, name="scaling")


def _likely_order(confusion: NDArray[np.int64]) -> NDArray[np.intp]:
    """Match each output with a true class, one to one, the most frequent pairs first."""
    order = np.empty(len(confusion), np.intp)
    left = confusion.copy()
    for _ in order:
        truth, output = np.unravel_index(left.argmax(), left.shape)
        order[output] = truth
        left[truth, :] = left[:, output] = -1
    return order


def _clearly_better(one: Evaluation, other: Evaluation) -> bool:
    """More right by five points; or about as many, and half as surprised by what it should have said.

    Pixels that are 255 times too bright can leave the order of the scores and only blow them up.
    """
    more = one.accuracy - other.accuracy
    return more > 0.05 or (more > -0.02 and one.loss < other.loss / 2)
