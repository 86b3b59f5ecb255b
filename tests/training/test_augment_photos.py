from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cifar_edge.training.augment_photos import augmented
from tests.conftest import PHOTOS


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.asarray(Image.open(next(PHOTOS.glob("cat/*.jpg"))).convert("RGB").resize((64, 64)))


def test_the_same_generator_gives_the_same_photo(photo: np.ndarray) -> None:
    one, other = (augmented(photo, 56, np.random.default_rng(3)) for _ in range(2))
    assert one.shape == (56, 56, 3)
    assert one.dtype == np.uint8
    np.testing.assert_array_equal(one, other)
    assert (one != augmented(photo, 56, np.random.default_rng(4))).any()


@pytest.mark.parametrize(("mirror", "sides"), [(True, {"left", "right"}), (False, {"left"})])
def test_what_is_on_the_left_stays_there_unless_mirrored(mirror: bool, sides: set[str]) -> None:
    bright = np.zeros((64, 64, 3), np.uint8)
    bright[:, :32] = 255
    seen = set()
    for seed in range(30):
        result = augmented(bright, 32, np.random.default_rng(seed), mirror).mean(axis=(0, 2))
        if abs(result[:4].mean() - result[-4:].mean()) > 50:  # both halves are in the frame
            seen.add("left" if result[:4].mean() > result[-4:].mean() else "right")
    assert seen == sides
