from __future__ import annotations

from pathlib import Path

from PIL import Image

from cifar_edge.benchmarks.studies.own_classes import choose, picture
from cifar_edge.data import Cifar10
from cifar_edge.photos.class_folders import list_class_folders
from tests.own_photos import write_class_folders


def test_some_training_photos_of_each_class_and_all_test_photos_are_chosen(sample: Cifar10, tmp_path: Path) -> None:
    counts = {"train/cat": 8, "train/ship": 9, "test/cat": 3, "test/ship": 4}
    photos = write_class_folders(tmp_path / "photos", sample.test, counts)
    for number, seed in enumerate((0, 0, 1)):
        choose(photos, 5, seed, tmp_path / str(number))
    listings = [list_class_folders(tmp_path / str(number)) for number in range(3)]
    assert [listings[0].sides.count(side) for side in ("train", "test")] == [10, 7]
    names = [{Path(path).name for path in listing.paths} for listing in listings]
    assert names[0] == names[1] != names[2]


def test_the_picture_shows_each_training(tmp_path: Path) -> None:
    picture({"lite0": {10: [0.8, 0.9], 20: [0.9, 0.95]}, "small": {10: [0.5], 20: [0.6]}}, tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").size == (840, 540)
