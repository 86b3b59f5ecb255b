"""Images that verify every exported format before it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import Cifar10, Split, hold_out
from cifar_edge.evaluation import evaluate
from cifar_edge.export.calibration import Calibration, resized
from cifar_edge.export.source import Source

VERIFIED = 1_000
"""Images that a model is verified with, at least."""


@dataclass(frozen=True)
class VerificationImages:
    """Images for a network, of its size.

    Attributes:
        images: uint8, (N, H, W, 3), to compare models on; at least `VERIFIED`.
        held_out: the classes of the first of them, held-out training images; None if the network
            tells other classes than CIFAR-10's.
        test: test images with their classes, or None. For other classes than CIFAR-10's, calibration photos whose
            folders say their classes.
        test_sha256: digest of the whole test split that these come from, or None.
    """

    images: NDArray[np.uint8]
    held_out: NDArray[np.uint8] | None
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


def verification_images_for(source: Source, data: Cifar10, calibration: Calibration) -> VerificationImages:
    """Choose the images for a network.

    The sample has fewer held-out images than `VERIFIED`: training images join them, those first that were
    not calibrated with. For networks of another size than CIFAR-10's, `VERIFIED` images have to do. Networks of other
    classes are compared on the calibration photos first.
    """
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


def _of_other_classes(source: Source, data: Cifar10, calibration: Calibration) -> VerificationImages:
    photos = calibration.images[:VERIFIED]
    others = resized(data.train.images[: VERIFIED - len(photos)], source.size)
    images = np.concatenate([resized(photos, source.size), others])
    if calibration.labels is None:
        return VerificationImages(images, None, None, None)
    test = Split(resized(calibration.images, source.size), calibration.labels)
    return VerificationImages(images, None, test, test.digest)
