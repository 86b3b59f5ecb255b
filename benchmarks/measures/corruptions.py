"""The 15 corruptions of CIFAR-10-C at five severities, in NumPy and Pillow.

Source: D. Hendrycks and T. Dietterich, *Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations*, ICLR 2019. The published arrays were made with scikit-image, OpenCV, SciPy and
ImageMagick; what these do at an image's border and to its pixels is done here too, since it decides
how many images are still recognized. Only `frost` differs: the published one lays photographs of
frost over the images, this one a procedural texture of their colour, contrast and spectrum.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.errors import UsageError

SIZE = 32

SEVERITIES = (1, 2, 3, 4, 5)
CHUNK = 250  # images at a time: their arrays stay small enough for the processor's caches and a Pi's memory

Floats = NDArray[np.float64]

Border = Literal["edge", "reflect", "symmetric"]
"""How pixels beyond the border are filled, by `numpy.pad`'s names: aaa|abcd, dcb|abcd, cba|abcd."""


def corrupt(images: NDArray[np.uint8], family: str, severity: int, seed: int = 0) -> NDArray[np.uint8]:
    """Corrupt images as CIFAR-10-C does.

    What is random depends on the seed, the family, the severity and the image's own pixels: an image
    comes out the same alone and among others, in any order.

    Args:
        images: uint8, (N, 32, 32, 3), RGB, 0-255.
        family: one of `FAMILIES`.
        severity: one of `SEVERITIES`.
        seed: of everything that is random.

    Returns:
        A new uint8 array, (N, 32, 32, 3).

    Raises:
        UsageError: an unknown family or severity, or images of another shape or type.
    """
    if family not in FAMILIES or severity not in SEVERITIES:
        raise UsageError(f"{family} at severity {severity}: give one of {', '.join(FAMILIES)}, at severity 1 to 5")
    if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE, 3):
        raise UsageError(f"corruptions are for uint8 images (N, {SIZE}, {SIZE}, 3), not {images.dtype} {images.shape}")
    function, constants = _TABLE[family]
    corrupted = np.empty_like(images)
    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        random = _Random(chunk, f"{seed} {family} {severity}")
        pixels = function(chunk / 255, random, *constants[severity - 1])
        # Cut off, not rounded, as published; in float32, because there an even area of any value is sure to
        # keep it, whereas float64 darkens it wherever a filter's sum misses the value by the last bit.
        corrupted[start : start + CHUNK] = np.clip(pixels, 0, 1).astype(np.float32) * 255
    return corrupted


class _Random:
    """Random numbers for each of some images, which depend on its own pixels and on a key alone."""

    def __init__(self, images: NDArray[np.uint8], key: str) -> None:
        self._images, self._key = images, key.encode()

    @cached_property
    def _generators(self) -> list[np.random.Generator]:
        digests = (hashlib.blake2b(image.tobytes(), digest_size=16, key=self._key) for image in self._images)
        return [np.random.default_rng(int.from_bytes(digest.digest())) for digest in digests]

    def normal(self, *shape: int) -> Floats:
        return np.array([generator.standard_normal(shape) for generator in self._generators])

    def uniform(self, low: float, high: float, *shape: int) -> Floats:
        return np.array([generator.uniform(low, high, shape) for generator in self._generators])

    def integers(self, low: int, high: int, *shape: int) -> NDArray[np.int64]:
        return np.array([generator.integers(low, high, shape) for generator in self._generators])

    def poisson(self, means: Floats) -> NDArray[np.int64]:
        return np.array([generator.poisson(mean) for generator, mean in zip(self._generators, means, strict=True)])


def _gaussian_noise(pixels: Floats, random: _Random, sigma: float) -> Floats:
    return pixels + sigma * random.normal(*pixels.shape[1:])


def _shot_noise(pixels: Floats, random: _Random, photons: float) -> Floats:
    return random.poisson(pixels * photons) / photons


def _impulse_noise(pixels: Floats, random: _Random, amount: float) -> Floats:
    chance = random.uniform(0, 1, *pixels.shape[1:])
    return np.where(chance < amount / 2, 0, np.where(chance < amount, 1, pixels))


def _defocus_blur(pixels: Floats, _: _Random, radius: float, alias_sigma: float) -> Floats:
    y, x = np.mgrid[-2:3, -2:3]  # the largest disk is 3x3, blurred 5x5
    disk = (x**2 + y**2 <= radius**2).astype(float)
    soft = np.exp(-(np.arange(-1, 2) ** 2) / (2 * alias_sigma**2))
    windows = sliding_window_view(np.pad(disk, 1), (3, 3))
    kernel = np.einsum("yxij,i,j->yx", windows, soft, soft)
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2), (0, 0)), "reflect")
    blurred: Floats = np.einsum("nyxcij,ij->nyxc", sliding_window_view(padded, (5, 5), (1, 2)), kernel / kernel.sum())
    return blurred


def _glass_blur(pixels: Floats, random: _Random, sigma: float, iterations: int) -> Floats:
    blur = _gaussian(sigma, truncate=4, border="edge")
    shuffled = np.floor(_along_both_axes(blur, pixels) * 255) / 255
    image, y, x = np.ogrid[: len(pixels), 2:SIZE, 2:SIZE]
    for offset in np.moveaxis(random.integers(-1, 1, iterations, 2, SIZE - 2, SIZE - 2), 0, 2):
        # The published code means to swap neighbours, but copies: each pixel comes from the one above,
        # from the one to the left, from the one between these, or stays.
        shuffled[:, 2:, 2:] = shuffled[image, y + offset[0], x + offset[1]]
    return _along_both_axes(blur, shuffled)


def _motion_blur(pixels: Floats, random: _Random, radius: int, sigma: float) -> Floats:
    return _moved(pixels, radius, sigma, random.uniform(-45, 45))


def _zoom_blur(pixels: Floats, _: _Random, end: float) -> Floats:
    factors = np.arange(1, end, 0.01)  # with the rounding errors of the published ones: 1.06 ends a range up to 1.06
    zooms = (np.kron(zoom, zoom) for zoom in map(_zoom, factors))
    blur = sum(zooms, np.eye(SIZE**2)) / (len(factors) + 1)
    blurred = np.tensordot(blur, pixels.reshape(-1, SIZE**2, 3), (1, 1)).swapaxes(0, 1)
    return blurred.reshape(pixels.shape)


def _snow(
    pixels: Floats,
    random: _Random,
    mean: float,
    sigma: float,
    zoom: float,
    threshold: float,
    radius: int,
    motion_sigma: float,
    mix: float,
) -> Floats:
    flakes = _along_both_axes(_zoom(zoom), mean + sigma * random.normal(SIZE, SIZE, 1))
    flakes = np.floor(np.clip(np.where(flakes < threshold, 0, flakes), 0, 1) * 255) / 255
    flakes = _moved(flakes, radius, motion_sigma, random.uniform(-135, -45))
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    whitened: Floats = np.maximum(pixels, 1.5 * grey[..., None] + 0.5)
    return mix * pixels + (1 - mix) * whitened + flakes + np.rot90(flakes, 2, (1, 2))


def _frost(pixels: Floats, random: _Random, image_weight: float, frost_weight: float) -> Floats:
    return image_weight * pixels + frost_weight * _frost_texture(random)


def _fog(pixels: Floats, random: _Random, strength: float, decay: float) -> Floats:
    brightest: Floats = pixels.max((1, 2, 3), keepdims=True)
    return (pixels + strength * _plasma(random, decay)) * brightest / (brightest + strength)


def _brightness(pixels: Floats, _: _Random, increase: float) -> Floats:
    value: Floats = pixels.max(-1, keepdims=True)  # the V of HSV; what keeps hue and saturation is a common factor
    shades = np.divide(pixels, value, out=np.ones_like(pixels), where=value > 0)
    return shades * np.minimum(value + increase, 1)


def _contrast(pixels: Floats, _: _Random, factor: float) -> Floats:
    mean: Floats = pixels.mean((1, 2), keepdims=True)
    return (pixels - mean) * factor + mean


def _elastic_transform(pixels: Floats, random: _Random, strength: float, sigma: float, shift: float) -> Floats:
    corners = np.array([[26.0, 26.0], [26.0, 6.0], [6.0, 6.0]])  # x, y: a third of the size around the middle
    moved = np.dstack([corners + SIZE * shift * random.uniform(-1, 1, 3, 2), np.ones((len(pixels), 3))])
    affine = np.linalg.solve(moved, np.broadcast_to(corners, (len(pixels), 3, 2)))
    y, x = np.mgrid[:SIZE, :SIZE]
    source = np.dstack([x, y, np.ones_like(x)]) @ affine[:, None]
    warped = _sampled(pixels, source[..., 1], source[..., 0], "reflect")
    smooth = _gaussian(SIZE * sigma, truncate=3, border="symmetric")
    offset = SIZE * strength * _along_both_axes(smooth, random.uniform(-1, 1, SIZE, SIZE, 2))
    return _sampled(warped, y + offset[..., 0], x + offset[..., 1], "symmetric")


def _pixelate(pixels: Floats, _: _Random, share: float) -> Floats:
    small = (int(SIZE * share),) * 2
    box = Image.Resampling.BOX
    return _through_pillow(pixels, lambda image: image.resize(small, box).resize((SIZE, SIZE), box))


def _jpeg_compression(pixels: Floats, _: _Random, quality: int) -> Floats:
    def compressed(image: Image.Image) -> Image.Image:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _through_pillow(pixels, compressed)


_TABLE: dict[str, tuple[Callable[..., Floats], tuple[tuple[float, ...], ...]]] = {
    "gaussian_noise": (_gaussian_noise, ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,))),
    "shot_noise": (_shot_noise, ((500,), (250,), (100,), (75,), (50,))),
    "impulse_noise": (_impulse_noise, ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,))),
    "defocus_blur": (_defocus_blur, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
    "glass_blur": (_glass_blur, ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))),
    "motion_blur": (_motion_blur, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
    "zoom_blur": (_zoom_blur, ((1.06,), (1.11,), (1.16,), (1.21,), (1.26,))),
    "snow": (
        _snow,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    "frost": (_frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
    "fog": (_fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
    "brightness": (_brightness, ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,))),
    "contrast": (_contrast, ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,))),
    "elastic_transform": (
        _elastic_transform,
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    ),
    "pixelate": (_pixelate, ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,))),
    "jpeg_compression": (_jpeg_compression, ((80,), (65,), (58,), (50,), (40,))),
}
FAMILIES = tuple(_TABLE)


def _along_both_axes(matrix: Floats, pixels: Floats) -> Floats:
    """Multiply columns and rows of images (N, 32, 32, channels) by a matrix (32, 32)."""
    result: Floats = np.einsum("yi,xj,nijc->nyxc", matrix, matrix, pixels, optimize=True)
    return result


def _gaussian(sigma: float, truncate: float, border: Border) -> Floats:
    """Make the matrix (32, 32) that smooths a row, as SciPy's `gaussian_filter1d` does."""
    radius = int(truncate * sigma + 0.5)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2)) if radius else np.ones(1)
    taps = sliding_window_view(np.pad(np.eye(SIZE), ((radius, radius), (0, 0)), border), len(kernel), 0)
    smoothing: Floats = taps @ (kernel / kernel.sum())
    return smoothing


def _zoom(factor: float) -> Floats:
    """Make the matrix (32, 32) that enlarges the middle of a row linearly, as SciPy's `zoom` does."""
    cut = int(np.ceil(SIZE / factor))
    enlarged = round(cut * factor)
    position = np.arange(enlarged) * (cut - 1) / (enlarged - 1) + (SIZE - cut) // 2
    weights: Floats = np.clip(1 - np.abs(position[:, None] - np.arange(SIZE)), 0, None)
    trim = (enlarged - SIZE) // 2
    return weights[trim : trim + SIZE]


def _moved(pixels: Floats, radius: int, sigma: float, degrees: Floats) -> Floats:
    """Blur each image along its own direction, as ImageMagick's motion blur does: a half gaussian, in bytes."""
    step = np.arange(2 * radius + 1)
    kernel = np.exp(-(step**2) / (2 * sigma**2))
    angle = np.radians(degrees)[:, None]
    down, right = (np.ceil(step * part - 0.5).astype(int) for part in (np.sin(angle), np.cos(angle)))
    image, y, x = np.ogrid[: len(pixels), :SIZE, :SIZE]
    fold = _fold("edge")
    blurred = np.zeros_like(pixels)
    for tap, weight in enumerate(kernel / kernel.sum()):
        rows, columns = y + down[:, tap, None, None], x + right[:, tap, None, None]
        blurred += weight * pixels[image, fold[rows], fold[columns]]
    return np.floor((blurred * 65535 + 0.5) / 257) / 255  # rounded to 16 bits, then cut off to 8


def _sampled(pixels: Floats, y: Floats, x: Floats, border: Border) -> Floats:
    """Interpolate images (N, 32, 32, channels) linearly at positions (N, 32, 32)."""
    fold = _fold(border)
    image = np.arange(len(pixels))[:, None, None]
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    down: Floats = (y - top)[..., None]
    right: Floats = (x - left)[..., None]

    def row(number: NDArray[np.int64]) -> Floats:
        first: Floats = pixels[image, fold[number], fold[left]]
        second: Floats = pixels[image, fold[number], fold[left + 1]]
        return (1 - right) * first + right * second

    return (1 - down) * row(top) + down * row(top + 1)


def _fold(border: Border) -> NDArray[np.int64]:
    """Make the table that leads a position from -32 to 63 to one of the image's; negative ones count from its end."""
    return np.roll(np.pad(np.arange(SIZE), SIZE, border), -SIZE)


def _plasma(random: _Random, decay: float) -> Floats:
    """Make cloudy textures 0-1, (N, 32, 32, 1), by the diamond-square algorithm on a torus."""
    wobbles = random.uniform(-1, 1, SIZE**2 - 1)
    plasma = np.zeros((len(wobbles), SIZE, SIZE))
    step, amplitude, used = SIZE, 100.0, 0

    def fill(into: Floats, corners: Floats) -> None:
        nonlocal used
        count = into[0].size
        into[:] = corners / 4 + amplitude**2 * wobbles[:, used : used + count].reshape(into.shape)
        used += count

    while step >= 2:
        half = step // 2
        grid, centres = plasma[:, ::step, ::step], plasma[:, half::step, half::step]
        rows = grid + np.roll(grid, -1, 1)
        fill(centres, rows + np.roll(rows, -1, 2))
        fill(plasma[:, ::step, half::step], centres + np.roll(centres, 1, 1) + grid + np.roll(grid, -1, 2))
        fill(plasma[:, half::step, ::step], centres + np.roll(centres, 1, 2) + grid + np.roll(grid, -1, 1))
        step, amplitude = half, amplitude / decay
    plasma -= plasma.min((1, 2), keepdims=True)
    plasma /= plasma.max((1, 2), keepdims=True)
    return plasma[..., None]


_FROST = np.array(
    [
        (78, 149, 166, 14, 1.7),
        (201, 205, 214, 18, 1.2),
        (201, 205, 214, 18, 1.2),
        (138, 153, 166, 26, 0.8),
        (112, 123, 135, 34, 1.2),
    ]
)
"""Measured on 32x32 pieces of the five photographs of the published `frost`: mean
red, green and blue, standard deviation inside of a piece (all 0-255), and beta of the power spectrum
1 / frequency^beta. Two of the five are the same."""


def _frost_texture(random: _Random) -> Floats:
    """Make pieces 0-1, (N, 32, 32, 3), of random textures with the figures of `_FROST`."""
    photograph = _FROST[random.integers(0, len(_FROST))]
    colour, contrast, beta = photograph[:, None, None, :3], photograph[:, 3, None, None], photograph[:, 4, None, None]
    frequency = np.hypot(np.fft.fftfreq(2 * SIZE)[:, None], np.fft.rfftfreq(2 * SIZE))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(random.normal(2 * SIZE, 2 * SIZE)) * frequency ** (-beta / 2)
    texture = np.fft.irfft2(spectrum)
    texture /= texture.std((1, 2), keepdims=True)
    piece = texture[:, :SIZE, :SIZE] + 0.5 * random.normal(1, 1)  # pieces differ half as much as pixels in them
    return (colour + (contrast * piece)[..., None]) / 255


def _through_pillow(pixels: Floats, change: Callable[[Image.Image], Image.Image]) -> Floats:
    bytes_ = (pixels * 255).astype(np.uint8)
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in bytes_]) / 255
