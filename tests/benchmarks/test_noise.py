from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.benchmarks.noise import GAUSSIAN_SIGMAS, gaussian_noise
from cifar_edge.data import Cifar10


@pytest.mark.parametrize("sigma", GAUSSIAN_SIGMAS)
def test_noise_has_the_published_strength(sigma: float) -> None:
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    noise = gaussian_noise(grey, sigma).astype(float) - 128
    assert abs(noise.mean()) < 1
    assert abs(noise.std() / (255 * sigma) - 1) < 0.02
    channels = noise.reshape(-1, 3)
    assert abs(np.corrcoef(channels.T)[0, 1]) < 0.03


def test_an_image_s_noise_does_not_depend_on_the_others(sample: Cifar10) -> None:
    images = sample.test.images[:10]
    noisy = gaussian_noise(images, 0.1, seed=3)
    assert np.array_equal(noisy[:4], gaussian_noise(images[:4], 0.1, seed=3))
    assert not np.array_equal(noisy, gaussian_noise(images, 0.1, seed=4))
    assert not np.array_equal(noisy[0] - images[0], noisy[1] - images[1])
