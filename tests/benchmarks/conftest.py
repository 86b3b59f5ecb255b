"""A record made by hand: its figures are what tables and pictures must show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cifar_edge.benchmarks.bench import Options, measure
from cifar_edge.benchmarks.measures import memory
from cifar_edge.benchmarks.measures.memory import Footprint
from cifar_edge.benchmarks.measures.profile import OperationTime
from cifar_edge.benchmarks.measures.robustness import Robustness
from cifar_edge.benchmarks.record import ModelRecord, Peak, Record, Throughput, Timing
from cifar_edge.data import CLASSES, Cifar10, Split
from cifar_edge.evaluation import Evaluation
from cifar_edge.system.machine import Machine, State
from cifar_edge.system.timing import Latency
from cifar_edge.tflite.model import EdgeModel
from tests.benchmarks.test_bench import ROUNDS


def model(name: str, median: float, accuracy: float) -> ModelRecord:
    """Make a model; its corrupted accuracy is less by (family + severity) %, both counted from 1 on."""
    families, severities = np.mgrid[1:16, 1:6]
    latency = Latency(median, best=median - 5, p95=median + 5, p99=median + 9, spread=2, ratio=median / 100)
    return ModelRecord(
        name=name,
        size=100_000,
        parameters=98_000,
        macs=12_000_000,
        precision=name.rpartition("-")[2],
        footprints={"LiteRT": Footprint(start=0.321, load=0.0045, load_spread=0.001, memory=50_000_000)},
        timings=[
            Timing("LiteRT", 2, 1, name.rpartition("-")[2], latency, macs_per_second=7.5e9, of_peak=0.25),
            Timing("TensorFlow", 2, 1, "float32", latency, macs_per_second=3.75e9, of_peak=0.125),
        ],
        profile=[OperationTime("CONV_2D", (1, 32, 32, 8), 12_000_000, 30.0, 0.5)],
        classes=CLASSES,
        evaluation=Evaluation(accuracy, 0.5, 0.04, np.full(10, accuracy), np.eye(10, dtype=np.int64)),
        robustness=Robustness(accuracy, 0.04, accuracy - (families + severities) / 100, np.full((15, 5), 0.2)),
        throughput=Throughput({"classify": 100.0, "naive loop": 25.0}, {"read": 1.0, "infer": 3.0}),
    )


@pytest.fixture(scope="session")
def few(tiny: Cifar10) -> Split:
    """Two test images of each class: there are 75 ways to corrupt them."""
    return Split(tiny.test.images[::5], tiny.test.labels[::5])


@pytest.fixture
def made() -> Record:
    """A network as float32 and as int8, a quicker one that is worse, and one that is beaten."""
    cool = State(1800.0, 50.0, (), ())
    return Record(
        date="2026-11-22T00:00:00+00:00",
        machine=Machine("A Pi", 4, None, None, None, "Linux", "3.11", {"numpy": "2.4"}),
        before=cool,
        after=cool,
        images=1000,
        corruptions="ours",
        photos=10,
        baseline="cnn-float32",
        peaks=[Peak("int8", 2, 1, 30e9), Peak("float32", 2, 1, 20e9)],
        models=[
            model("cnn-float32", 100.0, 0.90),
            model("cnn-int8", 50.0, 0.88),
            model("ann-int8", 20.0, 0.80),
            model("old-int8", 60.0, 0.85),
        ],
        notes=[],
    )


@pytest.fixture(scope="session")
def told() -> dict[str, list[tuple[int, int]]]:
    """How far each part of `record` was, as it was told."""
    return {}


@pytest.fixture(scope="session")
def record(run: Path, few: Split, told: dict[str, list[tuple[int, int]]]) -> Record:
    models = [EdgeModel(run / f"cnn-{name}.tflite") for name in ("float32", "int8")]
    options = Options(threads=(2,), batches=(1, 2), baseline=1, profile=True, corruptions=True, rounds=ROUNDS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "REPEATS", 2)  # each is a process
        return measure(models, few, options, lambda what, done, total: told.setdefault(what, []).append((done, total)))
