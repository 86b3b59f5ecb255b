from __future__ import annotations

from pathlib import Path

from cifar_edge.benchmarks.studies.cluster import measure
from tests.conftest import PHOTOS


def test_a_process_of_its_own_is_measured(run: Path, tmp_path: Path) -> None:
    run_ = measure("one process", PHOTOS / "cat", run / "cnn-int8.tflite", tmp_path / "results")
    assert 0 < run_.first <= run_.seconds
    assert run_.rate > 0
    assert 20 < run_.driver < 2000
    assert (tmp_path / "results.parquet").exists()
