"""Training-time augmentation of photos, in NumPy and Pillow so that every Keras backend sees the same pixels."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

LEAST_AREA = 0.4  # of a photo, in a frame
ASPECT = 0.2  # logarithm of the most that a frame is wider or narrower
WHOLE = 0.15  # share of photos that are shown whole, as a device sees them
BLURRED, NOISY, COMPRESSED = 0.15, 0.15, 0.25  # shares of photos


def augmented(
    pixels: NDArray[np.uint8], size: int, rng: np.random.Generator, mirror: bool = True, frames: bool = True
) -> NDArray[np.uint8]:
    """Show a photo as another camera would have: another frame, mirrored, other light, blur, noise, JPEG.

    Args:
        pixels: uint8, (H, H, 3), larger than `size` so that a frame has detail.
        size: height and width of what is returned.
        rng: source of every random choice.
        mirror: whether half of the photos are mirrored.
        frames: whether frames are chosen; otherwise photos are shown whole.

    Returns:
        uint8, (size, size, 3).
    """
    whole = not frames or rng.random() < WHOLE
    photo = Image.fromarray(pixels).resize(
        (size, size), Image.Resampling.BILINEAR, None if whole else _box(pixels, rng)
    )
    if mirror and rng.random() < 0.5:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    photo = photo.point(_light(rng))
    if rng.random() < BLURRED:
        photo = photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.003, 0.01) * size))
    if rng.random() < NOISY:
        noise = rng.normal(0, rng.uniform(3, 15), (size, size, 3))
        photo = Image.fromarray((np.asarray(photo) + noise).clip(0, 255).astype(np.uint8))
    if rng.random() < COMPRESSED:
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=int(rng.integers(30, 90)))
        photo = Image.open(file)
    return np.asarray(photo)


def _box(pixels: NDArray[np.uint8], rng: np.random.Generator) -> tuple[float, float, float, float]:
    side = len(pixels)
    width, height = side * np.sqrt(rng.uniform(LEAST_AREA, 1)) * np.exp([0.5, -0.5] * rng.uniform(-ASPECT, ASPECT, 1))
    width, height = min(width, side), min(height, side)
    left, top = rng.uniform(0, side - width), rng.uniform(0, side - height)
    return left, top, left + width, top + height


def _light(rng: np.random.Generator) -> list[int]:
    """Return a table of 3 x 256 values: gamma, contrast, brightness, and a cast of colour."""
    level = np.arange(256) / 255
    gamma, contrast, brightness = np.exp(rng.uniform(-0.3, 0.3)), rng.uniform(0.7, 1.25), rng.uniform(-0.1, 0.1)
    curve = (level**gamma - 0.5) * contrast + 0.5 + brightness
    table = 255 * curve * rng.uniform(0.93, 1.07, (3, 1))
    lookup: list[int] = table.clip(0, 255).round().astype(int).ravel().tolist()
    return lookup
