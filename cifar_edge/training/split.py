"""Photos to learn from, to choose by and to test on, by a hash of their content: new photos never move older ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cifar_edge.photos.class_folders import HELD_OUT, TEST, TRAIN

BOUNDS = {TEST: (0.0, 0.15), HELD_OUT: (0.15, 0.3)}
"""Which of the places in [0, 1) are on a side; all others are to learn from."""

ENOUGH = 50  # photos in each class; with fewer, each photo is held out once, in one of the folds

FOLDS = 5

LEFT_OUT = "left out"
"""The side of copies, among photos to learn from, of photos to test on."""


def split(
    places: Sequence[float], labels: Sequence[int], groups: Sequence[int], given: Sequence[str]
) -> NDArray[np.str_]:
    """Return the side of each photo: `TRAIN`, `HELD_OUT`, `TEST` or `LEFT_OUT`.

    A side that folders give stays; what is missing is taken from the photos to learn from. The rest of the sides
    depends on nothing but the photo that stands for a group, so each class has its share of each side but for chance,
    and photos that are added move no others. Only a class that would have none on a side gets one group there.

    Args:
        places: in [0, 1), of each photo, the same for all photos of a group; see `places_of`.
        labels: of each photo.
        groups: a number for each photo; photos that share it stay together.
        given: of each photo, the side that its folder says, or "".
    """
    place, label, group = np.array(places), np.array(labels), np.array(groups)
    sides = np.array([side or TRAIN for side in given], dtype="<U8")
    free = sides == TRAIN
    for side, (low, high) in BOUNDS.items():
        if side in given:
            continue
        chosen = free & (low <= place) & (place < high)
        for one in np.unique(label):
            own = free & (label == one)
            if len(np.unique(group[own])) < 2:
                continue
            if not (chosen & own).any():
                chosen[free & (group == group[own][place[own].argmin()])] = True
            elif chosen[own].all():
                chosen[group == group[own][place[own].argmax()]] = False
        sides[chosen], free = side, free & ~chosen
    tested = np.isin(group, group[sides == TEST])
    sides[tested & (sides != TEST)] = LEFT_OUT
    return sides


def folds(
    places: Sequence[float], labels: Sequence[int], groups: Sequence[int], given: Sequence[str]
) -> NDArray[np.int64]:
    """Return the fold of each photo, 0 to `FOLDS` - 1; -1 for photos to test on and their copies.

    Like `split`, it depends on the photo that stands for a group. A class that would lie in one fold, so that it could
    not be learned without it, gives its last group to the next fold.
    """
    place, label, group = np.array(places), np.array(labels), np.array(groups)
    fold = (place * FOLDS).astype(np.int64)
    fold[np.isin(group, group[np.array(given) == TEST])] = -1
    for one in np.unique(label):
        own = (label == one) & (fold >= 0)
        if len(np.unique(fold[own])) == 1 and len(np.unique(group[own])) > 1:
            last = group[own][place[own].argmax()]
            fold[group == last] = (fold[own][0] + 1) % FOLDS
    return fold


def need_folds(labels: Sequence[int], given: Sequence[str]) -> bool:
    """Tell whether a class has so few photos that each has to be held out once."""
    if HELD_OUT in given:
        return False
    free = [label for label, side in zip(labels, given, strict=True) if side != TEST]
    return bool(np.bincount(free).min() < ENOUGH)


def places_of(
    digests: Sequence[str], groups: Sequence[int], order: Sequence[tuple[float, str]], seed: int
) -> list[float]:
    """Return a number in [0, 1) for each photo, by the content of the first photo of its group and the seed.

    The first photo is the one that was taken first, or whose name is first. What is added later usually comes later,
    so that it joins the group where that is.

    Args:
        digests: of each photo's content, in hexadecimal.
        groups: a number for each photo.
        order: of each photo, when it was taken, and its name.
        seed: of the split.
    """
    first: dict[int, tuple[tuple[float, str], str]] = {}
    for group, when, digest in zip(groups, order, digests, strict=True):
        first[group] = min(first.get(group, (when, digest)), (when, digest))
    place = {group: _place(digest, seed) for group, (_, digest) in first.items()}
    return [place[group] for group in groups]


def _place(digest: str, seed: int) -> float:
    drawn = hashlib.sha256(f"{seed} {digest}".encode()).digest()
    return int.from_bytes(drawn[:6]) / 2**48
