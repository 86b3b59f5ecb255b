from __future__ import annotations

import json
from pathlib import Path

import pytest

from cifar_edge.benchmarks.measures import memory
from tests.cli.conftest import Command
from tests.conftest import PHOTOS


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
