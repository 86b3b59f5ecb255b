from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifar_edge.data import Cifar10
from cifar_edge.errors import UsageError
from cifar_edge.model import EdgeModel
from cifar_edge.training.loop import fit_epoch
from cifar_edge.training.recipe import recipe_for
from cifar_edge.training.teacher import Teacher


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


def test_a_teacher_says_of_every_image_what_its_model_says(run: Path, sample: Cifar10) -> None:
    images, file = sample.test.images[:101], run / "cnn-int8.tflite"
    assert np.array_equal(Teacher(str(file))(images), EdgeModel(file).predict(images))


def test_half_of_what_is_learned_are_the_teacher_s_probabilities_of_the_augmented_images(
    run: Path, sample: Cifar10
) -> None:
    pupil, teacher = Pupil(), Teacher(str(run / "cnn-int8.tflite"))
    recipe = recipe_for("cnn", augment="robust", label_smoothing=0.1)
    fit_epoch(pupil, recipe, sample.test, 0, teacher)
    labels = 2 * np.array(pupil.targets) - teacher(np.array(pupil.images))
    assert np.allclose(np.sort(labels, axis=1), [0.01] * 9 + [0.91], atol=1e-6)
    assert np.array_equal(np.bincount(labels.argmax(axis=1)), np.bincount(sample.test.labels))


def test_a_teacher_of_other_things_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such model file"):
        Teacher(str(tmp_path / "nobody.tflite"))
