"""Accuracy and calibration of models on corrupted images, clean ones beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_edge.benchmarks.measures.corruptions import FAMILIES, SEVERITIES, corrupt
from cifar_edge.data import Split
from cifar_edge.errors import DataError, UsageError, first_line
from cifar_edge.evaluation import Evaluation, evaluate
from cifar_edge.tflite.cifar10 import predict_cifar10
from cifar_edge.tflite.model import EdgeModel

Progress = Callable[[int, int], None]
"""Called with the number of conditions done, and of all conditions."""


@dataclass(frozen=True)
class Robustness:
    """A model's figures on clean images and on each corruption (family, severity) of them.

    Attributes:
        accuracy: top-1 on the clean images, 0-1.
        ece: expected calibration error on them, 0-1.
        corrupted_accuracy: top-1, float64, (families, severities), in the order of `FAMILIES` and `SEVERITIES`.
        corrupted_ece: expected calibration error, likewise.
    """

    accuracy: float
    ece: float
    corrupted_accuracy: NDArray[np.float64]
    corrupted_ece: NDArray[np.float64]

    @property
    def mean_corrupted_accuracy(self) -> float:
        """Top-1 averaged over families and severities: the figure that papers give for CIFAR-10-C."""
        return float(self.corrupted_accuracy.mean())

    @property
    def mean_corrupted_ece(self) -> float:
        """Expected calibration error averaged over families and severities."""
        return float(self.corrupted_ece.mean())


def measure(
    models: Sequence[EdgeModel], test: Split, cifar10c: Path | None = None, progress: Progress = lambda *_: None
) -> list[Robustness]:
    """Classify clean and corrupted images; each condition is made once, and all models see the same.

    Args:
        models: what to measure, each one that `tells_cifar10`.
        test: CIFAR-10 test images.
        cifar10c: a folder with the published arrays (`<family>.npy` and `labels.npy`) of all 10,000
            test images, to be used instead of `corrupt`.
        progress: called after each condition, the clean images first.

    Returns:
        The figures of each model, in their order.

    Raises:
        DataError: the published arrays are missing or damaged.
        UsageError: they are not those of the images in `test`.
    """
    conditions = _corrupted(test.images) if cifar10c is None else _published(cifar10c, test)
    total = 1 + len(FAMILIES) * len(SEVERITIES)
    evaluations = [_evaluate(models, test)]
    progress(1, total)
    for done, images in enumerate(conditions, start=2):
        evaluations.append(_evaluate(models, Split(images, test.labels)))
        progress(done, total)
    return [_robustness(*column) for column in zip(*evaluations, strict=True)]


def _corrupted(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for family in FAMILIES:
        for severity in SEVERITIES:
            yield corrupt(images, family, severity)


def _published(folder: Path, test: Split) -> Iterator[NDArray[np.uint8]]:
    """Check all published arrays, then yield the images of each family and severity."""
    count = len(SEVERITIES) * len(test.labels)
    labels = _array(folder / "labels.npy")
    if not np.array_equal(labels, np.tile(test.labels, len(SEVERITIES))):
        raise UsageError(
            f"{folder / 'labels.npy'}: labels of other images than these {len(test.labels):,}; "
            "CIFAR-10-C holds all 10,000 test images five times, so give the whole of CIFAR-10 (--data)"
        )
    arrays = [_array(folder / f"{family}.npy") for family in FAMILIES]
    for family, array in zip(FAMILIES, arrays, strict=True):
        if array.dtype != np.uint8 or array.shape != (count, *test.images.shape[1:]):
            raise DataError(
                f"{folder / family}.npy: {array.dtype} {array.shape}, but CIFAR-10-C has "
                f"uint8 {(count, *test.images.shape[1:])}; copy it again"
            )
    return (images for array in arrays for images in np.split(array, len(SEVERITIES)))


def _array(path: Path) -> NDArray[np.uint8]:
    """Open an array without reading all of it: a family's takes 154 MB, more than a small computer may spare."""
    try:
        array: NDArray[np.uint8] = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read ({first_line(error)}); the folder should hold CIFAR-10-C as published: "
            "labels.npy and a .npy file for each corruption"
        ) from error
    return array


def _evaluate(models: Sequence[EdgeModel], split: Split) -> list[Evaluation]:
    return [evaluate(predict_cifar10(model, split.images), split.labels) for model in models]


def _robustness(clean: Evaluation, *corrupted: Evaluation) -> Robustness:
    shape = (len(FAMILIES), len(SEVERITIES))
    return Robustness(
        accuracy=clean.accuracy,
        ece=clean.ece,
        corrupted_accuracy=np.array([result.accuracy for result in corrupted]).reshape(shape),
        corrupted_ece=np.array([result.ece for result in corrupted]).reshape(shape),
    )
