from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.errors import ImageError
from cifar_edge.photos.decode import load
from cifar_edge.photos.whole import is_cut_off
from tests.conftest import PHOTOS
from tests.photos import hostile

with Image.open(PHOTOS / "bird" / "kingfisher.jpg") as photo:
    PICTURE = photo.convert("RGB").resize((200, 150))

KINDS = {
    "baseline": ("JPEG", {"quality": 98}),
    "progressive": ("JPEG", {"progressive": True}),
    "optimized": ("JPEG", {"optimize": True}),
    "png": ("PNG", {}),
    "stored png": ("PNG", {"compress_level": 0}),
    "gif": ("GIF", {}),
    "webp": ("WEBP", {}),
    "lossless webp": ("WEBP", {"lossless": True}),
    "bmp": ("BMP", {}),
    "raw tiff": ("TIFF", {}),
    "lzw tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "jpeg tiff": ("TIFF", {"compression": "jpeg"}),
}


def saved(kind: str, picture: Image.Image = PICTURE) -> bytes:
    file, (name, how) = io.BytesIO(), KINDS[kind]
    picture.save(file, name, **how)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.2, 1 / 3, 0.67, 0.97])
def test_zeros_in_place_of_pixels_are_an_error(kind: str, share: float) -> None:
    whole = saved(kind)
    there = int(share * len(whole))
    with pytest.raises(ImageError):
        load(io.BytesIO(whole[:there] + bytes(len(whole) - there)), 32, 32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("picture", [PICTURE, Image.new("RGB", (300, 200), "white")], ids=["photo", "white"])
def test_zeros_behind_the_picture_are_padding(kind: str, picture: Image.Image) -> None:
    whole = saved(kind, picture)
    assert np.array_equal(load(io.BytesIO(whole + bytes(5_000)), 32, 32), load(io.BytesIO(whole), 32, 32))


@pytest.mark.parametrize("kind", ["baseline", "progressive", "optimized"])
def test_a_jpeg_of_which_only_the_end_is_zeros_is_read(kind: str) -> None:
    whole = saved(kind)
    assert np.array_equal(load(io.BytesIO(whole[:-2] + bytes(5_000)), 32, 32), load(io.BytesIO(whole), 32, 32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("black", [(0, 0, 200, 150), (0, 90, 200, 150), (120, 100, 200, 150)], ids=str)
def test_black_pixels_are_pixels(kind: str, black: tuple[int, int, int, int]) -> None:
    picture = PICTURE.copy()
    picture.paste((0, 0, 0), black)
    for upright in (picture, picture.transpose(Image.Transpose.FLIP_TOP_BOTTOM)):  # a BMP begins at the bottom
        expected = np.asarray(upright.resize((32, 32), Image.Resampling.BOX), float)
        assert np.abs(load(io.BytesIO(saved(kind, upright)), 32, 32) - expected).mean() < 8


@pytest.mark.parametrize("colour", ["white", "black", "red"])
def test_a_photo_on_one_colour_may_end_in_zeros(colour: str) -> None:
    picture = Image.new("RGB", (2_000, 1_500), colour)
    picture.paste(PICTURE, (100, 100))
    content = saved("webp", picture)
    assert content.endswith(bytes(99))
    for padding in (0, 1_000):
        assert load(io.BytesIO(content + bytes(padding)), 32, 32).shape == (32, 32, 3)


def test_a_video_behind_the_picture_may_be_cut_off() -> None:
    whole = saved("baseline")
    assert np.array_equal(load(io.BytesIO(whole + b"video" + bytes(999)), 32, 32), load(io.BytesIO(whole), 32, 32))


def test_the_padding_of_a_tile_is_no_missing_pixel() -> None:
    rows = 20 * (b"\xff" * 20 + bytes(12)) + 12 * bytes(32)
    tags = {322: [32], 323: [32], 324: [-1], 325: [len(rows)]}
    assert load(io.BytesIO(hostile.tiff(20, 20, tags, rows)), 32, 32).min() == 255


def test_a_file_is_left_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "padded.png").write_bytes(saved("png") + bytes(99))
    with (tmp_path / "padded.png").open("rb") as file, Image.open(file) as opened:
        here = file.tell()
        assert not is_cut_off(opened, file)
        assert file.tell() == here
