from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from cifar_edge.data import Cifar10
from tests.cli.conftest import Command
from tests.own_photos import write_class_folders


def test_evaluate_agrees_for_run_keras_and_tflite(run: Path, cifar_edge: Command) -> None:
    models = (run, run / "model.keras", run / "cnn-float32.tflite")
    texts = [cifar_edge("evaluate", model, "--data", "sample").out for model in models]
    assert len({text.split(",")[0] for text in texts}) == 1
    assert "on 1,000 images" in texts[0]
    assert "automobile" in texts[0]
    assert "on 500 images" in cifar_edge("evaluate", run, "--data", "sample", "--validation").out


@pytest.fixture
def photos(tmp_path: Path, sample: Cifar10) -> Path:
    folder = write_class_folders(tmp_path / "photos", sample.test, {"cat": 5, "ship": 6, "none": 4, "narwhal": 2})
    (folder / "cat" / "broken.jpg").write_bytes(b"no photo")
    return folder


def test_a_model_is_measured_on_class_folders(photos: Path, cifar_edge: Command) -> None:
    outcome = cifar_edge("evaluate", "nano", photos)
    assert outcome.code == 0, outcome.err
    assert "on 11 photos (95 % interval " in outcome.out
    assert "of 4 photos of none of the classes, 0 are called unknown" in outcome.out
    assert f"{photos}/cat/broken.jpg: cannot be read, left out" in outcome.err
    assert "narwhal: the model has no such class; its 2 photos are left out" in outcome.err
    assert "CIFAR" not in outcome.err


def test_where_photos_are_split_those_to_test_on_count(tmp_path: Path, sample: Cifar10, cifar_edge: Command) -> None:
    counts = {"train/cat": 5, "train/ship": 5, "test/cat": 3, "test/ship": 4}
    split = write_class_folders(tmp_path / "split", sample.test, counts)
    outcome = cifar_edge("evaluate", "nano", split)
    assert f"evaluating on the test photos of {split}" in outcome.err
    assert "on 7 photos" in outcome.out
    refused = cifar_edge("evaluate", "nano", split, "--validation")
    assert (refused.code, "has no held-out photos; leave --validation out" in refused.err) == (2, True)


def test_what_cannot_be_measured_is_said(run: Path, photos: Path, tmp_path: Path, cifar_edge: Command) -> None:
    network = cifar_edge("evaluate", run / "model.keras", photos)
    assert (network.code, "export it" in network.err) == (2, True)
    for name in ("a", "b"):
        (tmp_path / "odd" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40)).save(tmp_path / "odd" / name / "photo.png")
    other = cifar_edge("evaluate", "nano", tmp_path / "odd")
    assert (other.code, "no photo of a class of the model among 2 photos; the model knows airplane" in other.err) == (
        1,
        True,
    )
