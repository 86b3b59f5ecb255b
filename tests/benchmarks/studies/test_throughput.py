from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.benchmarks.measures import throughput
from cifar_edge.benchmarks.studies import throughput as study
from cifar_edge.photos.decode import load
from cifar_edge.tflite.model import EdgeModel


@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_phones_photos_are_made_and_measured(suffix: str, run: Path, tmp_path: Path) -> None:
    study.make_phone(tmp_path, suffix, count=5, scenes=2, size=(128, 96))
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths] == [f"{number:03}.{suffix}" for number in range(5)]
    assert all(load(path, 32, 32).std() > 1 for path in paths)
    rates = throughput.measure(tmp_path, EdgeModel(run / "cnn-int8.tflite"), rounds=1)
    assert ("OpenCV, reduced" in rates) == (suffix == "avif")
    assert not {"Keras"} & rates.keys()


def test_memory_and_the_first_row(run: Path, tmp_path: Path) -> None:
    study.make_tree(tmp_path / "tree", files=50, each=20)
    assert len(list((tmp_path / "tree").rglob("*.png"))) == 50
    first, peak = study.memory(tmp_path / "tree", run / "cnn-int8.tflite", tmp_path / "out.parquet")
    assert 0 < first < 60
    assert 10 < peak < 2000
