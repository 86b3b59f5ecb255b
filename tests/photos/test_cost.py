from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.errors import ImageError
from cifar_edge.photos.decode import SlowPhotoError, load
from tests.photos import hostile


@pytest.mark.parametrize(
    ("photo", "megabytes"),
    [
        (hostile.jpeg_of_scans(20_000, 20_000), 2_425),  # of which 2,400 are coefficients
        (hostile.jpeg_of_scans(8_000, 6_000), 291),
        (hostile.tiff_of_one_tile(32_768, 65_520), 2_147),
        (hostile.tiff_of_one_tile(16_384, 16_384), 268),
    ],
    ids=["three scans, 400 megapixels", "three scans, 48 megapixels", "one tile", "a smaller tile"],
)
def test_a_small_file_that_takes_much_memory_is_refused(photo: bytes, megabytes: int) -> None:
    with pytest.raises(ImageError, match=f"too large: to decode it takes {megabytes:,} MB"):
        load(io.BytesIO(photo), 32, 32, memory=megabytes * 1e6 - 1e6)


@pytest.mark.parametrize(
    "between",
    [b"", hostile.segment(0xFE, b"a\xff\xd9b"), b"\xff\xd0" * 400, hostile.segment(0xC4, b"") * 12, b"\xff" * 600],
    ids=["plain", "an end in a comment", "restarts", "tables", "padding"],
)
def test_a_jpeg_of_more_scans_than_encoders_make_is_refused(between: bytes) -> None:
    with pytest.raises(ImageError, match=r"of more than 100 scans, .* save it again"):
        load(io.BytesIO(hostile.jpeg_of_scans(100, 100, 100, between)), 32, 32)


@pytest.mark.parametrize(
    "photo",
    [
        hostile.jpeg_of_scans(4_000, 4_000, 30),
        hostile.tiff_of_strips(200_000),
        hostile.run_length_bmp(4_000),
        hostile.png_of_chunks(100_000),
        hostile.png_of_chunks(1, bytes(20_000_000)),
        hostile.jpeg_of_segments(50_000),
    ],
    ids=["scans", "strips", "runs", "chunks", "one large chunk", "segments"],
)
def test_what_may_take_long_is_not_begun(photo: bytes) -> None:
    with pytest.raises(SlowPhotoError):
        load(io.BytesIO(photo), 32, 32, work=1e8)


@pytest.mark.parametrize(
    "how", [{}, {"progressive": True}, {"subsampling": 0}], ids=["baseline", "progressive", "4:4:4"]
)
def test_photos_of_cameras_are_quick(how: dict[str, object], tmp_path: Path) -> None:
    Image.effect_noise((4_000, 3_000), 50).convert("RGB").save(tmp_path / "photo.jpg", quality=90, **how)
    assert load(tmp_path / "photo.jpg", 32, 32, work=1.8e8).shape == (32, 32, 3)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_scan_of_all_components_is_one_scan_whatever_their_number(mode: str) -> None:
    content = io.BytesIO()
    Image.new(mode, (400, 400)).save(content, "JPEG")
    assert np.ptp(load(content, 32, 32, work=400 * 400)) == 0
