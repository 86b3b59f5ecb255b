from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifar_edge.data import CLASSES, Cifar10, Split
from cifar_edge.errors import ModelError, UsageError
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.loop import fit_epoch
from cifar_edge.training.recipe import recipe_for
from cifar_edge.training.teacher import Teacher
from tests.tflite.test_card import rewrite


class Pupil:
    """Keeps what it is to learn."""

    layers: tuple[()] = ()

    def __init__(self) -> None:
        self.images: list[Any] = []
        self.targets: list[Any] = []

    def train_on_batch(self, images: Any, targets: Any, return_dict: bool) -> dict[str, float]:
        self.images.extend(images)
        self.targets.extend(targets)
        return {"loss": 0.0, "accuracy": 0.0}


def test_a_teacher_says_of_an_image_and_its_mirror_image_what_its_model_says_of_both(
    run: Path, sample: Cifar10
) -> None:
    images, file = sample.test.images[:101], run / "cnn-int8.tflite"
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    model, teacher = EdgeModel(file), Teacher(str(file))
    said = teacher(images)
    assert np.array_equal(said, teacher(mirrored))
    both = model.predict(images) + model.predict(mirrored)
    sharpened, mean = (values / values.sum(axis=1, keepdims=True) for values in (said**2, both))
    assert np.allclose(sharpened, mean, atol=1e-5)


def test_what_is_learned_is_what_the_teacher_says_of_the_augmented_images(run: Path, sample: Cifar10) -> None:
    pupil, teacher = Pupil(), Teacher(str(run / "cnn-int8.tflite"))
    fit_epoch(pupil, recipe_for("cnn", augment="standard"), sample.test, 0, teacher)
    assert np.allclose(pupil.targets, teacher(np.array(pupil.images)), atol=1e-6)


def test_damage_is_new_each_time_and_the_teacher_does_not_see_it(run: Path, sample: Cifar10, tmp_path: Path) -> None:
    recipe = recipe_for("cnn", augment="robust", cycle=1)
    teacher = Teacher(str(run / "cnn-float32.tflite"), tmp_path)  # int8 may say the same of a slightly damaged image
    first, again = pupils = [Pupil(), Pupil()]
    for epoch, pupil in enumerate(pupils):
        fit_epoch(pupil, recipe, sample.test, epoch, teacher)
        asked = teacher(np.array(pupil.images))
        undamaged = np.isclose(pupil.targets, asked, atol=1e-6).all(axis=1)
        assert 0.75 < undamaged.mean() < 0.85
    assert sorted(map(bytes, first.targets)) == sorted(map(bytes, again.targets))
    shown = {view.tobytes() for image in first.images for view in (image, image[:, ::-1])}
    assert 0.6 < np.mean([image.tobytes() in shown for image in again.images]) < 0.8


def test_after_a_cycle_the_same_images_come_again_in_another_order_and_mirrored(
    run: Path, sample: Cifar10, tmp_path: Path
) -> None:
    recipe = recipe_for("cnn", augment="standard", cycle=2)
    learn = Split(sample.test.images[:100], sample.test.labels[:100])
    teacher = Teacher(str(run / "cnn-int8.tflite"), tmp_path)
    first, other, again = pupils = [Pupil(), Pupil(), Pupil()]
    for epoch, pupil in enumerate(pupils):
        fit_epoch(pupil, recipe, learn, epoch, teacher)

    straight = {image.tobytes(): place for place, image in enumerate(first.images)}
    mirrored = {image[:, ::-1].tobytes(): place for place, image in enumerate(first.images)}
    places = [(straight | mirrored)[image.tobytes()] for image in again.images]
    assert sorted(places) == list(range(100))
    assert places != sorted(places)
    assert 25 < sum(image.tobytes() in mirrored for image in again.images) < 75
    assert np.array_equal(np.array(first.targets)[places], again.targets)
    assert sum(image.tobytes() in straight for image in other.images) < 10


def test_images_that_come_again_are_not_asked_about_again(run: Path, sample: Cifar10, tmp_path: Path) -> None:
    images = sample.test.images[:20]
    said = Teacher(str(run / "cnn-int8.tflite"), tmp_path)(images)
    other = str(run / "cnn-float32.tflite")
    asked, would_say = Teacher(other, tmp_path), Teacher(other)
    assert not np.array_equal(would_say(images), said)
    assert np.array_equal(asked(images), said)
    assert np.array_equal(asked(images[::-1]), would_say(images[::-1]))
    for kept in tmp_path.iterdir():
        kept.write_bytes(b"damaged")
    assert np.array_equal(asked(images), would_say(images))


def test_without_a_teacher_no_images_come_again(sample: Cifar10) -> None:
    learn = Split(sample.test.images[:100], sample.test.labels[:100])
    first, second = pupils = [Pupil(), Pupil()]
    for epoch, pupil in enumerate(pupils):
        fit_epoch(pupil, recipe_for("cnn", augment="robust", cycle=1), learn, epoch)
    seen = {view.tobytes() for image in first.images for view in (image, image[:, ::-1])}
    assert sum(image.tobytes() in seen for image in second.images) < 10


def test_a_teacher_of_other_things_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model file"):
        Teacher(str(tmp_path / "nobody.tflite"))
    other = rewrite(run / "cnn-int8.tflite", tmp_path / "cows.tflite", "\n".join(("cow", *CLASSES[1:])), sealed=True)
    with pytest.raises(ModelError, match=r"cows\.tflite"):
        Teacher(str(other))
