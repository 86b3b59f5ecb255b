from __future__ import annotations

from pathlib import Path

from cifar_edge.benchmarks.latency import measure
from cifar_edge.model import EdgeModel


def test_every_model_has_its_figures(run: Path) -> None:
    models = [EdgeModel(run / f"cnn-{name}.tflite") for name in ("float32", "int8")]
    for latency in measure(models, rounds=3, warm_up=1, burst=5):
        assert 1 < latency.median <= latency.p95 < 1e6
