from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cifar_edge.classify.watch import arrivals
from tests.conftest import PHOTOS

KITTEN, KINGFISHER = PHOTOS / "cat" / "kitten_playing.jpg", PHOTOS / "bird" / "kingfisher.jpg"
PATIENCE = 30  # seconds; a busy computer may need them


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(KITTEN) as photo:
        photo.resize((32, 32)).save(folder / "first.png")
    return folder


@pytest.fixture
def only_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not told of a new photo will not find it."""
    monkeypatch.setattr(arrivals, "POLL", 10 * PATIENCE)
    monkeypatch.setattr(arrivals, "SEARCH", 10 * PATIENCE)
