"""Noisy test images, after CIFAR-10-C (Hendrycks and Dietterich, 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import Split
from cifar_edge.evaluation import predict_cifar10, tells_cifar10
from cifar_edge.metrics import evaluate
from cifar_edge.model import EdgeModel

GAUSSIAN_SIGMAS = (0.04, 0.06, 0.08, 0.09, 0.10)
"""Standard deviation of `gaussian_noise` at severity 1 to 5, for pixels 0-1."""


def gaussian_noise(images: NDArray[np.uint8], sigma: float, seed: int = 0) -> NDArray[np.uint8]:
    """Add normally distributed noise to each channel of each pixel.

    Args:
        images: uint8, (N, H, W, 3), 0-255.
        sigma: standard deviation, for pixels 0-1.
        seed: of the noise; the noise of image k depends on the seed and k alone.

    Returns:
        A new uint8 array of the same shape, clipped to 0-255.
    """
    noisy = np.empty_like(images)
    for number, image in enumerate(images):
        noise = np.random.default_rng([seed, number]).normal(0, 255 * sigma, image.shape)
        noisy[number] = np.clip(image + noise, 0, 255)
    return noisy


def accuracy_under_noise(models: Sequence[EdgeModel], test: Split, sigmas: Sequence[float]) -> NDArray[np.float64]:
    """Measure top-1 under each strength of gaussian noise; all models see the same images.

    Args:
        models: what to measure.
        test: CIFAR-10 test images.
        sigmas: standard deviations, for pixels 0-1; 0 for the images as they are.

    Returns:
        Accuracy, 0-1, (models, sigmas); NaN for a model that is not one of CIFAR-10.
    """
    accuracy = np.full((len(models), len(sigmas)), np.nan)
    for column, sigma in enumerate(sigmas):
        images = gaussian_noise(test.images, sigma)
        for row, model in enumerate(models):
            if tells_cifar10(model):
                accuracy[row, column] = evaluate(predict_cifar10(model, images), test.labels).accuracy
    return accuracy
