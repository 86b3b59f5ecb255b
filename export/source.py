"""A Keras classifier from any source -> one that takes raw pixels and returns probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cifar_edge.data import CLASSES
from cifar_edge.errors import UsageError
from cifar_edge.tflite.model import are_probabilities
from cifar_edge.training.keras_file import load_network, predict
from cifar_edge.training.run import Run


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


def _with_probabilities(network: keras.Model, pixel_range: tuple[float, float]) -> keras.Model:
    low, high = sorted(pixel_range)
    noise = np.random.default_rng(0).uniform(low, high, (16, *network.input_shape[1:]))
    if are_probabilities(predict(network, noise.astype(np.float32))):
        return network
    pixels = keras.Input(network.input_shape[1:], name="pixels_of_logits")
    return keras.Model(pixels, layers.Softmax(name="softmax_of_logits")(network(pixels)), name=network.name)
