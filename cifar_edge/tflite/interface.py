"""How images enter a graph, and how its scores leave it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_edge.errors import ModelError, UsageError
from cifar_edge.tflite.shapes import objection

Size = tuple[int, int]
"""Height and width, in pixels."""

GREY = np.array([19595, 38470, 7471], np.uint32)
"""Weights of red, green and blue in 65,536ths, as Pillow has them: ITU-R BT.601."""


@dataclass(frozen=True)
class Interface:
    """The layout of a classifier's tensors.

    Attributes:
        height: of the images, in pixels.
        width: of the images, in pixels.
        grey: whether they have one channel.
        channels_first: whether they are (channels, height, width).
        outputs: how many numbers an image gets.
    """

    height: int
    width: int
    grey: bool
    channels_first: bool
    outputs: int

    @property
    def classes(self) -> int:
        """How many classes there are: one number is the probability of the second of two."""
        return max(2, self.outputs)

    def entering(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return images, uint8 (N, height, width, 3), as the graph wants them laid out."""
        if self.grey:
            images = ((images @ GREY + 0x8000) >> 16).astype(np.uint8)[..., None]
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if self.channels_first else images

    def leaving(self, scores: NDArray[Any], images: int) -> NDArray[Any] | None:
        """Return scores as (images, outputs); None if there are more or fewer."""
        return scores.reshape(images, self.outputs) if scores.size == images * self.outputs else None


def interface_of(name: str, takes: Sequence[Any], gives: Sequence[Any], size: Size | None = None) -> Interface:
    """Read how a graph takes images and gives scores.

    Args:
        name: of the file, for errors.
        takes: the inputs' shapes; None where a graph takes any number.
        gives: the outputs' shapes.
        size: of the images, for a graph that takes them of any size.

    Raises:
        ModelError: no classifier of images, one at a time.
        UsageError: a size for a graph that has its own.
    """
    if len(takes) != 1 or len(gives) != 1:
        raise ModelError(
            f"{name}: not an image classifier: takes {len(takes)} tensors and gives {len(gives)}, "
            "but should take one image and give one row of scores"
        )
    (shape,), (output,) = takes, gives
    if not (shape and output):
        raise ModelError(f"{name}: not an image classifier: takes {shape} and gives {output}")
    first = len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)
    if first:
        shape = [shape[0], *shape[2:], shape[1]]
    grey = len(shape) == 4 and shape[3] == 1
    if grey:
        shape = [*shape[:3], 3]
    dynamic = len(shape) == 4 and None in shape[1:3]
    if size and not dynamic:
        raise UsageError(f"{name}: has a size of its own; leave --image-size out")
    if size and dynamic:
        shape = [shape[0], *size, shape[3]]
    if len(output) > 2 and all(one in (1, None) for one in output[:-1]):  # [1, 1, 1, classes]
        output = [output[0], output[-1]]
    if shape[0] not in (1, None) or output[0] not in (1, None):
        raise ModelError(f"{name}: takes {shape[0]} images at a time, and is given one; export it for a batch of 1")
    single = output[1:] == [1]
    if reason := objection(shape, [output[0], 2] if single else output):
        raise ModelError(f"{name}: not an image classifier: {reason}")
    return Interface(shape[1], shape[2], grey, first, output[1])
