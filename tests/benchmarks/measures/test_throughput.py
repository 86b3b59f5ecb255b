from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge import EdgeModel
from cifar_edge.benchmarks.measures import throughput
from cifar_edge.benchmarks.studies import throughput as study
from cifar_edge.photos import decode
from tests.conftest import PHOTOS


@pytest.fixture(scope="module")
def model(run: Path) -> EdgeModel:
    return EdgeModel(run / "cnn-int8.tflite")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in ("bird", "frog"):
        shutil.copytree(PHOTOS / name, tmp_path / name)
    (tmp_path / "bird" / "damaged.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "bird" / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "bird" / "pipe.jpg")
    return tmp_path


def test_every_way_has_its_rate(photos: Path, model: EdgeModel) -> None:
    rates = throughput.measure(photos, model, rounds=1)
    assert {"classify", "decoder's limit", "naive loop"} <= rates.keys()
    assert all(0 < rate < 1e6 for rate in rates.values())


def test_every_stage_has_its_time(photos: Path, model: EdgeModel) -> None:
    stages = throughput.profile(photos, model)
    assert list(stages) == ["list", "read", "decode", "resize", "infer", "write"]
    assert all(seconds >= 0 for seconds in stages.values())


def test_the_naive_loop_says_much_the_same(model: EdgeModel, tmp_path: Path) -> None:
    study.make_small(tmp_path, count=50)
    paths = sorted(tmp_path.iterdir())
    pixels = np.stack([decode.load(path, model.height, model.width) for path in paths])
    probabilities = model.predict(pixels)
    told = list(throughput.naive_loop(paths, model.path))
    assert np.array_equal(probabilities[range(50), told], probabilities.max(1))  # int8 finds some classes equal


def test_what_is_too_large_is_passed_over(model: EdgeModel, tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    assert list(throughput.naive_loop([tmp_path / "bomb.png"], model.path)) == []
