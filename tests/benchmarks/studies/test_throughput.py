from __future__ import annotations

from pathlib import Path

from cifar_edge.benchmarks.studies import throughput as study


def test_memory_and_the_first_row(run: Path, tmp_path: Path) -> None:
    study.make_tree(tmp_path / "tree", files=50, each=20)
    assert len(list((tmp_path / "tree").rglob("*.png"))) == 50
    first, peak = study.memory(tmp_path / "tree", run / "cnn-int8.tflite", tmp_path / "out.parquet")
    assert 0 < first < 60
    assert 10 < peak < 2000
