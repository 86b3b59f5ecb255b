"""How good predicted probabilities are, in NumPy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evaluation:
    """A classifier's figures on labelled images.

    Attributes:
        accuracy: top-1, 0-1.
        loss: mean categorical cross-entropy, in nats.
        per_class: top-1 of each class's images, float64, (classes,); NaN where there are none.
        confusion: count of images by true class (rows) and predicted class, int64, (classes, classes).
    """

    accuracy: float
    loss: float
    per_class: NDArray[np.float64]
    confusion: NDArray[np.int64]


def evaluate(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Evaluation:
    """Compare probabilities (N, classes) with the true labels (N,)."""
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    confusion = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes**2)
    confusion = confusion.reshape(classes, classes)
    # 1e-7 is Keras' own bound; without one, a class an int8 model rounds to zero would cost infinity.
    of_truth = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1.0)
    with np.errstate(invalid="ignore"):
        per_class = confusion.diagonal() / confusion.sum(axis=1)
    return Evaluation(
        accuracy=float((predicted == labels).mean()),
        loss=float(-np.log(of_truth).mean()),
        per_class=per_class,
        confusion=confusion,
    )
