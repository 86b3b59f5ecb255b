from __future__ import annotations

import numpy as np

from cifar_edge.data import Cifar10
from cifar_edge.training.augment import standard


def test_every_image_is_a_shifted_and_perhaps_mirrored_original(sample: Cifar10) -> None:
    images = sample.test.images[:200]
    augmented = standard(images, np.random.default_rng(0))
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    shifts, mirrors = set(), 0
    for original, image in zip(padded, augmented, strict=True):
        matches = [
            (top, left, mirrored)
            for top in range(9)
            for left in range(9)
            for mirrored in (False, True)
            if np.array_equal(original[top : top + 32, left : left + 32][:, :: -1 if mirrored else 1], image)
        ]
        assert matches
        shifts.add(matches[0][:2])
        mirrors += matches[0][2]
    assert len(shifts) > 50
    assert 60 < mirrors < 140


def test_only_the_generator_decides(sample: Cifar10) -> None:
    images = sample.test.images[:50]
    before = images.copy()
    first, second, other = (standard(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(images, before)
