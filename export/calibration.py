"""Calibration images: their activations give a quantized model's int8 ranges. A model is never judged by them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.data import Cifar10, Split, hold_out
from cifar_edge.errors import ImageError, UsageError
from cifar_edge.photos.class_folders import class_of, composed
from cifar_edge.photos.find import find
from cifar_edge.photos.own_process import TIMEOUT, Reader
from cifar_edge.training.photo_set import Photos

NUMBER = 500
"""The default number of calibration images."""


@dataclass(frozen=True)
class Calibration:
    """Images for calibration.

    Attributes:
        images: uint8, (N, H, W, 3).
        source: "training images", "training photos", or the folder they come from.
        seed: of their choice.
        unreadable: how many files of the folder were passed over.
        labels: the numbers of their classes, (N,), if all lie in folders named as classes; or None.
    """

    images: NDArray[np.uint8]
    source: str
    seed: int
    unreadable: int = 0
    labels: NDArray[Any] | None = None

    def facts(self) -> dict[str, Any]:
        """Return the description for `export.json`."""
        return {
            "source": self.source,
            "seed": self.seed,
            "images": len(self.images),
            "unreadable": self.unreadable,
            "sha256": hashlib.sha256(np.ascontiguousarray(self.images).data).hexdigest(),
        }


def calibration_from(data: Cifar10 | Photos, size: tuple[int, int], number: int = NUMBER, seed: int = 0) -> Calibration:
    """Choose training images of CIFAR-10, or photos that a run learned from, decoded at height and width `size`."""
    if isinstance(data, Photos):
        return from_photos(data, size[0], number, seed)
    return from_training_set(data.train, number, seed)


def from_training_set(train: Split, number: int = NUMBER, seed: int = 0) -> Calibration:
    """Choose training images at random, as many of each class, none of them held out.

    Args:
        train: a whole training split.
        number: of images; rounded up to as many of each class.
        seed: of the choice.
    """
    learned, _ = hold_out(train)
    classes = np.unique(learned.labels)
    random = np.random.default_rng(seed)
    each = -(-number // len(classes))
    chosen = [random.permutation(np.flatnonzero(learned.labels == label))[:each] for label in classes]
    return Calibration(learned.images[np.concatenate(chosen)], "training images", seed)


def from_photos(photos: Photos, size: int, number: int = NUMBER, seed: int = 0) -> Calibration:
    """Choose photos that a run learned from at random, as many of each class where there are as many.

    Args:
        photos: decoded at `size`.
        size: height and width, in pixels.
        number: of photos.
        seed: of the choice.
    """
    learned, _ = photos.rounds()[0]
    order = np.random.default_rng(seed).permutation(learned)
    labels = photos.labels[order]
    turn = np.empty(len(order), np.int64)  # the how manieth of its class each is
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own] = np.arange(len(own))
    chosen = order[np.argsort(turn, kind="stable")][:number]
    return Calibration(photos.pixels(size)[chosen], "training photos", seed)


def from_folder(
    folder: Path, size: tuple[int, int], number: int = NUMBER, seed: int = 0, classes: Sequence[str] = ()
) -> Calibration:
    """Choose photos from a folder at random and load them as they will be classified.

    Args:
        folder: photos, also in folders below.
        size: height and width, in pixels.
        number: of photos, if there are as many that can be read.
        seed: of the choice.
        classes: names in the order of the network's outputs, which folders may have.

    Raises:
        UsageError: no photo in there.
    """
    paths = list(find([folder]))
    read = Reader(TIMEOUT, height=size[0], width=size[1])
    photos: list[NDArray[np.uint8]] = []
    names: list[str] = []
    unreadable = 0
    for index in np.random.default_rng(seed).permutation(len(paths)):
        try:
            photos.append(read(paths[index]))
            names.append(class_of(paths[index]))
        except ImageError:
            unreadable += 1
        if len(photos) == number:
            break
    if not photos:
        raise UsageError(f"{folder}: no photos in there to calibrate with ({unreadable} cannot be read)")
    classes = [*map(composed, classes)]
    labels = np.array([*map(classes.index, names)]) if set(names) <= set(classes) else None
    return Calibration(np.stack(photos), str(folder), seed, unreadable, labels)


def resized(images: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Stretch images, uint8 (N, H, W, 3), to another height and width."""
    if images.shape[1:3] == size:
        return images
    height, width = size
    return np.stack([np.asarray(Image.fromarray(image).resize((width, height))) for image in images])
