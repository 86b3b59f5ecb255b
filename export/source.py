"""A Keras classifier from any source -> one that takes raw pixels and returns probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cifar_edge.data import CLASSES
from cifar_edge.errors import ModelError, UsageError, first_line
from cifar_edge.photos.decode import FIT
from cifar_edge.tflite.model import are_probabilities
from cifar_edge.tflite.shapes import objection
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
    def run(self) -> Run | None:
        """The run whose network it is, or None."""
        run = Run(self.file.parent)
        return run if run.model == self.file and run.exists() else None

    @property
    def photos(self) -> Path | None:
        """The folder of the user's own photos that it has learned from, or None."""
        return self.run.photos if self.run else None

    @property
    def name(self) -> str:
        """The name of its exports: that of a run's photos or network, or the file's stem."""
        if self.photos:
            return self.photos.name
        return str(self.network.name) if self.run else self.file.stem

    @property
    def fit(self) -> str:
        """How photos become its images."""
        return self.run.photo_recipe.fit if self.run and self.photos else FIT

    @property
    def confidence(self) -> dict[str, float]:
        """What its card says of confidences: `temperature` and `threshold`, if its training fitted them."""
        result = self.run.record.get("result", {}) if self.run else {}
        return {name: result[name] for name in ("temperature", "threshold") if name in result}

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        _, height, width, _ = self.network.input_shape
        return height, width

    @property
    def of_cifar10(self) -> bool:
        """Whether its classes are those of CIFAR-10, in any order; images may have any size."""
        return (self.run is not None and not self.photos) or self._has_names_of_cifar10

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
    file: Path,
    labels: Sequence[str] | None = None,
    pixel_range: tuple[float, float] = (0.0, 255.0),
    size: tuple[int, int] | None = None,
) -> Source:
    """Load a `.keras` or `.h5` file, without running code that it may carry.

    Args:
        file: a classifier of images. One with a single sigmoid output has two classes.
        labels: class names in the order of its outputs; by default CIFAR-10's for the network of a run,
            else numbers. One name for a single output: its classes are "not NAME" and NAME.
        pixel_range: what it was trained with for black and white.
        size: height and width, for a network that takes images of any size.

    Raises:
        UsageError: no such file, not as many labels as outputs, or a size for a network that has its own.
        ModelError: it cannot be loaded, or is no image classifier.
    """
    network = _of_size(file, _in_float32(load_network(file)), size)
    if not (reason := objection(network.input_shape, (None, 2))):  # takes images
        network = _with_probabilities(network, pixel_range)
        reason = objection(network.input_shape, network.output_shape)
    if reason:
        raise ModelError(f"{file}: {reason}")
    classes = network.output_shape[1]
    if labels is not None and len(labels) == 1:
        labels = (f"not {labels[0]}", *labels)
    source = Source(file, network, pixel_range, tuple(map(str, range(classes)) if labels is None else labels))
    if labels is None and source.run:
        source = replace(source, labels=source.run.classes)
    if len(source.labels) != classes:
        raise UsageError(
            f"{file}: {len(source.labels)} labels for {classes} outputs; give as many, in the outputs' order"
        )
    return source


def _in_float32(network: keras.Model) -> keras.Model:
    """Return a network that computes in float32; TensorFlow's converter cannot read mixed precision."""
    if all(layer.dtype_policy.name == "float32" for layer in _layers(network)):
        return network
    copy = type(network).from_config(_float32(network.get_config()))
    copy.set_weights(network.get_weights())
    return copy


def _layers(network: keras.Model) -> Iterator[keras.Layer]:
    for layer in network.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _float32(config: Any) -> Any:
    """Return a network's description with float32 in place of the types of lower precision."""
    match config:
        case {"class_name": "DTypePolicy", "config": {"name": str(name)}} if name.endswith("float16"):
            return "float32"
        case dict():
            return {key: _float32(value) for key, value in config.items()}
        case list() | tuple():
            return type(config)(map(_float32, config))
        case "float16" | "bfloat16":
            return "float32"
        case _:
            return config


def _of_size(file: Path, network: keras.Model, size: tuple[int, int] | None) -> keras.Model:
    """Return a network that takes images of a size, where it takes those of any."""
    match network.input_shape:
        case (_, None, _, 3) | (_, _, None, 3) if size:
            pixels = keras.Input((*size, 3), name="pixels_of_a_size")
            try:
                return keras.Model(pixels, network(pixels), name=network.name)
            except ValueError as error:
                raise UsageError(f"{file}: --image-size {size[0]},{size[1]}: {first_line(error)}") from error
        case _ if size:
            raise UsageError(f"{file}: has a size of its own; leave --image-size out")
        case _:
            return network


def _with_probabilities(network: keras.Model, pixel_range: tuple[float, float]) -> keras.Model:
    """Return a network with the probability of each class: logits get a softmax, and one sigmoid is made two."""
    pixels = keras.Input(network.input_shape[1:], name="pixels_of_scores")
    match network.output_shape:
        case (_, 1, 1, int()):
            network = keras.Model(pixels, layers.Flatten(name="scores_of_pixel")(network(pixels)), name=network.name)
    low, high = sorted(pixel_range)
    noise = np.random.default_rng(0).uniform(low, high, (16, *network.input_shape[1:]))
    probable = are_probabilities(predict(network, noise.astype(np.float32)))
    match network.output_shape:
        case (_, 1) if probable:
            yes = network(pixels)
            no = layers.Rescaling(-1.0, 1.0, name="other_class")(yes)
            both = layers.Concatenate(name="both_classes")([no, yes])
            return keras.Model(pixels, both, name=network.name)
        case (_, int(classes)) if classes > 1 and not probable:
            return keras.Model(pixels, layers.Softmax(name="softmax_of_logits")(network(pixels)), name=network.name)
        case _:
            return network
