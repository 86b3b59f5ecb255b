from __future__ import annotations

import json
from pathlib import Path

import pytest

from cifar_edge.benchmarks.measures import memory
from cifar_edge.data import Cifar10
from tests.cli.conftest import Command
from tests.conftest import PHOTOS
from tests.own_photos import write_class_folders


def test_bench_compares_models(run: Path, tmp_path: Path, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "REPEATS", 2)  # each is a process
    models = (run / "cnn-float32.tflite", run / "cnn-int8.tflite")
    record, pictures = tmp_path / "bench.json", tmp_path / "pictures"
    outcome = cifar_edge(
        *("bench", *models, "--data", "sample", "--threads", "2", "--rounds", "3", "--baseline", models[1]),
        *("--output", record, "--plot", pictures, "--folder", PHOTOS / "cat"),
    )
    assert outcome.code == 0
    for expected in (
        "2 threads",
        "cnn/cnn-float32",
        "cnn/cnn-int8",
        "of peak",
        "µs",
        "KB",
        "1,000 test images",
        "naive loop",
    ):
        assert expected in outcome.out
    assert (pictures / "accuracy-latency.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads(record.read_text())
    assert content["baseline"] == "cnn/cnn-int8"
    content["models"][1]["size"] /= 1000
    record.write_text(json.dumps(content))
    compared = cifar_edge(
        "bench", models[1], "--data", "sample", "--threads", "2", "--rounds", "3", "--compare", record, "-q"
    )
    assert compared.code == 4
    assert "cnn/cnn-int8, size, KB" in compared.err
    assert "warning: cnn/cnn-float32: no longer measured" in compared.err
    assert "changed beyond the noise" in compared.out


def test_accuracy_on_photos_of_your_own(tmp_path: Path, sample: Cifar10, cifar_edge: Command) -> None:
    photos = write_class_folders(tmp_path / "photos", sample.test, {"cat": 5, "ship": 6})
    file = tmp_path / "bench.json"
    outcome = cifar_edge("bench", "nano", "--data", photos, "--rounds", 1, "--output", file)
    assert outcome.code == 0, outcome.err
    assert "11 test images" in outcome.out
    (model,) = json.loads(file.read_text())["models"]
    confusion = dict(zip(model["classes"], model["evaluation"]["confusion"], strict=True))
    assert (sum(confusion["cat"]), sum(confusion["ship"]), sum(confusion["dog"])) == (5, 6, 0)
    refused = cifar_edge("bench", "nano", "--data", photos, "--noise")
    assert (refused.code, "leave it out with photos of your own" in refused.err) == (2, True)
