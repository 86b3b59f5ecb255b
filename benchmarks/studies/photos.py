"""Does the network see what is in the photo? `python -m cifar_edge.benchmarks.studies.photos FOLDER MODEL...`.

Prints, for labelled photos (a folder for each class), top-1 with each fit; then how far the fast way to
read a photo, and a camera's thumbnail, are from the exact average of all its pixels, and how often the
models say the same. The answers, and thus the defaults, stand in `README.md`.
"""

from __future__ import annotations

import io
import itertools
import struct
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.benchmarks.tables import markdown
from cifar_edge.cli.program import run_program
from cifar_edge.errors import UsageError
from cifar_edge.photos import decode
from cifar_edge.photos.class_folders import class_of
from cifar_edge.photos.find import find
from cifar_edge.tflite.model import EdgeModel

CROPS = 12  # of each photo: enough to distinguish 99 % from 98 %

SIZES = ((640, 480), (1600, 1200), (4032, 3024))
THUMBNAIL = (160, 120)  # as EXIF asks of cameras: JEITA CP-3451, 4.5.4


def area_average(image: Image.Image, height: int, width: int) -> NDArray[np.float32]:
    """Average all of an image exactly: each pixel counts by the area that it shares with one of the result.

    Returns:
        float32, (height, width, 3), 0-255.
    """
    rows = np.tensordot(_shares(image.height, height), np.asarray(image.convert("RGB"), np.float32), 1)
    averages: NDArray[np.float32] = np.einsum("wx,hxc->hwc", _shares(image.width, width), rows)
    return averages


def _shares(length: int, count: int) -> NDArray[np.float32]:
    borders, pixels = np.linspace(0, length, count + 1), np.arange(length)
    ends, starts = np.minimum(borders[1:, None], pixels + 1), np.maximum(borders[:-1, None], pixels)
    shares: NDArray[np.float32] = (np.clip(ends - starts, 0, None) * count / length).astype(np.float32)
    return shares


def camera_jpeg(scene: Image.Image, size: tuple[int, int], seed: int, grain: float = 6) -> bytes:
    """Make a baseline JPEG such as cameras write, with a thumbnail and grain of a standard deviation 0-255.

    Of 12 megapixels and a grain of 3, they have about 2 MB, of 6 3.4 MB.
    """
    photo = np.asarray(scene.convert("RGB").resize(size, Image.Resampling.BICUBIC), np.float32)
    noise = np.random.default_rng(seed).normal(0, grain, (*photo.shape[:2], 1)).astype(np.float32)
    image = Image.fromarray(np.clip(photo + noise, 0, 255).astype(np.uint8))
    thumbnail = image.resize(THUMBNAIL, Image.Resampling.BOX)
    return _jpeg(image, quality=90, exif=exif_with(_jpeg(thumbnail, quality=75)))


def exif_with(thumbnail: bytes, orientation: int = 1) -> bytes:
    """Return EXIF data that holds an orientation and a thumbnail in JPEG: a TIFF header and two directories."""
    start = 8 + (2 + 12 + 4) + (2 + 2 * 12 + 4)
    header = struct.pack("<2sHI", b"II", 42, 8)
    main = struct.pack("<HHHIHxxI", 1, 0x0112, 3, 1, orientation, 8 + 18)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, start, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0" + header + main + second + thumbnail


def _jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def crops(photos: Sequence[Path], count: int) -> Iterator[Image.Image]:
    """Yield `count` random parts of each photo, of 60 to 100 % of each side; transparent parts white."""
    for number, path in enumerate(photos):
        with Image.open(path) as opened:
            cut_out = opened.convert("RGBA")
        photo = Image.alpha_composite(Image.new("RGBA", cut_out.size, "white"), cut_out)
        random = np.random.default_rng(number)
        for across, down, left, top in random.uniform((0.6, 0.6, 0, 0), 1, (count, 4)) * (*photo.size, 1, 1):
            x, y = left * (photo.width - across), top * (photo.height - down)
            yield photo.crop((round(x), round(y), round(x + across), round(y + down)))


def main(folder: str, models: list[str]) -> None:
    """Print the tables."""
    loaded = [EdgeModel(name) for name in models]
    photos = list(map(Path, find([folder])))
    if not photos:
        raise UsageError(f"{folder}: no photos in there")
    names = [f"`{model.path.stem}`" for model in loaded]
    right = ((fit, *(_right(model, photos, fit) for model in loaded)) for fit in decode.FITS)
    print(f"right, of {len(photos)} labelled photos\n\n{markdown(('fit', *names), right)}")
    rows = []
    for size in SIZES:
        compared = _compare(photos, size, loaded[0].height, loaded[0].width)
        exact = compared.pop("exact")
        for name, seen in compared.items():
            difference = np.abs(seen - exact.astype(np.float32))
            agreement = (f"{_agreement(model, seen, exact):.1%}" for model in loaded)
            kind = f"{len(exact)} of {size[0]}x{size[1]}"
            rows.append((kind, name, f"{difference.mean():.2f}", f"{difference.max():.0f}", *agreement))
    print(f"\nagainst the exact average, {CROPS} parts of each photo\n")
    print(markdown(("photos", "read by", "mean", "largest", *names), rows))


def _right(model: EdgeModel, photos: Sequence[Path], fit: str) -> int:
    seen = np.stack([decode.load(path, model.height, model.width, fit) for path in photos])
    labels = [model.labels[number] for number in model.predict(seen).argmax(axis=1)]
    return sum(label == class_of(path) for label, path in zip(labels, photos, strict=True))


def _agreement(model: EdgeModel, seen: NDArray[np.uint8], exact: NDArray[np.uint8]) -> float:
    """Return the share of photos with the same answer; where int8 finds two classes equal, either counts."""
    probabilities, expected = model.predict(seen), model.predict(exact).argmax(axis=1)
    return float(np.mean(probabilities[np.arange(len(expected)), expected] == probabilities.max(axis=1)))


def _compare(photos: Sequence[Path], size: tuple[int, int], height: int, width: int) -> dict[str, NDArray[np.uint8]]:
    """Read photos of a size in each way; uint8, (photos, height, width, 3)."""

    def read(scene: Image.Image, seed: int) -> tuple[NDArray[np.uint8], ...]:
        content = camera_jpeg(scene, size, seed)
        with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
            file.write(content)
            file.flush()
            ways = [decode.load(file.name, height, width, "stretch", thumbnail) for thumbnail in (False, True)]
        exact = area_average(Image.open(io.BytesIO(content)), height, width)
        return np.rint(exact).astype(np.uint8), *ways

    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(read, crops(photos, CROPS), itertools.count()))
    return dict(zip(("exact", "default", "`--exif-thumbnails`"), map(np.stack, zip(*seen, strict=True)), strict=True))


if __name__ == "__main__":
    run_program(main)
