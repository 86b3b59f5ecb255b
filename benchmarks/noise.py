"""Noisy test images, after CIFAR-10-C (Hendrycks and Dietterich, 2019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

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
