"""Images whose activations give a quantized model's ranges; never those a model is judged by."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.data import Split, hold_out
from cifar_edge.errors import ImageError, UsageError
from cifar_edge.folder import find
from cifar_edge.images import load

NUMBER = 500
"""Images for calibration, if nobody says otherwise."""


def from_training_set(train: Split, number: int = NUMBER, seed: int = 0) -> NDArray[np.uint8]:
    """Choose training images at random, as many of each class, none of them held out.

    Args:
        train: a whole training split.
        number: of images; rounded up to as many of each class.
        seed: of the choice.

    Returns:
        uint8, (N, 32, 32, 3).
    """
    learned, _ = hold_out(train)
    classes = np.unique(learned.labels)
    random = np.random.default_rng(seed)
    each = -(-number // len(classes))
    chosen = [random.permutation(np.flatnonzero(learned.labels == label))[:each] for label in classes]
    images: NDArray[np.uint8] = learned.images[np.concatenate(chosen)]
    return images


def from_folder(folder: Path, height: int, width: int, number: int) -> NDArray[np.uint8]:
    """Load the first photos of a folder, by path, as they will be classified; damaged ones are passed over.

    Returns:
        uint8, (N, height, width, 3).

    Raises:
        UsageError: no photo in there.
    """

    def readable() -> Iterator[NDArray[np.uint8]]:
        for path in find([folder]):
            try:
                yield load(path, height, width)
            except ImageError:
                continue

    photos = list(itertools.islice(readable(), number))
    if not photos:
        raise UsageError(f"{folder}: no photos in there to calibrate with")
    return np.stack(photos)


def resized(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Stretch images, uint8 (N, H, W, 3), to another size."""
    if images.shape[1:3] == (height, width):
        return images
    return np.stack([np.asarray(Image.fromarray(image).resize((width, height))) for image in images])
