"""The confidence below which a photo shows none of the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOST_LOST = 0.05
"""Share of photos of the classes that may be called unknown."""


def choose_threshold(known: NDArray[np.float32], unknown: NDArray[np.float32]) -> float:
    """Return the confidence that separates photos of the classes from others best.

    It calls as many photos unknown as it can, less those of the classes (Youden's J), and of these no more than
    `MOST_LOST`. Of equals it is the one in the middle.

    Args:
        known: confidences, 0-1, (N,), in photos of the classes; none of them learned from.
        unknown: confidences in photos of other things, (M,).
    """
    candidates = np.unique(np.concatenate([[0.0], known, unknown]))
    lost = (known[:, None] < candidates).mean(axis=0)
    caught = (unknown[:, None] < candidates).sum(axis=0) / max(1, len(unknown))
    gain = np.where(lost <= MOST_LOST, caught - lost, -1.0)
    best = candidates[gain == gain.max()]
    return float(best[0] + best[-1]) / 2


def confidences(probabilities: NDArray[np.float32], unknown: int) -> NDArray[np.float32]:
    """Return the probability of the likeliest class, (N,), that of none of the classes not counted."""
    known = np.delete(probabilities, unknown, axis=1)
    return np.asarray(known.max(axis=1))


def unknown_figures(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    others: NDArray[np.float32],
    threshold: float,
    unknown: int,
) -> dict[str, float]:
    """Return the shares, 0-1, of photos below a threshold: `lost` of the classes, `caught` of other things.

    Args:
        probabilities: of photos that had no part in the threshold, (N, C).
        labels: their classes, (N,).
        others: of images of other things, which had no part in it either, (M, C).
        threshold: 0-1.
        unknown: the class of photos of none of the classes. Where it is the likeliest, a photo is below too.
    """
    is_known = labels != unknown
    strange = np.concatenate([probabilities[~is_known], others])
    lost, caught = (
        float(((confidences(some, unknown) < threshold) | (some.argmax(axis=1) == unknown)).mean())
        for some in (probabilities[is_known], strange)
    )
    return {"lost": lost, "caught": caught}
