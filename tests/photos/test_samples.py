from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from cifar_edge.errors import ImageError
from cifar_edge.photos.decode import load
from tests.photos.deep import png, tiff

DOWN, ACROSS = np.mgrid[:32, :32]
COLOURS = np.stack([ACROSS * 8, DOWN * 6 + 9, (ACROSS + DOWN) * 2], -1).astype(np.uint16)  # 8 bits, each band its range
GREY = COLOURS[..., 0]
WIDE = COLOURS * 257 + DOWN[..., None].astype(np.uint16)  # 16 bits
FULL = np.full((32, 32, 1), 65535, np.uint16)
OPAQUE = np.concatenate([WIDE, FULL], -1)
INK = np.concatenate([65535 - WIDE, 0 * FULL], -1)
WITH_ALPHA = np.concatenate([WIDE[..., :1], FULL], -1)
Make = Callable[..., bytes]

EVERY_TIFF = [
    pytest.param(lambda *args, how=how, **tags: tiff(*args, **how, **tags), id=str(how))
    for how in ({}, {"order": ">"}, {"packed": True}, {"order": ">", "packed": True})
]


def differs(content: bytes, expected: np.ndarray) -> int:
    expected = expected if expected.ndim == 3 else expected[..., None]
    return int(np.abs(load(io.BytesIO(content), 32, 32) - expected.astype(int)).max())


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("make", EVERY_TIFF)
def test_a_tiff_s_range_is_that_of_its_samples(make: Make, bits: int) -> None:
    fewer = 16 - bits
    assert differs(make(WIDE[..., :1] >> fewer, 1), GREY) <= 1
    assert differs(make(WIDE >> fewer, 2), COLOURS) <= 1
    assert differs(make(OPAQUE >> fewer, 2, t338=2), COLOURS) <= 1
    assert differs(make(np.concatenate([WIDE >> fewer, FULL], -1), 2, t338=2), COLOURS) <= 1
    assert differs(make(INK >> fewer, 5), COLOURS) <= 1


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_png_s_range_is_that_of_its_samples(bits: int) -> None:
    fewer = 16 - bits
    assert differs(png(WIDE[..., :1] >> fewer, 0), GREY) <= 1
    assert differs(png(WIDE >> fewer, 2), COLOURS) <= 1
    assert differs(png(WITH_ALPHA >> fewer, 4), GREY) <= 1
    assert differs(png(OPAQUE >> fewer, 6), COLOURS) <= 1


def test_black_stays_black_and_dim_stays_dim() -> None:
    for value, expected in ((0, 0), (30, 30), (20_000, 78)):
        for content in (png(0 * FULL + value, 0), png(0 * WIDE + value, 2), tiff(0 * WIDE + value, 2)):
            assert differs(content, np.full((32, 32, 3), expected)) <= 1


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("bits", [12, 16])
def test_white_is_zero(bits: int, packed: bool) -> None:
    white_is_zero = (65535 - WIDE[..., :1]) >> 16 - bits
    assert differs(tiff(white_is_zero, 0, packed=packed), GREY) <= 1


@pytest.mark.parametrize("make", EVERY_TIFF)
def test_planes(make: Make) -> None:
    assert differs(make(WIDE, 2, planar=True), COLOURS) <= 1
    assert differs(make(OPAQUE, 2, planar=True, t338=2), COLOURS) <= 1


@pytest.mark.parametrize("order", "<>")
def test_planes_of_fewer_bits(order: str) -> None:
    assert differs(tiff(WIDE >> 4, 2, order, planar=True), COLOURS) <= 1
    with pytest.raises(ImageError, match="nearly black; save it with 8 bits"):
        load(io.BytesIO(tiff(WIDE >> 4, 2, order, planar=True, packed=True)), 32, 32)


@pytest.mark.parametrize(
    ("samples", "photometric", "tags", "reason"),
    [
        (WIDE[..., :1] >> 1, 1, {"t339": 2}, "signed pixels, .* save it with 8 bits"),
        (INK, 5, {"planar": True}, "CMYK of 16 bits in separate planes; save it"),
        (WITH_ALPHA, 1, {"t338": 2}, "a TIFF that is .* of an unusual kind; save it again, as RGB of 8 bits"),
        (WIDE, 8, {}, "save it again, as RGB"),
        (WIDE >> 1, 2, {"t339": (2, 2, 2)}, "save it again, as RGB"),
        (WIDE[..., :1], 0, {"order": ">"}, "save it again, as RGB"),
    ],
    ids=["signed", "planes of ink", "grey and alpha", "lab", "signed rgb", "white is zero, big-endian"],
)
def test_what_cannot_be_read_says_what_to_do(
    samples: np.ndarray, photometric: int, tags: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ImageError, match=reason):
        load(io.BytesIO(tiff(samples, photometric, **tags)), 32, 32)


def test_8_bits_that_are_said_to_be_signed_are_not() -> None:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[339] = 2
    file = io.BytesIO()
    Image.new("L", (8, 8), 200).save(file, "TIFF", tiffinfo=directory)
    assert differs(file.getvalue(), np.full((32, 32, 3), 200)) == 0


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("colour", [0, 2], ids=["grey", "rgb"])
def test_a_transparent_colour_of_16_bits_is_exactly_that_colour(colour: int, bits: int) -> None:
    samples = (WIDE if colour else WIDE[..., :1]) >> 16 - bits
    expected = (COLOURS if colour else COLOURS[..., :1]).copy()
    samples[9, 10] = samples[9, 9] + 1
    expected[9, 10] = expected[9, 9]
    expected[(samples == samples[9, 9]).all(-1)] = 255
    assert differs(png(samples, colour, tuple(map(int, samples[9, 9]))), expected) <= 1


@pytest.mark.parametrize(("depth", "step"), [(1, 255), (2, 85), (4, 17), (8, 1)])
def test_a_transparent_grey_of_few_bits(depth: int, step: int) -> None:
    samples = (ACROSS % 2).astype(np.uint16)[..., None]
    assert differs(png(samples, 0, (0,), depth), np.where(samples, step, 255)) == 0
    assert differs(png(samples, 0, (1,), depth), np.where(samples, 255, 0)) == 0


def test_a_colour_map_of_8_bits() -> None:
    file = io.BytesIO()
    picture = Image.new("P", (32, 32), 1)
    picture.putpalette([0, 0, 0, 200, 100, 50])
    picture.save(file, "TIFF")
    content = file.getvalue()
    with Image.open(io.BytesIO(content)) as opened:
        wide = np.array(opened.tag_v2[320], "<u2")  # type: ignore[attr-defined]
    narrow = content.replace(wide.tobytes(), (wide >> 8).astype("<u2").tobytes())
    for each in (content, narrow):
        assert differs(each, np.full((32, 32, 3), (200, 100, 50))) == 0


def test_what_has_to_be_decoded_twice_takes_as_much_memory() -> None:
    dark = png(np.tile(WIDE >> 4, (8, 8, 1)), 2)
    assert load(io.BytesIO(dark), 32, 32, memory=256 * 256 * 20 + 1).shape == (32, 32, 3)
    with pytest.raises(ImageError, match="too large"):
        load(io.BytesIO(dark), 32, 32, memory=256 * 256 * 20 - 1)
