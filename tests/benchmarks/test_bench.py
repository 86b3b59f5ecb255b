from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cifar_edge.benchmarks import footprint
from cifar_edge.benchmarks.bench import Options, measure, model_names
from cifar_edge.benchmarks.compare import compare
from cifar_edge.benchmarks.record import Record, as_json, read_json, write_json
from cifar_edge.benchmarks.tables import tables
from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.errors import CifarEdgeError, UsageError
from cifar_edge.model import EdgeModel


@pytest.fixture(scope="module")
def record(run: Path, tiny: Cifar10) -> Record:
    models = [EdgeModel(run / f"cnn-{name}.tflite") for name in ("float32", "int8")]
    return measure(models, tiny.test, Options(threads=(2,), batches=(1, 2), baseline=1, profile=True, corruptions=True))


def test_every_setting_is_timed(record: Record) -> None:
    for model in record.models:
        assert [(timing.threads, timing.batch) for timing in model.timings] == [(2, 1), (2, 2)]
        for timing in model.timings:
            assert timing.macs_per_second > 0
            assert timing.of_peak > 0
    assert record.baseline == "cnn/cnn-int8"
    assert [timing.latency.ratio for timing in record.models[1].timings] == [1, 1]
    assert {(peak.precision, peak.batch) for peak in record.peaks} == {
        (precision, batch) for precision in ("int8", "float32") for batch in (1, 2)
    }


def test_what_the_graph_says(record: Record) -> None:
    exact, quantized = record.models
    convolutions = (1024 * 27 * 32, 256 * 288 * 64, 64 * 576 * 128, 64 * 1152 * 128)
    assert exact.macs == quantized.macs == sum(convolutions) + 2048 * 128 + 128 * len(CLASSES)
    assert (exact.precision, quantized.precision) == ("float32", "int8")
    assert quantized.size < exact.size / 3


def test_the_footprint_is_of_a_process_without_tensorflow(record: Record) -> None:
    for model in record.models:
        footprint = model.footprints["LiteRT"]
        assert 10e6 < footprint.memory < 200e6
        assert footprint.start > footprint.load > 0


def test_json_holds_it_all(record: Record, tmp_path: Path) -> None:
    content = as_json(record)
    write_json(content, tmp_path / "bench.json")
    assert read_json(tmp_path / "bench.json") == content
    model = content["models"][0]
    assert len(content["corruptions"]["families"]) == len(model["robustness"]["corrupted_accuracy"]) == 15
    assert model["robustness"]["mean_corrupted_accuracy"] < model["evaluation"]["accuracy"]
    assert sum(map(sum, model["evaluation"]["confusion"])) == record.images == 100
    assert compare(content, content) == []


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 0}'])
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(UsageError, match=r"other\.json: not a bench\.json"):
        read_json(tmp_path / "other.json")


def test_tables_show_every_model(record: Record) -> None:
    found = list(tables(record))
    assert len(found) == 1 + 2 + 2 + 2 + 1
    for title, columns, rows in found:
        assert title
        assert {len(columns)} == {len(row) for row in rows}
    assert found[-1][2][0][0] == "cnn/cnn"


def test_pictures_are_drawn(record: Record, tiny: Cifar10, tmp_path: Path) -> None:
    from cifar_edge.benchmarks.plots import draw

    paths = draw(record, tiny.test, tmp_path / "pictures")
    assert sorted(path.stem for path in paths) == [
        "accuracy-latency",
        "confusion",
        "corruptions",
        "samples",
        "severity",
    ]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_models_are_told_apart(tmp_path: Path) -> None:
    assert model_names([tmp_path / "a" / "m.tflite", tmp_path / "b" / "m.tflite"]) == ["a/m", "b/m"]
    same = [tmp_path / folder / "a" / "m.tflite" for folder in ("x", "y")]
    assert model_names([*same, tmp_path / "x" / "a" / "n.tflite"]) == ["x/a/m", "y/a/m", "a/n"]
    with pytest.raises(UsageError, match="a model called a/m is there already"):
        model_names([tmp_path / "a" / "m.tflite"] * 2)


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(CifarEdgeError, match=r"failed: .*not a TFLite model"):
        footprint.measure("LiteRT", tmp_path / "gone.tflite")


def test_a_process_that_is_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    with pytest.raises(CifarEdgeError, match=r"killed by signal 9; most likely memory ran out"):
        footprint.measure("LiteRT", tmp_path / "m.tflite")
