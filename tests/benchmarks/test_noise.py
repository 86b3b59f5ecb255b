from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cifar_edge.benchmarks.noise import GAUSSIAN_SIGMAS, accuracy_under_noise, gaussian_noise
from cifar_edge.data import Cifar10
from cifar_edge.model import EdgeModel


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


def test_no_noise_leaves_every_byte(sample: Cifar10) -> None:
    assert np.array_equal(gaussian_noise(sample.test.images, 0.0), sample.test.images)


def test_accuracy_falls_with_noise(run: Path, sample: Cifar10) -> None:
    models = [EdgeModel(run / f"cnn-{name}.tflite") for name in ("float32", "int8")]
    accuracy = accuracy_under_noise(models, sample.test, (0.0, 0.5))
    assert accuracy.shape == (2, 2)
    assert (accuracy[:, 0] > 0.35).all()
    assert (accuracy[:, 1] < accuracy[:, 0] - 0.05).all()
