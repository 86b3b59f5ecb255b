from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.data import Cifar10
from cifar_edge.training.augment import AUGMENTATIONS, DAMAGES, Augmentation, Change, damaged, framed, standard


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


@pytest.mark.parametrize("augment", [standard, framed, damaged])
def test_only_the_generator_decides(augment: Change, sample: Cifar10) -> None:
    images = sample.test.images[:50]
    before = images.copy()
    first, second, other = (augment(images, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(images, before)


@pytest.mark.parametrize("augment", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_no_images_and_one_image_are_taken_too(augment: Augmentation, sample: Cifar10) -> None:
    for count in (0, 1):
        images = sample.test.images[:count]
        assert augment(images, np.random.default_rng(0)).shape == images.shape


def test_robust_frames_some_images_and_damages_some(sample: Cifar10) -> None:
    images, robust = sample.test.images, AUGMENTATIONS["robust"]
    shifted, undamaged, both = (change(images, np.random.default_rng(0)) for change in (standard, robust.frame, robust))
    assert 0.65 < (shifted == undamaged).all(axis=(1, 2, 3)).mean() < 0.75
    assert 0.75 < (undamaged == both).all(axis=(1, 2, 3)).mean() < 0.85


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_what_is_damaged_can_be_recognized(damage: Change, sample: Cifar10) -> None:
    images = sample.test.images[:300]
    changed = damage(images.copy(), np.random.default_rng(0))
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    alike = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(images, changed, strict=True)]
    assert 0.5 < np.median(alike) < 0.9999
    assert (changed != images).any(axis=(1, 2, 3)).mean() > 0.8
