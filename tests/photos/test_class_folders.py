from __future__ import annotations

from pathlib import Path

from cifar_edge.photos.class_folders import class_of
from tests.conftest import PHOTOS


def test_a_photo_s_class_is_its_folder_s_name() -> None:
    assert {class_of(path) for path in PHOTOS.glob("*/*.jpg")} <= {folder.name for folder in PHOTOS.iterdir()}
    assert class_of("s3://bucket/cat/a.jpg") == "cat"
    assert class_of(Path("a.jpg")) == ""
