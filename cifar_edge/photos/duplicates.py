"""The same photo twice, re-encoded or resized too, and photos that are nearly the same.

Candidates are found by perceptual hashes of 128 bits: the signs of neighbours' differences (dHash, N. Krawetz, *Kind of
Like That*, 2013) and of low frequencies (pHash, C. Zauner, *Implementation and Benchmarking of Perceptual Image Hash
Functions*, 2010). Small thumbnails then decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cifar_edge.photos.decoded import Frame, Images

THUMBNAIL = Frame(96, "stretch", reduced=2)
"""The frame of the pixels that are compared."""

CELLS = 24  # means along each side of a thumbnail
BITS = 128
BLOCK = 1024  # photos compared with all others at once
NEAREST = 16  # photos that each photo is compared with

SAME_BITS, SAME_CELL = 20, 32
"""Bits, and 0-255 in the worst cell, by which re-encoded and resized copies of a photo may differ."""

ALIKE_BITS, ALIKE_CORRELATION = 32, 0.8
"""Bits by which near-duplicates may differ, and how well their cells have to agree."""

BURST_SECONDS, BURST_CORRELATION = 5, 0.6
"""Seconds between photos of a burst, and how well their cells have to agree."""

LARGEST_SHARE = 0.2
"""A larger share of all photos is alike because of a fixed camera: then only copies and bursts are grouped."""


class Alike(NamedTuple):
    """Photos that are the same, or nearly.

    Attributes:
        same: int64, (N,), a number for each photo; copies of a photo share it.
        group: int64, (N,), a number for each photo; copies, near-duplicates and bursts share it.
        fixed_camera: so many photos are alike that likeness alone makes no groups.
    """

    same: NDArray[np.int64]
    group: NDArray[np.int64]
    fixed_camera: bool


def find_alike(thumbnails: Images, digests: Sequence[str], taken: Sequence[float | None]) -> Alike:
    """Find photos that are the same, or nearly.

    Args:
        thumbnails: of the frame `THUMBNAIL`.
        digests: of the files' contents.
        taken: seconds, or None, for each photo.

    Returns:
        Numbers of photos; the smallest index of the photos that share a number is that number.
    """
    bits, cells = _fingerprints(thumbnails)
    same = np.arange(len(thumbnails))
    first: dict[str, int] = {}
    for photo, digest in enumerate(digests):
        _join(same, first.setdefault(digest, photo), photo)
    alike = []
    for photo, others, distances in _candidates(bits):
        worst = np.abs(cells[others].astype(np.int16) - cells[photo]).max(axis=(1, 2, 3))
        copies = (distances <= SAME_BITS) & (worst <= SAME_CELL)
        for other in others[copies]:
            _join(same, photo, other)
        alike += [(photo, other) for other in others if _correlation(cells[photo], cells[other]) > ALIKE_CORRELATION]
    same = _roots(same)
    bursts = _joined(same, _bursts(taken, cells))
    group = _joined(bursts, alike)
    fixed_camera = len(group) > NEAREST and np.bincount(group).max() > LARGEST_SHARE * len(group)
    return Alike(same, bursts if fixed_camera else group, bool(fixed_camera))


def _fingerprints(thumbnails: Images) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return the hashes, (N, 128) of -1 and 1, and the cells, uint8 (N, 24, 24, 3)."""
    bits = np.zeros((len(thumbnails), BITS), np.float32)
    cells = np.zeros((len(thumbnails), CELLS, CELLS, 3), np.uint8)
    frequencies = np.cos(np.pi / CELLS * np.outer(np.arange(1, 9), np.arange(CELLS) + 0.5))
    for start in range(0, len(thumbnails), BLOCK):
        block = slice(start, start + BLOCK)
        means = _shrunk(thumbnails[block], CELLS)
        cells[block] = np.rint(means)
        grey = means.mean(axis=3)
        steps = np.diff(_shrunk(grey, 8), axis=2, append=_shrunk(grey, 8)[:, :, :1]).reshape(-1, 64)
        waves = (frequencies @ grey @ frequencies.T).reshape(-1, 64)
        bits[block] = np.where(np.hstack([steps, waves]) > 0, 1, -1)
    return bits, cells


def _shrunk(images: NDArray[np.generic], side: int) -> NDArray[np.float32]:
    """Average square areas of images, (N, height, width, ...), to (N, side, side, ...)."""
    count, height, width, *channels = images.shape
    areas = images.reshape(count, side, height // side, side, width // side, *channels)
    means: NDArray[np.float32] = areas.mean(axis=(2, 4), dtype=np.float32)
    return means


def _candidates(bits: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
    """Yield photos with those that are nearest by their hashes, and the number of bits by which they differ."""
    for start in range(0, len(bits), BLOCK):
        distances = (BITS - bits[start : start + BLOCK] @ bits.T) / 2
        for photo, row in enumerate(distances, start):
            row[photo] = BITS
            near = np.flatnonzero(row <= ALIKE_BITS)
            near = near[np.argsort(row[near], kind="stable")[:NEAREST]]
            if len(near):
                yield photo, near, row[near]


def _bursts(taken: Sequence[float | None], cells: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Return pairs of photos that were taken within seconds, and agree in what they show."""
    dated = sorted((when, photo) for photo, when in enumerate(taken) if when is not None)
    return [
        (before, after)
        for place, (earlier, before) in enumerate(dated)
        for later, after in dated[place + 1 : place + 1 + NEAREST]
        if later - earlier <= BURST_SECONDS and _correlation(cells[before], cells[after]) > BURST_CORRELATION
    ]


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    first, second = (cells - cells.mean(dtype=np.float32) for cells in (one, other))
    return float((first * second).sum() / (np.linalg.norm(first) * np.linalg.norm(second) + 1e-6))


def _joined(numbers: NDArray[np.int64], pairs: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    joined = numbers.copy()
    for one, other in pairs:
        _join(joined, one, other)
    return _roots(joined)


def _join(numbers: NDArray[np.int64], one: int, other: int) -> None:
    """Let two photos, and all that share their numbers, share the smaller one."""
    low, high = sorted((_root(numbers, one), _root(numbers, other)))
    numbers[high] = low


def _root(numbers: NDArray[np.int64], photo: int) -> int:
    while numbers[photo] != photo:
        numbers[photo] = numbers[numbers[photo]]
        photo = int(numbers[photo])
    return photo


def _roots(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.array([_root(numbers, photo) for photo in range(len(numbers))], np.int64)
