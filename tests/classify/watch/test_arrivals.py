from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.classify.watch import watch
from tests.classify.watch.conftest import KINGFISHER, KITTEN
from tests.classify.watch.test_watch import watching


@pytest.mark.usefixtures("only_told")
def test_a_folder_that_is_replaced_is_watched_on(photos: Path, model: EdgeModel) -> None:
    with watching(photos, model) as names:
        names.wait(1)
        shutil.rmtree(photos)
        photos.mkdir()  # likely with the same inode
        shutil.copy(KITTEN, photos / "found.jpg")
        names.wait(2)
        shutil.copy(KITTEN, photos / "told.jpg")
        names.wait(3)
        photos.rename(photos.with_name("pulled"))
        time.sleep(2 * watch.TICK)  # nothing is there
        photos.mkdir()
        shutil.copy(KINGFISHER, photos / "plugged.jpg")
        names.wait(4)
    assert list(names) == ["first.png", "found.jpg", "told.jpg", "plugged.jpg"]
