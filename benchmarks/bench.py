"""Which model should I put on my device? All that is measured of a set of models, in one record.

record = bench([Path("a.tflite"), Path("b.tflite")], test=load_split("test"))
write_json(record, Path("bench.json"))
"""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from cifar_edge.benchmarks import footprint, robustness
from cifar_edge.benchmarks.corruptions import FAMILIES, SEVERITIES
from cifar_edge.benchmarks.footprint import Footprint
from cifar_edge.benchmarks.latency import Latency
from cifar_edge.benchmarks.machine import Machine, State, state, this_machine, warnings
from cifar_edge.benchmarks.profile import OperationTime, profile
from cifar_edge.benchmarks.robustness import Robustness
from cifar_edge.benchmarks.runtimes import LITERT, RUNTIMES, Runtime
from cifar_edge.benchmarks.timings import Timings, time_networks
from cifar_edge.data import Split
from cifar_edge.errors import CifarEdgeError, UsageError
from cifar_edge.evaluation import predict_cifar10, tells_cifar10
from cifar_edge.files import atomic
from cifar_edge.graph import operations, parameters
from cifar_edge.metrics import Evaluation, evaluate
from cifar_edge.model import EdgeModel

SCHEMA = 1
"""Of `bench.json`; see README.md."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how many steps of it are done, and of how many."""


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        threads: numbers of threads that a runtime may use for an image, each in its turn.
        batches: images a call, each in its turn.
        baseline: number of the model that latencies are compared with.
        runtimes: others than LiteRT.
        profile: whether to time each operation.
        corruptions: whether to measure accuracy on corrupted images.
        cifar10c: folder of the published corrupted images, instead of our own.
    """

    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1,)
    baseline: int = 0
    runtimes: tuple[Runtime, ...] = ()
    profile: bool = False
    corruptions: bool = False
    cifar10c: Path | None = None


@dataclass(frozen=True)
class Timing:
    """A network's latency in one setting.

    Attributes:
        runtime: name of what ran it.
        threads: that it was given.
        batch: images a call.
        latency: of a call.
        macs_per_second: multiply-accumulates.
        of_peak: that as a share of the CPU's peak with so many threads, 0-1.
    """

    runtime: str
    threads: int
    batch: int
    latency: Latency
    macs_per_second: float
    of_peak: float


@dataclass(frozen=True)
class ModelRecord:
    """What was measured of a model.

    Attributes:
        name: folder and stem of its file.
        size: of the file, in bytes.
        parameters: numbers that it stores.
        macs: multiply-accumulates an image.
        precision: of its weights in the operations that multiply: "int8" or "float32".
        footprints: time to load and memory, by runtime.
        timings: latency, for each runtime, number of threads and batch that it runs with.
        profile: time of each operation, with the first number of threads; empty if not asked for.
        evaluation: on clean test images; None if it is not one of CIFAR-10.
        robustness: on corrupted ones; None if not asked for, too.
    """

    name: str
    size: int
    parameters: int
    macs: int
    precision: str
    footprints: dict[str, Footprint]
    timings: list[Timing]
    profile: list[OperationTime]
    evaluation: Evaluation | None
    robustness: Robustness | None


@dataclass(frozen=True)
class Peak:
    """The most multiply-accumulates a second that this CPU did in some rounds, in a matrix product under LiteRT."""

    precision: str
    threads: int
    batch: int
    macs_per_second: float


@dataclass(frozen=True)
class Record:
    """What was measured of a set of models, and where.

    Attributes:
        date: when it began, in ISO 8601.
        machine: the computer.
        before: its state before latencies were measured.
        after: and after.
        images: test images, clean and with each corruption.
        corruptions: where corrupted images came from; "" if there were none.
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
    corruptions: str
    baseline: str
    peaks: list[Peak]
    models: list[ModelRecord]
    notes: list[str]


def bench(models: Sequence[EdgeModel], test: Split, options: Options, progress: Progress = lambda *_: None) -> Record:
    """Measure models: size, latency, memory, accuracy on clean and on corrupted images.

    Args:
        models: what to measure.
        test: CIFAR-10 test images.
        options: what of it, and how.
        progress: called after each step.

    Raises:
        DataError: the published corrupted images are damaged.
        UsageError: a model is there twice.
        CifarEdgeError: a process that measured was killed.
    """
    date = datetime.now(UTC).isoformat(timespec="seconds")
    paths = [model.path for model in models]
    names = model_names(paths)
    evaluations = [_evaluation(model, test) for model in models]
    robust = _robustness(models, test, options, progress)
    with tempfile.TemporaryDirectory() as folder:
        networks, notes = _prepared(paths, options.runtimes, {1, *options.batches}, Path(folder))
        before = state()
        timed = _timed(networks, options, progress)
        profiles = [profile(path, options.threads[0]) if options.profile else [] for path in paths]
        after = state()
        footprints = _footprints(networks[1], options.threads[0], progress)
    machine, records = this_machine(), []
    for number, path in enumerate(paths):
        content = path.read_bytes()
        graph = operations(content)
        macs, precision = sum(operation.macs for operation in graph), _precision(graph)
        records.append(
            ModelRecord(
                name=names[number],
                size=len(content),
                parameters=parameters(content),
                macs=macs,
                precision=precision,
                footprints=footprints[number],
                timings=_timings(number, macs, precision, networks, timed),
                profile=profiles[number],
                evaluation=evaluations[number],
                robustness=robust[number],
            )
        )
    return Record(
        date=date,
        machine=machine,
        before=before,
        after=after,
        images=len(test.labels),
        corruptions=("CIFAR-10-C" if options.cifar10c else "benchmarks/corruptions.py") if options.corruptions else "",
        baseline=names[options.baseline],
        peaks=[
            Peak(precision, *setting, speed)
            for setting, timings in timed.items()
            for precision, speed in timings.peaks.items()
        ],
        models=records,
        notes=[*warnings(machine, before, after), *notes, *_refusals(networks, timed)],
    )


def model_names(paths: Sequence[Path]) -> list[str]:
    """Return names that tell models apart and stay the same on another computer: folder and stem.

    Raises:
        UsageError: two models have the same.
    """
    names = [f"{path.resolve().parent.name}/{path.stem}" for path in paths]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UsageError(f"{paths[number]}: a model called {name} is there already; give each of them once")
    return names


def as_json(record: Record) -> dict[str, Any]:
    """Return the content of `bench.json`; its schema stands in README.md."""
    content = {"schema": SCHEMA} | asdict(record)
    if record.corruptions:
        content["corruptions"] = {"source": record.corruptions, "families": FAMILIES, "severities": SEVERITIES}
    for model, fields in zip(record.models, content["models"], strict=True):
        if model.robustness:
            fields["robustness"]["mean_corrupted_accuracy"] = model.robustness.mean_corrupted_accuracy
            fields["robustness"]["mean_corrupted_ece"] = model.robustness.mean_corrupted_ece
    plain: dict[str, Any] = json.loads(json.dumps(content, default=_plain))
    return plain


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write `bench.json`."""
    with atomic(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")


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
    """What JSON has in place of an array."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"JSON has nothing like {type(value)}")


Setting = tuple[int, int]
"""Threads, and images a call."""


@dataclass(frozen=True)
class _Network:
    """A prepared file, and the numbers of the models it stands for: a run's exports have one Keras file."""

    runtime: str
    file: Path
    models: list[int]


def _prepared(
    paths: Sequence[Path], runtimes: Sequence[Runtime], batches: set[int], folder: Path
) -> tuple[dict[int, list[_Network]], list[str]]:
    """Prepare each model for each runtime and batch; say what is not possible."""
    notes = [
        f"{runtime.name}: not measured, for want of {' and '.join(runtime.missing)}"
        for runtime in runtimes
        if runtime.missing
    ]
    usable = [LITERT, *(runtime for runtime in runtimes if not runtime.missing)]
    networks: dict[int, list[_Network]] = {}
    for batch, runtime in product(sorted(batches), usable):
        files: dict[Path, list[int]] = {}
        for number, path in enumerate(paths):
            own = folder / str(number)  # two models may have the same file name
            own.mkdir(exist_ok=True)
            try:
                files.setdefault(runtime.prepare(path, batch, own), []).append(number)
            except CifarEdgeError as error:
                notes.append(f"{runtime.name}: {error}")
        networks.setdefault(batch, []).extend(_Network(runtime.name, file, models) for file, models in files.items())
    return networks, list(dict.fromkeys(notes))


def _timed(networks: dict[int, list[_Network]], options: Options, progress: Progress) -> dict[Setting, Timings]:
    settings = list(product(options.threads, options.batches))
    timed = {}
    for done, (threads, batch) in enumerate(settings):
        progress("timing", done, len(settings))
        files = [(network.runtime, network.file) for network in networks[batch]]
        timed[threads, batch] = time_networks(files, threads, batch, options.baseline)
    return timed


def _refusals(networks: dict[int, list[_Network]], timed: dict[Setting, Timings]) -> list[str]:
    return [
        f"{networks[batch][number].runtime}, batch {batch}: {reason}"
        for (_, batch), timings in timed.items()
        for number, reason in timings.reasons.items()
    ]


def _footprints(
    networks: Sequence[_Network], threads: int, progress: Progress
) -> defaultdict[int, dict[str, Footprint]]:
    found: defaultdict[int, dict[str, Footprint]] = defaultdict(dict)
    for done, network in enumerate(networks):
        progress("loading", done, len(networks))
        measured = footprint.measure(network.runtime, network.file, threads)
        for number in network.models:
            found[number][network.runtime] = measured
    return found


def _timings(
    number: int, macs: int, precision: str, networks: dict[int, list[_Network]], timed: dict[Setting, Timings]
) -> list[Timing]:
    found = []
    for (threads, batch), timings in timed.items():
        for network, latency in zip(networks[batch], timings.latencies, strict=True):
            if latency and number in network.models:
                speed = 1e6 * batch * macs / latency.median
                share = speed / timings.peaks[RUNTIMES[network.runtime].precision or precision]
                found.append(Timing(network.runtime, threads, batch, latency, speed, share))
    return found


def _precision(graph: Sequence[Any]) -> str:
    """Say what most multiply-accumulates have for weights, of the two precisions that have a peak."""
    macs = {True: 0, False: 0}
    for operation in graph:
        if operation.weights:
            macs[operation.weights.type == "int8"] += operation.macs
    return "int8" if macs[True] > macs[False] else "float32"


def _evaluation(model: EdgeModel, test: Split) -> Evaluation | None:
    return evaluate(predict_cifar10(model, test.images), test.labels) if tells_cifar10(model) else None


def _robustness(
    models: Sequence[EdgeModel], test: Split, options: Options, progress: Progress
) -> list[Robustness | None]:
    told = [number for number, model in enumerate(models) if tells_cifar10(model)]
    found: list[Robustness | None] = [None] * len(models)
    if options.corruptions and told:
        measured = robustness.measure(
            [models[number] for number in told],
            test,
            options.cifar10c,
            lambda done, total: progress("corrupting", done, total),
        )
        for number, result in zip(told, measured, strict=True):
            found[number] = result
    return found
