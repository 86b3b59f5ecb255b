"""How good predicted probabilities are, in NumPy."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Evaluation:
    """A classifier's figures on labelled images.

    Attributes:
        accuracy: top-1, 0-1.
        loss: mean categorical cross-entropy, in nats.
        ece: expected calibration error, 0-1: how far confidence is from accuracy (`calibration_error`).
        per_class: top-1 of each class's images, float64, (classes,); NaN where there are none.
        confusion: count of images by true class (rows) and predicted class, int64, (classes, classes).
    """

    accuracy: float
    loss: float
    ece: float
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
        ece=calibration_error(probabilities.max(axis=1), predicted == labels),
        per_class=per_class,
        confusion=confusion,
    )


def interval(accuracy: float, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of an accuracy measured on `count` images.

    Source: E. B. Wilson, *Probable Inference, the Law of Succession, and Statistical Inference*, 1927.

    Args:
        accuracy: 0-1.
        count: of the images.

    Returns:
        Lowest and highest accuracy, 0-1.
    """
    z = 1.959964
    centre = (accuracy + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(accuracy * (1 - accuracy) / count + z**2 / (4 * count**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def calibration_error(confidences: NDArray[np.floating], correct: NDArray[np.bool_], bins: int = 15) -> float:
    """Compute the expected calibration error (ECE) of top-1 predictions.

    The predictions are sorted by confidence into bins of equal width; the error is the distance of
    a bin's mean confidence from its accuracy, averaged over the predictions. Source: C. Guo et al.,
    *On Calibration of Modern Neural Networks*, ICML 2017.

    Args:
        confidences: probability of each predicted class, 0-1, (N,).
        correct: whether it is the true one, (N,).
        bins: how many; each holds its upper end, not its lower one.

    Returns:
        The error, 0-1.
    """
    number = np.clip(np.ceil(confidences * bins).astype(np.int64) - 1, 0, bins - 1)
    excess = np.bincount(number, weights=confidences - correct, minlength=bins)
    return float(np.abs(excess).sum() / len(confidences))
