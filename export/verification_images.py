"""Images that verify every exported format before it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import Cifar10, Split, hold_out
from cifar_edge.evaluation import evaluate
from cifar_edge.export.calibration import Calibration, resized
from cifar_edge.export.source import Source
from cifar_edge.photos.class_folders import TEST
from cifar_edge.training.photo_set import Photos

VERIFIED = 1_000
"""Images that a model is verified with, at least."""

PHOTOS_VERIFIED = 200
"""Photos of the user's own that a model is verified with, at least; larger ones take longer."""

MOST_TESTED = 2_000  # photos; more would fill the memory


@dataclass(frozen=True)
class VerificationImages:
    """Images for a network, of its size.

    Attributes:
        images: uint8, (N, H, W, 3), to compare models on; at least `VERIFIED`, or `PHOTOS_VERIFIED`.
        held_out: the classes of the first of them, held-out training images; None if the classes are neither
            CIFAR-10's nor those of a run.
        test: test images with their classes, or None. For other classes than CIFAR-10's, calibration photos whose
            folders say their classes.
        test_sha256: digest of the whole test split that these come from, or None.
    """

    images: NDArray[np.uint8]
    held_out: NDArray[Any] | None
    test: Split | None
    test_sha256: str | None

    def held_out_accuracy(self, answers: NDArray[np.float32]) -> float | None:
        """Return top-1, 0-1, of answers to `images`, on those of them that are held out; or None."""
        if self.held_out is None:
            return None
        return evaluate(answers[: len(self.held_out)], self.held_out).accuracy

    def test_accuracy(self, classify: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> float | None:
        """Return top-1, 0-1, on the test images; or None."""
        return self.test and evaluate(classify(self.test.images), self.test.labels).accuracy


def verification_images_for(source: Source, data: Cifar10 | Photos, calibration: Calibration) -> VerificationImages:
    """Choose the images for a network.

    For a run on the user's own photos these are its own; training photos join them where few are held out. CIFAR-10's
    sample has fewer held-out images than `VERIFIED`: training images join them, those first that were not calibrated
    with. For networks of another size than CIFAR-10's, `VERIFIED` images have to do. Networks of other classes are
    compared on the calibration photos first.
    """
    if isinstance(data, Photos):
        return _of_photos(source, data)
    if not source.of_cifar10:
        return _of_other_classes(source, data, calibration)
    learned, held_out = hold_out(data.train)
    images, labels, test = held_out.images, held_out.labels, data.test
    if len(images) < VERIFIED:
        calibrated = {image.tobytes() for image in calibration.images}
        others = sorted(learned.images, key=lambda image: image.tobytes() in calibrated)
        images = np.stack([*images, *others[: VERIFIED - len(images)]])
    if source.size != images.shape[1:3]:
        images, labels, test = images[:VERIFIED], labels[:VERIFIED], Split(*(part[:VERIFIED] for part in test))
    images = resized(images, source.size)
    test = Split(resized(test.images, source.size), source.numbered(test.labels))
    return VerificationImages(images, source.numbered(labels), test, data.test.digest)


def _of_photos(source: Source, photos: Photos) -> VerificationImages:
    pixels = photos.pixels(source.size[0])
    learned, held_out = (indices[:VERIFIED] for indices in photos.rounds()[0])
    if photos.folds is not None:  # in the end it has learned from all of them
        held_out = np.concatenate([held_out, learned])[:VERIFIED]
    chosen = np.concatenate([held_out, learned[: max(0, PHOTOS_VERIFIED - len(held_out))]])
    tested = photos.on(TEST)[:MOST_TESTED]
    test = Split(pixels[tested], photos.labels[tested]) if len(tested) else None
    return VerificationImages(pixels[chosen], photos.labels[held_out], test, test and test.digest)


def _of_other_classes(source: Source, data: Cifar10, calibration: Calibration) -> VerificationImages:
    photos = calibration.images[:VERIFIED]
    others = resized(data.train.images[: VERIFIED - len(photos)], source.size)
    images = np.concatenate([resized(photos, source.size), others])
    if calibration.labels is None:
        return VerificationImages(images, None, None, None)
    test = Split(resized(calibration.images, source.size), calibration.labels)
    return VerificationImages(images, None, test, test.digest)
