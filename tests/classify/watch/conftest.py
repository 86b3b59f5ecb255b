from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import PHOTOS

KITTEN, KINGFISHER = PHOTOS / "cat" / "kitten_playing.jpg", PHOTOS / "bird" / "kingfisher.jpg"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(KITTEN) as photo:
        photo.resize((32, 32)).save(folder / "first.png")
    return folder
