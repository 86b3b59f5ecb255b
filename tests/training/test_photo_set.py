from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.data import Cifar10
from cifar_edge.errors import DataError, UsageError
from cifar_edge.photos.decode import load
from cifar_edge.training.photo_set import Photos, Survey
from tests.own_photos import write_class_folders


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path, sample: Cifar10) -> Path:
    return write_class_folders(tmp_path / "photos", sample.test, {"cat": 12, "ship": 8, "none": 6})


def test_a_folder_becomes_a_training_set(folder: Path) -> None:
    photos = Photos.of(folder, "crop", sizes=(32, 36))
    assert photos.classes == ("cat", "ship", "none")
    assert photos.unknown == 2
    assert len(photos) == 26
    assert np.bincount(photos.labels).tolist() == [12, 8, 6]
    assert photos.folds is not None
    seen = []
    for pixels, labels in photos.batches(np.arange(26), 32, batch=10):
        assert pixels.shape[1:] == (32, 32, 3)
        assert pixels.dtype == np.uint8
        seen += [*zip(pixels, labels, strict=True)]
    for path, label, (pixels, given) in zip(photos.paths, photos.labels, seen, strict=True):
        np.testing.assert_array_equal(pixels, load(path, 32, 32, "crop"))
        assert label == given == photos.classes.index(Path(path).parent.name)
    assert photos.pixels(36)[[0]].shape == (1, 36, 36, 3)


def test_each_photo_is_held_out_once_where_classes_are_small(folder: Path) -> None:
    photos = Photos.of(folder, seed=3)
    held_out = np.concatenate([held for _, held in photos.rounds()])
    assert sorted(held_out.tolist()) == [*range(26)]
    for learned, held in photos.rounds():
        assert not set(learned) & set(held)
        assert set(photos.labels[learned]) == {0, 1, 2}


def test_large_classes_have_three_sides_that_added_photos_leave_alone(tmp_path: Path, sample: Cifar10) -> None:
    folder = write_class_folders(tmp_path / "photos", sample.test, {"cat": 55, "ship": 55, "none": 5})
    photos = Photos.of(folder)
    assert photos.folds is None
    (learned, held_out), test = photos.rounds()[0], photos.on("test")
    assert sorted([*learned, *held_out, *test]) == [*range(115)]
    assert {*photos.labels[held_out]} >= {0, 1} <= {*photos.labels[test]}
    before = dict(zip(photos.paths, photos.sides, strict=True))
    write_class_folders(folder, sample.test, {"cat": 15}, skip=55)
    after = Photos.of(folder)
    assert {path: side for path, side in zip(after.paths, after.sides, strict=True) if path in before} == before
    assert after.digest != photos.digest == Photos.of(folder, seed=0).digest or len(after) == 130


def test_the_digest_knows_names_labels_contents_and_seed(folder: Path, tmp_path: Path, sample: Cifar10) -> None:
    digests = {Photos.of(folder).digest}
    assert {Photos.of(folder, "pad", sizes=(8,)).digest} == digests
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    assert {Photos.of(elsewhere).digest} == digests
    changed = folder / "cat" / "000.jpg"
    changed.rename(folder / "ship" / "moved.jpg")
    digests.add(Photos.of(folder).digest)
    shutil.copy(folder / "ship" / "moved.jpg", folder / "cat" / "001.jpg")
    digests.add(Photos.of(folder).digest)
    assert len(digests) == 3


def test_unreadable_files_are_skipped_and_named(folder: Path) -> None:
    (folder / "cat" / "bad.jpg").write_bytes(b"no photo")
    photos = Photos.of(folder)
    assert len(photos) == 26
    (path,) = photos.survey.unreadable
    assert path.endswith("bad.jpg")
    assert any("bad.jpg: cannot be read, skipped: not an image" in line for line in photos.survey.warnings())


def test_the_same_photo_in_two_classes_is_reported(folder: Path) -> None:
    with Image.open(folder / "cat" / "003.jpg") as photo:
        photo.resize((96, 64)).save(folder / "ship" / "again.jpg", quality=70)
    photos = Photos.of(folder)
    (line,) = photos.survey.contradictions()
    assert "two classes: cat/003.jpg, ship/again.jpg" in line
    assert photos.folds is not None
    pair = [photos.paths.index(str(folder / name)) for name in ("cat/003.jpg", "ship/again.jpg")]
    assert len(set(photos.folds[pair])) == 1


def test_the_same_photo_in_train_and_test_is_reported_and_not_learned(tmp_path: Path, sample: Cifar10) -> None:
    counts = {"train/cat": 8, "train/ship": 8}
    folder = write_class_folders(tmp_path / "photos", sample.test, counts)
    write_class_folders(folder, sample.test, {"test/cat": 3, "test/ship": 3}, skip=20)
    shutil.copy(folder / "train" / "cat" / "002.jpg", folder / "test" / "cat" / "copy.jpg")
    photos = Photos.of(folder)
    assert any("two sides of the split" in line and "test/cat/copy.jpg" in line for line in photos.survey.warnings())
    assert any("left out of the training" in line for line in photos.survey.warnings())
    assert len(photos.on("test")) == 7
    (left_out,) = photos.on("left out")
    assert photos.paths[left_out] == str(folder / "train" / "cat" / "002.jpg")
    assert left_out not in np.concatenate([np.concatenate(pair) for pair in photos.rounds()])


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"cat": 4, "ship": 9}, "class cat has 4 readable photos to learn from; add some until there are 5"),
        ({"cat": 9, "ship": 0}, "class ship has 0 readable photos"),
        ({"cat": 9, "ship": 9, "none": 2}, "class none has 2"),
        ({"train/cat": 9, "train/ship": 3, "test/ship": 9}, "class ship has 3"),
    ],
)
def test_too_few_photos_are_one_clear_line(
    tmp_path: Path, sample: Cifar10, counts: dict[str, int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Photos.of(write_class_folders(tmp_path / "photos", sample.test, counts))


@pytest.mark.parametrize("content", [None, b"no photo"])
def test_no_readable_photo_is_one_clear_line(tmp_path: Path, content: bytes | None) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        if content:
            (tmp_path / "photos" / name / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"none of \d photos can be read"):
        Photos.of(tmp_path / "photos")


def test_an_unknown_fit_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="fit 'squash'"):
        Photos.of(folder, "squash")


@pytest.mark.parametrize(
    ("counts", "warnings"),
    [
        ({"cat": 31, "ship": 31}, []),
        ({"cat": 29, "ship": 31}, [r"few photos: cat (29);"]),
        ({"cat": 95, "ship": 31}, ["cat has 95 photos, ship only 31"]),
        ({"cat": 90, "ship": 30}, []),
        ({"cat": 90, "ship": 30, "none": 10}, ["few photos: none (10)"]),
    ],
)
def test_few_and_unequal_photos_are_warned_of(
    tmp_path: Path, sample: Cifar10, counts: dict[str, int], warnings: list[str]
) -> None:
    lines = Survey.of(write_class_folders(tmp_path / "photos", sample.test, counts)).warnings()
    assert len(lines) == len(warnings), lines
    assert all(warning in line for warning, line in zip(warnings, lines, strict=True))
