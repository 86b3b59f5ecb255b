from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cifar_edge.data import Cifar10
from cifar_edge.training.photo_set import Photos
from cifar_edge.training.photo_views import Views, sizes_for
from cifar_edge.training.recipe import photo_recipe_for
from tests.own_photos import write_class_folders

RECIPE = photo_recipe_for("nano")


def views_of(folder: Path, sample: Cifar10, counts: dict[str, int]) -> tuple[Photos, Views]:
    photos = Photos.of(write_class_folders(folder / "photos", sample.test, counts), sizes=sizes_for(RECIPE))
    return photos, Views(photos, RECIPE)


@pytest.mark.parametrize(
    ("counts", "classes"),
    [({"cat": 6, "ship": 6}, ("cat", "ship", "unknown")), ({"cat": 6, "none": 6, "ship": 6}, ("cat", "ship", "none"))],
)
def test_other_things_have_a_class(
    tmp_path: Path, sample: Cifar10, counts: dict[str, int], classes: tuple[str, ...]
) -> None:
    photos, views = views_of(tmp_path, sample, counts)
    assert views.classes == classes
    assert views.unknown == views.known == 2
    assert (views.labels[: len(photos)] == photos.labels).all()
    assert set(views.labels[views.strange]) | set(views.labels[views.corners_of(np.arange(3))]) == {2}


def test_views_of_photos(tmp_path: Path, sample: Cifar10) -> None:
    photos, views = views_of(tmp_path, sample, {"cat": 6, "ship": 6})
    some = np.array([3, 0, 7])
    plain = photos.pixels(32)[some]
    np.testing.assert_array_equal(views.images(some), plain)
    np.testing.assert_array_equal(views.images(some, 1), plain[:, :, ::-1])
    np.testing.assert_array_equal(views.images(some, 5), views.images(some, 5))
    assert (views.images(some, 5) != views.images(some, 6)).any()
    mixed = np.array([0, views.strange[0], views.corners_of(np.array([4]))[0]])
    (batch, images), *others = views.batches([mixed, some], 0)
    assert batch is mixed
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images[0], photos.pixels(32)[[0]][0])
    assert len(others) == 1


def test_images_of_a_class_of_the_user_are_no_other_things(tmp_path: Path, sample: Cifar10) -> None:
    _, some = views_of(tmp_path, sample, {"cat": 6, "ship": 6})
    folder = write_class_folders(tmp_path / "more", sample.test, {"cat": 6, "deer": 6})
    (folder / "deer").rename(folder / "deer, bird, frog, truck, horse, ship, airplane, automobile or dog")
    fewer = Views(Photos.of(folder, sizes=sizes_for(RECIPE)), RECIPE)
    assert len(some.strange) == 400
    assert len(fewer.strange) == 0
