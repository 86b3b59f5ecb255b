from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from cifar_edge.errors import ImageError
from cifar_edge.images import SUFFIXES, load

from .conftest import PHOTOS

PHOTO = PHOTOS / "bird" / "kingfisher.jpg"


def area_average(image: Image.Image) -> np.ndarray:
    """The whole of an image, averaged exactly to 32x32: each pixel counts by the area it shares with one of the result."""

    def shares(length: int) -> np.ndarray:
        borders, pixels = np.linspace(0, length, 33), np.arange(length)
        ends, starts = np.minimum(borders[1:, None], pixels + 1), np.maximum(borders[:-1, None], pixels)
        return np.clip(ends - starts, 0, None) * 32 / length

    rows = np.tensordot(shares(image.height), np.asarray(image.convert("RGB"), np.float64), 1)
    return np.einsum("wx,hxc->hwc", shares(image.width), rows)


def camera_photo(source: Path, path: Path, **options: object) -> Image.Image:
    """Make a JPEG of 12 megapixels that compresses as a camera's does; its fine grain is noise."""
    photo = Image.open(source).convert("RGB").resize((4032, 3024), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 6, (3024, 4032, 1))
    photo = Image.fromarray(np.clip(np.asarray(photo) + noise, 0, 255).astype(np.uint8))
    photo.save(path, quality=90, **options)
    return photo


@pytest.mark.parametrize("photo", sorted(PHOTOS.glob("*/*.jpg")), ids=lambda path: path.stem)
def test_fast_decoding_is_the_exact_average(photo: Path) -> None:
    difference = np.abs(load(photo, 32, 32) - area_average(Image.open(photo)))
    assert difference.mean() < 0.5
    assert difference.max() < 6


@pytest.mark.parametrize("megapixels", ["jpg", "png"])
def test_so_it_is_for_twelve_megapixels(megapixels: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{megapixels}"
    camera_photo(PHOTO, path)
    difference = np.abs(load(path, 32, 32) - area_average(Image.open(path)))
    assert difference.mean() < 0.5
    assert difference.max() < 6


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_format(suffix: str, tmp_path: Path) -> None:
    image = Image.open(PHOTO).resize((96, 64))
    image.save(tmp_path / f"photo{suffix}")
    assert np.abs(load(tmp_path / f"photo{suffix}", 32, 32) - area_average(image)).mean() < 6


def test_the_wanted_size_and_the_centre(tmp_path: Path) -> None:
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = 200
    Image.fromarray(pixels).save(tmp_path / "stripe.png")
    square = load(tmp_path / "stripe.png", 32, 32)
    assert (square.shape, square.dtype, square.min(), square.max()) == ((32, 32, 3), np.uint8, 200, 200)
    wide = load(tmp_path / "stripe.png", 20, 40)
    assert wide.shape == (20, 40, 3)
    assert wide[0, :, 0].tolist() == [0] * 10 + [200] * 20 + [0] * 10


def test_images_of_the_wanted_size_keep_every_byte(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    assert np.array_equal(load(tmp_path / "noise.png", 32, 32), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int, tmp_path: Path) -> None:
    upright = Image.open(PHOTO).convert("RGB")
    # How a camera stores the picture so that a viewer who obeys the tag sees it upright.
    stored = {
        1: lambda image: image,
        2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
        4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
        6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
        7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
        8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photo.jpg", exif=exif, quality=95)
    assert np.abs(load(tmp_path / "photo.jpg", 32, 32) - area_average(upright)).mean() < 2


def test_unusual_pixels(tmp_path: Path) -> None:
    grey = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    expected = area_average(Image.fromarray(grey))
    sixteen = Image.fromarray((grey.astype(np.uint16) << 8) + 17)
    with_alpha = Image.merge("LA", (Image.fromarray(grey), Image.new("L", (64, 64), 255)))
    for name, image in {
        "sixteen.png": sixteen,
        "sixteen.tif": sixteen,
        "palette.png": Image.fromarray(grey).convert("P"),
        "bilevel.png": Image.fromarray((grey > 127) * np.uint8(255)).convert("1"),
        "alpha.png": with_alpha,
        "cmyk.jpg": Image.fromarray(grey).convert("RGB").convert("CMYK"),
        "cmyk.tif": Image.fromarray(grey).convert("RGB").convert("CMYK"),
    }.items():
        image.save(tmp_path / name)
        pixels = load(tmp_path / name, 32, 32)
        if name != "bilevel.png":
            assert np.abs(pixels - expected).mean() < 3, name


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (50, 50), (0, 0, 0, 0)).save(tmp_path / "nothing.png")
    assert load(tmp_path / "nothing.png", 32, 32).min() == 255


def test_of_an_animation_the_first_picture_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    for name in ("moving.gif", "moving.webp", "pages.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.abs(load(tmp_path / name, 32, 32) - (255.0, 0, 0)).max() < 6


@pytest.mark.parametrize("size", [(1, 1), (20000, 1), (1, 3), (33, 31)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "odd.png")
    assert np.array_equal(load(tmp_path / "odd.png", 32, 32), np.full((32, 32, 3), (10, 20, 30)))


def test_the_name_does_not_matter(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.open(PHOTO).save(buffer, "JPEG")
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    assert load(tmp_path / "photo.png", 32, 32).shape == (32, 32, 3)


def test_what_cannot_be_read_has_a_reason(tmp_path: Path) -> None:
    whole = PHOTO.read_bytes()
    for name, content in {"text.jpg": b"hello", "empty.jpg": b"", "cut.jpg": whole[: len(whole) // 2]}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "dangling.jpg").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.jpg"))
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    Image.new("F", (40, 40)).save(tmp_path / "float.tif")
    for name, reason in {
        "text.jpg": "not an image",
        "empty.jpg": "not an image",
        "cut.jpg": "truncated",
        "dangling.jpg": "No such file",
        "pipe.jpg": "not a regular file",
        "socket.jpg": "not a regular file",
        "bomb.png": "decompression bomb",
        "float.tif": "pixels of 32 bits",
    }.items():
        with pytest.raises(ImageError, match=reason):
            load(tmp_path / name, 32, 32)
