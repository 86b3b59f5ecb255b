"""The models that ship, on real pixels."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from cifar_edge import EdgeModel, classify_folder
from cifar_edge.benchmarks.measures.corruptions import corrupt
from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.tflite.cifar10 import predict_cifar10
from cifar_edge.tflite.names import MODELS
from tests.conftest import PHOTOS, Outcome

NAMES = ("nano", "small")
LEAST = {"nano": (0.905, 0.86), "small": (0.93, 0.905)}
"""Top-1 on the embedded test images: clean, and of some corruptions."""


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_good_as_its_page_says_also_in_noise(name: str, sample: Cifar10) -> None:
    clean, corrupted = LEAST[name]
    model = EdgeModel(name)
    assert (predict_cifar10(model, sample.test.images).argmax(axis=1) == sample.test.labels).mean() > clean
    images, labels = sample.test.images[:250], sample.test.labels[:250]
    families = ("gaussian_noise", "motion_blur", "fog", "jpeg_compression")
    right = [predict_cifar10(model, corrupt(images, family, 3)).argmax(axis=1) == labels for family in families]
    assert np.mean(right) > corrupted


@pytest.mark.parametrize("name", NAMES)
def test_int8_says_what_float32_says(name: str, sample: Cifar10) -> None:
    images = sample.test.images
    answers = [EdgeModel(f"{name}-{form}").predict(images).argmax(axis=1) for form in ("int8", "float32")]
    assert (answers[0] == answers[1]).mean() > 0.97


@pytest.mark.parametrize("name", NAMES)
def test_its_card_says_where_it_comes_from(name: str) -> None:
    for form in ("int8", "float32"):
        card = EdgeModel(f"{name}-{form}").card
        assert card is not None
        assert (card.name, card.format, card.labels, card.licence) == (name, form, CLASSES, "MIT")
        assert card.test_images == 10_000


def test_most_photos_are_recognized() -> None:
    rows = list(classify_folder(PHOTOS, "small"))
    assert sum(row.label in row.path for row in rows) >= 22


def test_they_are_listed_with_the_figures_of_their_page(cifar_edge: Callable[..., Outcome]) -> None:
    listed = cifar_edge("models")
    assert listed.code == 0
    records = {model["name"]: model for model in json.loads((MODELS / "bench.json").read_text())["models"]}
    for name in NAMES:
        accuracy = records[f"models/{name}-int8"]["evaluation"]["accuracy"]
        (line,) = (line for line in listed.out.splitlines() if line.split()[:1] == [f"{name}-int8"])
        assert f"{accuracy:.2%}" in line
        card = EdgeModel(name).card
        assert card is not None
        assert card.accuracy == pytest.approx(accuracy)


def test_together_they_are_small() -> None:
    assert sum(path.stat().st_size for path in MODELS.glob("*.tflite")) < 12_000_000
