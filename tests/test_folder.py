from __future__ import annotations

import os
from pathlib import Path

import pytest

from cifar_edge import EdgeModel, classify_folder, folder
from cifar_edge.errors import ModelError, UsageError
from cifar_edge.folder import find

from .conftest import PHOTOS


@pytest.fixture(scope="module")
def model(run: Path) -> EdgeModel:
    return EdgeModel(run / "cnn-int8.tflite")


def test_rows_are_in_the_order_of_paths_whatever_the_workers(model: EdgeModel) -> None:
    one, four = (list(classify_folder(PHOTOS, model, workers)) for workers in (1, 4))
    assert one == four
    paths = [row.path for row in one]
    assert paths == sorted(paths)
    assert len(paths) == len([path for path in PHOTOS.glob("*/*") if path.suffix in (".jpg", ".png")])
    assert all(row.label in model.labels and 0 < row.confidence <= 1 and not row.error for row in one)


def test_a_model_s_path_and_several_places_will_do(run: Path) -> None:
    rows = list(classify_folder([PHOTOS / "cat", PHOTOS / "bird" / "heron.jpg"], run / "cnn-float32.tflite"))
    assert [Path(row.path).name for row in rows] == [
        "chelsea.jpg",
        "kitten_fence.jpg",
        "kitten_playing.jpg",
        "heron.jpg",
    ]


def test_an_unreadable_file_is_a_row_with_its_reason(model: EdgeModel, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes((PHOTOS / "cat" / "chelsea.jpg").read_bytes())
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "c.png").symlink_to(tmp_path / "a.jpg")
    rows = list(classify_folder(tmp_path, model))
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert (rows[1].label, rows[1].confidence) == ("", None)
    assert "not an image" in rows[1].error


def test_search(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/a/1.webp", "b/10.png", "notes.txt", "a.gif", ".hidden/x.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    found = [str(path.relative_to(tmp_path)) for path in find([tmp_path])]
    assert found == [".hidden/x.tiff", "a.gif", "b/10.png", "b/2.JPG", "b/a/1.webp"]
    # A file that is named is taken, whatever its suffix.
    assert list(find([tmp_path / "notes.txt"])) == [tmp_path / "notes.txt"]


def test_deep_folders(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
        folder.mkdir()
    (folder / "photo.jpg").touch()
    assert list(find([tmp_path])) == [folder / "photo.jpg"]


def test_a_folder_that_cannot_be_listed_is_a_row(
    model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "photo.png").write_bytes((PHOTOS / "frog" / "brown_frog.png").read_bytes())
    listing = os.scandir

    def refuse(path: Path) -> object:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(folder.os, "scandir", refuse)
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


def test_only_a_few_photos_are_read_ahead(model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = (PHOTOS / "ship" / "yacht.png").read_bytes()
    for number in range(300):
        (tmp_path / f"{number:03}.png").write_bytes(photo)
    started: list[Path] = []
    real = folder.images.load
    monkeypatch.setattr(folder.images, "load", lambda path, *size: (started.append(path), real(path, *size))[1])
    rows = classify_folder(tmp_path, model, workers=2)
    next(rows)
    assert len(started) <= 2 * folder.AHEAD + 1
    rows.close()
    assert len(started) <= 2 * folder.AHEAD + 1
