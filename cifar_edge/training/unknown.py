"""The confidence below which a photo shows none of the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.data import CLASSES, load_split
from cifar_edge.data.cifar10 import SAMPLE

MOST_LOST = 0.05
"""Share of photos of the classes that may be called unknown."""

OTHER_THINGS = 200
"""Images of the sample that stand for other things."""


def choose_threshold(known: NDArray[np.float32], unknown: NDArray[np.float32]) -> float:
    """Return the confidence that separates photos of the classes from others best.

    It calls as many photos unknown as it can, less those of the classes (Youden's J), and of these no more than
    `MOST_LOST`.

    Args:
        known: confidences, 0-1, (N,), in photos of the classes; none of them learned from.
        unknown: confidences in photos of other things, (M,).
    """
    candidates = np.unique(np.concatenate([[0.0], known, unknown]))
    lost = (known[:, None] < candidates).mean(axis=0)
    caught = (unknown[:, None] < candidates).mean(axis=0)
    gain = np.where(lost <= MOST_LOST, caught - lost, -1.0)
    return float(candidates[gain.argmax()])


def confidences(probabilities: NDArray[np.float32], unknown: int | None) -> NDArray[np.float32]:
    """Return the probability of the likeliest class, (N,), that of photos of none of the classes not counted."""
    known = probabilities if unknown is None else np.delete(probabilities, unknown, axis=1)
    return np.asarray(known.max(axis=1))


def other_things(classes: Sequence[str], size: int) -> NDArray[np.uint8]:
    """Return images of CIFAR-10's sample that show none of the classes, as far as names tell.

    An image of a cat is none of another thing where a class is called "cat with prey".

    Returns:
        uint8, (N, size, size, 3).
    """
    test = load_split("test", SAMPLE)
    named = " ".join(classes).casefold()
    others = [number for number, name in enumerate(CLASSES) if name not in named]
    chosen = np.flatnonzero(np.isin(test.labels, others))[:OTHER_THINGS]
    images = [Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC) for image in test.images[chosen]]
    return np.stack([np.asarray(image) for image in images]) if images else np.zeros((0, size, size, 3), np.uint8)


def unknown_figures(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    others: NDArray[np.float32],
    threshold: float,
    unknown: int | None,
) -> dict[str, float]:
    """Return the shares, 0-1, of photos below a threshold: `lost` of the classes, `caught` of other things.

    Args:
        probabilities: of photos that had no part in the threshold, (N, C).
        labels: their classes, (N,).
        others: confidences in images of other things, which had no part in it either.
        threshold: 0-1.
        unknown: the class of photos of none of the classes, or None. Where it is the likeliest, a photo is caught too.
    """
    sure = confidences(probabilities, unknown)
    below = (sure < threshold) | (False if unknown is None else probabilities.argmax(axis=1) == unknown)
    is_known = np.ones(len(labels), bool) if unknown is None else labels != unknown
    caught = np.concatenate([below[~is_known], others < threshold])
    return {"lost": float(below[is_known].mean()), "caught": float(caught.mean()) if len(caught) else float("nan")}
