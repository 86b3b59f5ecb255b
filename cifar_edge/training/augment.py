"""Training-time augmentation on uint8 images, in NumPy and Pillow so that every Keras backend sees the same pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Images = NDArray[np.uint8]
Change = Callable[[Images, np.random.Generator], Images]


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
    shifted = _shifted(images, rng.integers(-max_shift, max_shift + 1, (len(images), 2)))
    mirrored = rng.random(len(images)) < 0.5
    shifted[mirrored] = shifted[mirrored, :, ::-1]
    return shifted


def framed(images: Images, rng: np.random.Generator) -> Images:
    """Augment for photos: `standard`, then show some of the images (`FRAMES`) smaller or larger, turned or stretched.

    Args:
        images: uint8, (N, H, W, 3).
        rng: as for `standard`.

    Returns:
        A new uint8 array of the same shape.
    """
    return _changed(standard(images, rng), FRAMES, rng)


def damaged(images: Images, rng: np.random.Generator) -> Images:
    """Damage about a fifth of the images as noise and bad optics do, each by one or more of `DAMAGES`.

    Each has a random strength. None of them is a family of CIFAR-10-C with its constants, but several are relatives:
    the page of the models that ship says which.

    Args:
        images: uint8, (N, H, W, 3).
        rng: as for `standard`.

    Returns:
        A new uint8 array of the same shape.
    """
    return _changed(images, DAMAGES, rng)


def _changed(images: Images, changes: dict[Change, float], rng: np.random.Generator) -> Images:
    """Return new images. Each change is applied, in this order, to its share of them, chosen at random."""
    images = images.copy()
    for change, share in changes.items():
        chosen = rng.random(len(images)) < share
        if chosen.any():
            images[chosen] = change(images[chosen], rng)
    return images


def _frame(images: Images, rng: np.random.Generator) -> Images:
    """Show the object smaller or larger, wider or narrower, turned, and off centre, as photos do."""
    _, height, width, _ = images.shape
    margin = height // 2
    zoom = np.exp(rng.uniform(-0.25, 0.35, len(images)))
    aspect = np.exp(rng.uniform(-0.25, 0.25, len(images)))
    angle = rng.normal(0, 0.12, len(images))
    shift = rng.uniform(-3, 3, (len(images), 2))
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    across, down = zoom * aspect, zoom / aspect
    cos, sin = np.cos(angle), np.sin(angle)
    # Output pixel -> place in the padded image, about the centres of both.
    matrix = np.stack([cos * across, -sin * down, cos * 0, sin * across, cos * down, cos * 0], axis=1)
    centre = np.array([width, height]) / 2
    for row in (0, 3):
        matrix[:, row + 2] = centre[row // 3] + margin + shift[:, row // 3] - matrix[:, row : row + 2] @ centre
    return np.stack(
        [
            np.asarray(
                Image.fromarray(image).transform(
                    (width, height), Image.Transform.AFFINE, row, Image.Resampling.BILINEAR
                )
            )
            for image, row in zip(padded, matrix.tolist(), strict=True)
        ]
    )


def _shake(images: Images, rng: np.random.Generator, copies: int = 7) -> Images:
    """Blur: the mean of copies that are shifted along a line, or within a disk."""
    count = len(images)
    reach = rng.uniform(0.5, 3, (count, 1))
    angle = np.where(
        rng.random((count, 1)) < 0.5, rng.uniform(0, np.pi, (count, 1)), rng.uniform(0, np.pi, (count, copies))
    )
    along = reach * rng.uniform(-1, 1, (count, copies))
    places = np.rint(np.stack([along * np.sin(angle), along * np.cos(angle)], axis=-1)).astype(int)
    total = np.zeros(images.shape, np.uint16)
    for copy in range(copies):
        total += _shifted(images, places[:, copy])
    return (total // copies).astype(np.uint8)


def _scatter(images: Images, rng: np.random.Generator) -> Images:
    """Take each pixel, with a random probability, from a random neighbour."""
    count, height, width, _ = images.shape
    moved = rng.random((count, height, width)) < rng.uniform(0.2, 1, (count, 1, 1))
    rows, columns = (
        np.clip(axis + moved * rng.integers(-1, 2, moved.shape), 0, size - 1)
        for axis, size in zip(np.indices((height, width)), (height, width), strict=True)
    )
    scattered: Images = images[np.arange(count)[:, None, None], rows, columns]
    return scattered


def _coarsen(images: Images, rng: np.random.Generator) -> Images:
    """Make smaller and large again, in one of three ways."""
    height, width = images.shape[1:3]
    ways = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
    return _through_pillow(
        images,
        lambda image, scale, way: image.resize((int(width * scale), int(height * scale)), Image.Resampling.BOX).resize(
            (width, height), ways[way]
        ),
        rng.uniform(0.4, 0.95, len(images)),
        rng.integers(0, len(ways), len(images)),
    )


def _veil(images: Images, rng: np.random.Generator) -> Images:
    """Blend with a random field, of one colour or of many, from smooth to speckled."""
    count, height, width, channels = images.shape
    field = np.zeros((count, height, width), np.float32)
    for cells in (2, 4, 8, 16):
        # A few random values, interpolated linearly to all rows and columns.
        grid = rng.random((count, cells, cells), dtype=np.float32)
        field += rng.random((count, 1, 1), dtype=np.float32) * (_hat(height, cells) @ grid @ _hat(width, cells).T)
    field /= field.max(axis=(1, 2), keepdims=True)
    colour = 255 - 80 * rng.random((count, 1, 1, channels), dtype=np.float32)
    weight = rng.uniform(0.1, 0.8, (count, 1, 1, 1)).astype(np.float32) * field[..., None]
    return _bytes(images * (1 - weight) + weight * colour)


def _hat(size: int, cells: int) -> NDArray[np.float32]:
    """Return the linear interpolation from `cells` values to `size` places, (size, cells)."""
    places = np.linspace(0, cells - 1, size)[:, None]
    return np.maximum(0, 1 - abs(places - np.arange(cells))).astype(np.float32)


def _light(images: Images, rng: np.random.Generator) -> Images:
    """Change contrast, brightness and saturation."""
    random = (rng.uniform(-1, 1, (len(images), 1, 1, 1)).astype(np.float32) for _ in range(3))
    contrast, brightness, saturation = random
    grey = images.mean(axis=3, keepdims=True, dtype=np.float32)
    coloured = grey + (1 + 0.8 * saturation) * (images - grey)
    mean = coloured.mean(axis=(1, 2, 3), keepdims=True)
    # From a fifth of the contrast to 1.3 times as much.
    return _bytes((coloured - mean) * np.exp(0.95 * contrast - 0.65) + mean + 70 * brightness)


def _noise(images: Images, rng: np.random.Generator) -> Images:
    """Add noise: normal, alike in all channels or not, more of it in bright places or not; or set single values."""
    count, height, width, channels = images.shape
    shape = (count, height, width, channels)
    strength = rng.uniform(3, 32, (count, 1, 1, 1)).astype(np.float32)
    noise = rng.standard_normal(shape, dtype=np.float32)
    of_light = rng.random((count, 1, 1, 1)) < 0.4
    noisy = images + strength * noise * np.where(of_light, np.sqrt(images / np.float32(128)), 1)
    # Values that noise of this strength has thrown far out stand for broken ones.
    broken = (rng.random((count, 1, 1, 1)) < 0.3) & (abs(noise) > 2.6 - strength / 32)
    return np.where(broken, np.where(noise > 0, 255, 0), _bytes(noisy)).astype(np.uint8)


def _jpeg(images: Images, rng: np.random.Generator) -> Images:
    """Save as JPEG and load again."""

    def saved(image: Image.Image, quality: int) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _through_pillow(images, saved, rng.integers(25, 95, len(images)))


FRAMES: dict[Change, float] = {_frame: 0.3}
"""The changes of `framed` beyond `standard`, each with its share of the images."""

DAMAGES: dict[Change, float] = {
    _shake: 0.024,
    _scatter: 0.012,
    _coarsen: 0.016,
    _veil: 0.02,
    _light: 0.044,
    _noise: 0.06,
    _jpeg: 0.02,
}
"""The changes of `damaged`, in this order, each with its share of the images."""


def _shifted(images: Images, places: NDArray[np.int64]) -> Images:
    """Shift each image by its (rows, columns), filling by reflection; a new array."""
    count, height, width, _ = images.shape
    reach = int(abs(places).max(initial=0))
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    top, left = (reach + places).T
    return np.ascontiguousarray(np.moveaxis(windows[np.arange(count), top, left], 1, -1))


def _through_pillow(images: Images, change: Callable[..., Image.Image], *arguments: NDArray[np.generic]) -> Images:
    lists = (argument.tolist() for argument in arguments)
    return np.stack(
        [np.asarray(change(Image.fromarray(image), *rest)) for image, *rest in zip(images, *lists, strict=True)]
    )


def _bytes(values: NDArray[np.float32]) -> Images:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Augmentation:
    """Changes to training images, in two steps. A teacher answers in between, so that its answers can be kept.

    Attributes:
        frame: shifts, mirrors, turns and resizes the object.
        damage: then makes it harder to recognize, as noise and blur do.
    """

    frame: Change = none
    damage: Change = none

    def __call__(self, images: Images, rng: np.random.Generator) -> Images:
        """Return `images`, uint8 (N, H, W, 3), framed and damaged; `rng` is the source of every random choice."""
        return self.damage(self.frame(images, rng), rng)


AUGMENTATIONS = {
    "none": Augmentation(),
    "standard": Augmentation(standard),
    "robust": Augmentation(framed, damaged),
}
