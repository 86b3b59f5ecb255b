from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.benchmarks import bench
from cifar_edge.benchmarks.bench import Options, measure, model_names
from cifar_edge.benchmarks.measures import memory
from cifar_edge.benchmarks.measures.latency import Timings
from cifar_edge.benchmarks.measures.memory import Footprint
from cifar_edge.benchmarks.record import Record
from cifar_edge.benchmarks.tables import tables
from cifar_edge.data import CLASSES, Split
from cifar_edge.errors import DataError, UsageError
from cifar_edge.system.timing import Latency
from cifar_edge.tflite.model import EdgeModel
from tests.conftest import PHOTOS

ROUNDS = 3


def test_progress_is_told_round_by_round(record: Record, told: dict[str, list[tuple[int, int]]]) -> None:
    for what in (f"timing all in turn, threads 2, batch {batch}" for batch in (1, 2)):
        assert told[what] == [(done, ROUNDS) for done in range(ROUNDS + 1)]
    for name in ("float32", "int8"):
        assert told[f"timing each operation of cnn-{name}.tflite"][-1] == (ROUNDS, ROUNDS)


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
        memory = model.footprints["LiteRT"]
        assert 10e6 < memory.memory < 200e6
        assert memory.start > memory.load > 0


def test_tables_show_every_model(record: Record) -> None:
    found = list(tables(record))
    assert len(found) == 1 + 2 + 2 + 2 + 1
    for title, columns, rows in found:
        assert title
        assert {len(columns)} == {len(row) for row in rows}
    assert found[-1][2][0][0] == "cnn/cnn"


def test_pictures_are_drawn(record: Record, few: Split, tmp_path: Path) -> None:
    from cifar_edge.benchmarks.plots import draw

    paths = draw(record, few, tmp_path / "pictures")
    assert sorted(path.stem for path in paths) == [
        "accuracy-latency",
        "confusion",
        "corruptions",
        "samples",
        "severity",
    ]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_speed_and_share_of_the_peak_by_hand(run: Path, few: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians of 100 µs and, twice as noisy as is allowed, 200 µs a call."""
    asked: list[tuple[list[str], int, int, int]] = []

    def time_networks(
        networks: list[tuple[str, Path]], threads: int, batch: int, baseline: int, rounds: int, progress: object
    ) -> Timings:
        asked.append(([file.name for _, file in networks], threads, batch, baseline))
        steady = Latency(100.0, best=90.0, p95=110.0, p99=120.0, spread=10.0, ratio=1.0)
        moving = Latency(200.0, best=90.0, p95=410.0, p99=420.0, spread=40.0, ratio=2.0)
        return Timings([steady, moving], {}, {"float32": 1e12, "int8": 1e11})

    monkeypatch.setattr(bench, "time_networks", time_networks)
    monkeypatch.setattr(memory, "measure", lambda runtime, file, threads: Footprint(1.0, 1.0, 0.0, threads))
    monkeypatch.setattr(bench.throughput, "measure", lambda folder, model, progress: {"classify": 1.0})
    models = [EdgeModel(run / f"cnn-{name}.tflite") for name in ("float32", "int8")]
    record = measure(models, few, Options(threads=(2, 4), batches=(1, 8), baseline=1, folder=PHOTOS / "cat"))
    files = {1: ["cnn-float32.tflite", "cnn-int8.tflite"], 8: ["cnn-float32-8.tflite", "cnn-int8-8.tflite"]}
    assert asked == [(files[batch], threads, batch, 1) for threads in (2, 4) for batch in (1, 8)]
    for model, median, peak in zip(record.models, (100e-6, 200e-6), (1e12, 1e11), strict=True):
        assert [(timing.threads, timing.batch) for timing in model.timings] == [(2, 1), (2, 8), (4, 1), (4, 8)]
        assert {timing.precision for timing in model.timings} == {model.precision}
        assert model.footprints["LiteRT"].memory == 2  # threads
        for timing in model.timings:
            assert timing.macs_per_second == pytest.approx(timing.batch * model.macs / median)
            assert timing.of_peak == pytest.approx(timing.batch * model.macs / median / peak)
    assert record.photos == len(list((PHOTOS / "cat").glob("*.jpg")))
    assert [note for note in record.notes if note.startswith("the computer was busy")] == [
        "the computer was busy: 4 of 8 latencies moved by more than 10%, "
        "most of all cnn/cnn-int8 under LiteRT (threads 2, batch 1), by 20%; measure again",
        "the computer was busy: cnn/cnn-int8 under LiteRT (threads 2, batch 8) did "
        f"{8 * record.models[1].macs / 200e-6 / 1e11:.0%} of the CPU's peak; measure again",
    ]


def test_published_arrays_are_refused_before_anything_is_measured(run: Path, few: Split, tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(DataError, match=r"labels\.npy: cannot be read"):
        measure(
            [EdgeModel(run / "cnn-int8.tflite")],
            few,
            Options(corruptions=True, cifar10c=tmp_path),
            lambda what, *_: told.append(what),
        )
    assert told == []


def test_models_are_told_apart(tmp_path: Path) -> None:
    assert model_names([tmp_path / "a" / "m.tflite", tmp_path / "b" / "m.tflite"]) == ["a/m", "b/m"]
    same = [tmp_path / folder / "a" / "m.tflite" for folder in ("x", "y")]
    assert model_names([*same, tmp_path / "x" / "a" / "n.tflite"]) == ["x/a/m", "y/a/m", "a/n"]
    with pytest.raises(UsageError, match="a model called a/m is there already"):
        model_names([tmp_path / "a" / "m.tflite"] * 2)
