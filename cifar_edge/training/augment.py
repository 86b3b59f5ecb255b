"""Training-time augmentation on uint8 batches, in NumPy so that every Keras backend sees the same pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


def none(images: Images, rng: np.random.Generator) -> Images:
    """Return `images` as they are."""
    return images


def standard(images: Images, rng: np.random.Generator, max_shift: int = 4) -> Images:
    """Mirror half of the images and shift each by up to `max_shift` pixels either way.

    The border is filled by reflection. This is the augmentation of He et al., *Deep Residual
    Learning* (2016), section 4.2, but for their zero padding.

    Args:
        images: uint8, (N, H, W, C).
        rng: source of every random choice; the same state gives the same images.
        max_shift: largest shift, in pixels.

    Returns:
        A new uint8 array of the same shape.
    """
    count, height, width, _ = images.shape
    border = (max_shift, max_shift)
    padded = np.pad(images, ((0, 0), border, border, (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    top, left = rng.integers(0, 2 * max_shift + 1, size=(2, count))
    shifted = np.ascontiguousarray(np.moveaxis(windows[np.arange(count), top, left], 1, -1))
    mirrored = rng.random(count) < 0.5
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted


AUGMENTATIONS: dict[str, Callable[[Images, np.random.Generator], Images]] = {
    "none": none,
    "standard": standard,
}
