from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.photos.contact_sheet import COLUMNS, ROWS, write_contact_sheet
from cifar_edge.photos.decoded import File, Images
from cifar_edge.system.opening import Identity


@pytest.mark.parametrize("count", [0, 1, COLUMNS + 1, COLUMNS * ROWS + 5])
@pytest.mark.parametrize("title", ["cat", "\u72ac"])
def test_a_sheet_shows_photos_in_rows(tmp_path: Path, count: int, title: str) -> None:
    thumbnails = Images(np.full((count, 24, 24, 3), 9, np.uint8), np.arange(count))
    files = [File(Identity(0, 0, 0, 0), "", 40, 20, None)] * count
    write_contact_sheet(tmp_path / "sheet.png", title, thumbnails, files, range(count))
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    dark = (sheet[20:] == 9).all(axis=2).sum()
    assert dark == min(count, COLUMNS * ROWS) * 24 * 12  # in their own proportions
