from __future__ import annotations

import numpy as np
from PIL import Image

from cifar_edge.benchmarks.studies.photos import area_average, camera_jpeg
from tests.conftest import PHOTOS


def test_the_camera_s_jpeg_is_like_one() -> None:
    content = camera_jpeg(Image.open(PHOTOS / "bird" / "heron.jpg"), (640, 480), seed=0)
    assert content.startswith(b"\xff\xd8")
    assert b"\xff\xc0" in content  # baseline
    assert 50_000 < len(content) < 200_000


def test_the_exact_average_is_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    average = area_average(Image.fromarray(pixels), 4, 6)
    tripled = pixels.repeat(4, 0).repeat(2, 1)  # in which every area has whole pixels: 24 rows, 18 columns
    assert np.allclose(average, tripled.reshape(4, 6, 6, 3, 3).mean((1, 3)), atol=1e-3)
