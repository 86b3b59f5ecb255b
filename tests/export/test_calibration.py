from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cifar_edge.data import Cifar10, hold_out
from cifar_edge.errors import UsageError
from cifar_edge.export import calibration
from tests.conftest import PHOTOS
from tests.export.conftest import Command


def test_calibration_images_are_balanced_and_never_held_out(sample: Cifar10) -> None:
    learn, _ = hold_out(sample.train)
    labels = {image.tobytes(): label for image, label in zip(learn.images, learn.labels, strict=True)}
    first, other = (calibration.from_training_set(sample.train, 200, seed).images for seed in (0, 1))
    assert np.bincount([labels[image.tobytes()] for image in first]).tolist() == [20] * 10
    assert not np.array_equal(first, other)
    assert np.array_equal(first, calibration.from_training_set(sample.train, 200, 0).images)


def test_calibration_with_photos(copy: Path, tmp_path: Path, cifar_edge: Command) -> None:
    photos, others = (calibration.from_folder(PHOTOS / "bird", (20, 28), 3, seed).images for seed in (0, 1))
    assert (photos.shape, photos.dtype) == ((3, 20, 28, 3), np.uint8)
    assert not np.array_equal(photos, others)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no photos in there"):
        calibration.from_folder(tmp_path / "empty", (20, 28))
    arguments = ("--formats", "int8", "--calibration", PHOTOS / "bird", "--seed", 3, "--max-drop", 100)
    outcome = cifar_edge("export", copy, "--data", "sample", *arguments)
    assert outcome.code == 0
    record = json.loads((copy.parent / "export.json").read_text())["calibration"]
    assert (record["images"], record["unreadable"], record["source"], record["seed"]) == (4, 0, str(PHOTOS / "bird"), 3)
    assert not (copy.parent / "little-float32.tflite").exists()
