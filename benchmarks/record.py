"""The measurements of a set of models, and their file `bench.json`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cifar_edge.benchmarks.measures.corruptions import FAMILIES, SEVERITIES
from cifar_edge.benchmarks.measures.memory import Footprint
from cifar_edge.benchmarks.measures.profile import OperationTime
from cifar_edge.benchmarks.measures.robustness import Robustness
from cifar_edge.errors import UsageError
from cifar_edge.evaluation import Evaluation
from cifar_edge.system.files import atomic
from cifar_edge.system.machine import Machine, State
from cifar_edge.system.timing import Latency

SCHEMA = 2
"""Of `bench.json`; see README.md."""


@dataclass(frozen=True)
class Timing:
    """A network's latency in one setting.

    Attributes:
        runtime: name of what ran it.
        threads: that it was given.
        batch: images a call.
        precision: of the weights: some runtimes do not run the file itself, but its float32 original.
        latency: of a call.
        macs_per_second: multiply-accumulates.
        of_peak: that as a share of the CPU's peak with so many threads, 0-1.
    """

    runtime: str
    threads: int
    batch: int
    precision: str
    latency: Latency
    macs_per_second: float
    of_peak: float


@dataclass(frozen=True)
class Throughput:
    """How fast a model classifies a whole folder.

    Attributes:
        photos: a second, of `classify` and of other ways to do it.
        stages: of `classify`, in milliseconds a photo on one thread.
    """

    photos: dict[str, float]
    stages: dict[str, float]


@dataclass(frozen=True)
class ModelRecord:
    """The measurements of one model.

    Attributes:
        name: folder and stem of its file.
        size: of the file, in bytes.
        parameters: numbers that it stores.
        macs: multiply-accumulates an image.
        precision: of its weights in the operations that multiply: "int8" or "float32".
        footprints: time to load and memory, by runtime.
        timings: latency, for each runtime, number of threads and batch that it runs with.
        profile: time of each operation, with the first number of threads; empty if not asked for.
        classes: names of the classes that it was evaluated on, in the order of the evaluation.
        evaluation: on clean test images; None for a model of other classes than theirs.
        robustness: on corrupted ones; None if not asked for, too.
        throughput: on a folder of photos; None if there was none.
    """

    name: str
    size: int
    parameters: int
    macs: int
    precision: str
    footprints: dict[str, Footprint]
    timings: list[Timing]
    profile: list[OperationTime]
    classes: tuple[str, ...]
    evaluation: Evaluation | None
    robustness: Robustness | None
    throughput: Throughput | None


@dataclass(frozen=True)
class Peak:
    """The most multiply-accumulates a second that this CPU did in one of some rounds, in a matrix product."""

    precision: str
    threads: int
    batch: int
    macs_per_second: float


@dataclass(frozen=True)
class Record:
    """The measurements of a set of models on one computer.

    Attributes:
        date: when it began, in ISO 8601.
        machine: the computer.
        before: its state before latencies were measured.
        after: and after.
        images: test images, clean and with each corruption.
        corruptions: where corrupted images came from; None if there were none.
        photos: in the folder whose throughput was measured; 0 if there was none.
        baseline: name of the model that latencies are compared with.
        peaks: of this CPU.
        models: in the order they were given.
        notes: what makes latencies doubtful, what could not be measured, and why.
    """

    date: str
    machine: Machine
    before: State
    after: State
    images: int
    corruptions: str | None
    photos: int
    baseline: str
    peaks: list[Peak]
    models: list[ModelRecord]
    notes: list[str]


def as_json(record: Record) -> dict[str, Any]:
    """Return the content of `bench.json`; its schema stands in README.md."""
    content = {"schema": SCHEMA} | asdict(record)
    if record.corruptions:
        content["corruptions"] = {"source": record.corruptions, "families": FAMILIES, "severities": SEVERITIES}
    for model, fields in zip(record.models, content["models"], strict=True):
        if model.robustness:
            fields["robustness"]["mean_corrupted_accuracy"] = model.robustness.mean_corrupted_accuracy
            fields["robustness"]["mean_corrupted_ece"] = model.robustness.mean_corrupted_ece
    # JSON has no NaN, the accuracy of a class without images.
    plain: dict[str, Any] = json.loads(json.dumps(content, default=_plain), parse_constant=lambda _: None)
    return plain


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write `bench.json`."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a `bench.json`.

    Raises:
        UsageError: it is none, or not of this version.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a bench.json ({error}); `cifar-edge bench --output` writes one") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise UsageError(f"{path}: not a bench.json of schema {SCHEMA}; measure again with `cifar-edge bench --output`")
    return content


def _plain(value: Any) -> Any:
    """Return an array as JSON lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"JSON has nothing like {type(value)}")
