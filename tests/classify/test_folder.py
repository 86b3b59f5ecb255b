from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cifar_edge import EdgeModel, classify_folder
from cifar_edge.benchmarks.studies.photos import exif_with
from cifar_edge.errors import ModelError, UsageError
from cifar_edge.photos import decode
from tests.conftest import PHOTOS
from tests.system.test_opening import CHANGES


def test_rows_are_in_the_order_of_paths_whatever_the_workers(model: EdgeModel) -> None:
    one, four = (list(classify_folder(PHOTOS, model, workers)) for workers in (1, 4))
    assert [replace(row, milliseconds=0) for row in one] == [replace(row, milliseconds=0) for row in four]
    paths = [row.path for row in one]
    assert paths == sorted(paths)
    assert len(paths) == len([path for path in PHOTOS.glob("*/*") if path.suffix in (".jpg", ".png")])
    assert all(row.label in model.labels and 0 < row.confidence <= 1 and not row.error for row in one)
    assert all(row.milliseconds > 0 and row.model == "cnn-int8.tflite" for row in one)


def test_a_model_s_path_and_several_places_will_do(run: Path) -> None:
    rows = list(classify_folder([PHOTOS / "cat", PHOTOS / "bird" / "heron.jpg"], run / "cnn-float32.tflite"))
    assert [Path(row.path).name for row in rows] == [
        "heron.jpg",
        "chelsea.jpg",
        "kitten_fence.jpg",
        "kitten_playing.jpg",
    ]


def test_the_most_probable_classes(model: EdgeModel) -> None:
    (row,) = classify_folder(PHOTOS / "cat" / "chelsea.jpg", model, top_k=10)
    assert row.top[0] == (row.label, row.confidence)
    assert {label for label, _ in row.top} == set(model.labels)
    probabilities = [probability for _, probability in row.top]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=0.05)
    (best,) = classify_folder(PHOTOS / "cat" / "chelsea.jpg", model)
    assert best.top == row.top[:1]


def test_an_uncertain_label_is_unknown(model: EdgeModel) -> None:
    certain = list(classify_folder(PHOTOS, model))
    middle = sorted(row.confidence for row in certain)[len(certain) // 2]
    for row, before in zip(classify_folder(PHOTOS, model, min_confidence=middle), certain, strict=True):
        assert (row.label == "unknown") == (before.confidence < middle)
        assert (row.confidence, row.top) == (before.confidence, before.top)


def test_an_unreadable_file_is_a_row_with_its_reason(model: EdgeModel, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes((PHOTOS / "cat" / "chelsea.jpg").read_bytes())
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "c.png").symlink_to(tmp_path / "a.jpg")
    rows = list(classify_folder(tmp_path, model))
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert (rows[1].label, rows[1].confidence) == ("", None)
    assert "not an image" in rows[1].error


def test_a_folder_that_cannot_be_listed_is_a_row(
    model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "photo.png").write_bytes((PHOTOS / "frog" / "brown_frog.png").read_bytes())
    listing = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    rows = list(classify_folder(tmp_path, model))
    assert [row.error for row in rows] == ["a folder that cannot be listed", ""]


def test_nothing_to_classify_is_an_error(model: EdgeModel, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        next(classify_folder(tmp_path / "nowhere", model))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="no photos in there"):
        next(classify_folder(tmp_path, model))
    with pytest.raises(ModelError):
        next(classify_folder(PHOTOS, tmp_path / "notes.txt"))


def test_a_camera_s_thumbnail_counts_if_asked_for(model: EdgeModel, tmp_path: Path) -> None:
    """Of a grey photo with a picture of a ship for a thumbnail."""
    ship = tmp_path / "ship.jpg"
    with Image.open(PHOTOS / "ship" / "yacht.png") as opened:
        opened.convert("RGB").resize((160, 120)).save(ship)
    Image.new("RGB", (800, 600), "grey").save(tmp_path / "grey.jpg", exif=exif_with(ship.read_bytes()))
    told = {
        (path.stem, thumbnails): next(classify_folder(path, model, exif_thumbnails=thumbnails, top_k=10)).top
        for path in (ship, tmp_path / "grey.jpg")
        for thumbnails in (False, True)
    }
    assert told["grey", True] == told["ship", False] == told["ship", True]
    assert told["grey", False] != told["ship", False]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_photo_that_is_replaced_while_its_row_waits_is_not_sorted(
    change: Callable[[Path], None], model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: str, **options: Any) -> Any:
        pixels = really(path, **options)
        if Path(path).name == "b.png":
            change(Path(path))
        return pixels

    (tmp_path / "photos").mkdir()
    for name in "abc":
        shutil.copy(PHOTOS / "ship" / "yacht.png", tmp_path / "photos" / f"{name}.png")
    really = decode.load
    monkeypatch.setattr(decode, "load", load)
    rows = classify_folder(tmp_path / "photos", model, 1, sort_into=tmp_path / "sorted")
    assert [row.error.partition(":")[0] for row in rows] == ["", "could not be copied", ""]
    assert sorted(path.name for path in (tmp_path / "sorted").glob("*/*")) == ["a.png", "c.png"]
