from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from cifar_edge.errors import ImageError
from cifar_edge.photos.decode import load
from tests.conftest import PHOTOS
from tests.photos.hostile import segment

with Image.open(PHOTOS / "bird" / "kingfisher.jpg") as photo:
    PICTURE = photo.convert("RGB").resize((160, 120))


def saved(kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    PICTURE.save(file, kind, **how)  # type: ignore[arg-type]
    return file.getvalue()


def chunk(kind: bytes, content: bytes, checksum: int | None = None) -> bytes:
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(*chunks: bytes) -> bytes:
    whole = saved("PNG")
    return whole[:33] + b"".join(chunks) + whole[33:]


def jpeg(*segments: bytes, **how: object) -> bytes:
    whole = saved("JPEG", **how)
    return whole[:2] + b"".join(segments) + whole[2:]


def tiff(tag: int, kind: int, value: object) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory.tagtype[tag] = kind
    directory[tag] = value
    return saved("TIFF", tiffinfo=directory)


MUCH = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("PNG", png(chunk(b"tEXt", b"a\0b", checksum=1))),
        ("PNG", png(chunk(b"eXIf", b"abc", checksum=1))),
        ("PNG", png(chunk(b"zTXt", b"a\0\0" + MUCH))),
        ("PNG", png(chunk(b"iTXt", b"a\0\1\0\0\0" + MUCH))),
        ("PNG", png(chunk(b"iCCP", b"a\0\0" + MUCH))),
        ("PNG", png(chunk(b"pHYs", b"a"), chunk(b"gAMA", b"a"), chunk(b"cHRM", b"a"), chunk(b"sRGB", b""))),
        ("JPEG", jpeg(segment(0xE2, b"ICC_PROFILE\0"))),
        ("JPEG", jpeg(segment(0xE0, b"JFIF\0"))),
        ("JPEG", jpeg(segment(0xEE, b"Adobe"))),
        ("JPEG", saved("JPEG")[:-1]),
        ("JPEG", saved("JPEG")[:-2]),
        ("PNG", tiff(700, 4, 5)),
        ("PNG", tiff(700, 2, "text")),
        ("PNG", tiff(700, 5, 1.5)),
    ],
    ids=itertools.count(),
)
def test_what_is_wrong_beside_the_pixels_does_not_cost_the_photo(kind: str, content: bytes) -> None:
    assert np.array_equal(load(io.BytesIO(content), 32, 32), load(io.BytesIO(saved(kind)), 32, 32))


def test_a_progressive_jpeg_may_lack_its_end_too() -> None:
    whole = saved("JPEG", progressive=True)
    assert np.array_equal(load(io.BytesIO(whole[:-2]), 32, 32), load(io.BytesIO(whole), 32, 32))


def test_the_way_up_is_kept() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = PICTURE.transpose(Image.Transpose.ROTATE_270)
    bad = chunk(b"tEXt", b"a\0b", checksum=1)
    whole = saved("PNG", exif=exif)
    for content in (whole[:33] + bad + whole[33:], jpeg(segment(0xEE, b"Adobe"), exif=exif, quality=98)):
        assert np.abs(load(io.BytesIO(content), 32, 32) - load_of(upright)).mean() < 6


def load_of(picture: Image.Image) -> np.ndarray:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return load(file, 32, 32).astype(float)


@pytest.mark.parametrize("missing", [40, 100, 1_000, 3_000])
@pytest.mark.parametrize("how", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_what_is_cut_off_in_the_pixels_stays_an_error(how: dict[str, object], missing: int) -> None:
    with pytest.raises(ImageError, match="truncated"):
        load(io.BytesIO(saved("JPEG", quality=95, **how)[:-missing]), 32, 32)


def test_a_png_whose_pixels_are_damaged_stays_an_error() -> None:
    damaged = bytearray(saved("PNG"))
    damaged[len(damaged) // 2] ^= 1
    with pytest.raises(ImageError):
        load(io.BytesIO(bytes(damaged)), 32, 32)
