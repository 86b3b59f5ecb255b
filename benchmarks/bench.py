"""Which model should I put on my device? All that is measured of a set of models, in one record.

record = measure([Path("a.tflite"), Path("b.tflite")], test=load_split("test"))
write_json(record, Path("bench.json"))
"""

from __future__ import annotations

import functools
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from cifar_edge.benchmarks import footprint, robustness, throughput
from cifar_edge.benchmarks.footprint import Footprint
from cifar_edge.benchmarks.machine import state, this_machine, warnings
from cifar_edge.benchmarks.profile import profile
from cifar_edge.benchmarks.record import ModelRecord, Peak, Record, Throughput, Timing
from cifar_edge.benchmarks.robustness import Robustness
from cifar_edge.benchmarks.runtimes import LITERT, RUNTIMES, Runtime
from cifar_edge.benchmarks.timings import Timings, time_networks
from cifar_edge.data import Split
from cifar_edge.errors import CifarEdgeError, UsageError
from cifar_edge.evaluation import predict_cifar10, tells_cifar10
from cifar_edge.graph import Operation, operations, parameters
from cifar_edge.metrics import Evaluation, evaluate
from cifar_edge.model import EdgeModel

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
        folder: of photos, for throughput.
    """

    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1,)
    baseline: int = 0
    runtimes: tuple[Runtime, ...] = ()
    profile: bool = False
    corruptions: bool = False
    cifar10c: Path | None = None
    folder: Path | None = None


def measure(models: Sequence[EdgeModel], test: Split, options: Options, progress: Progress = lambda *_: None) -> Record:
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
        folders = [_throughput(model, options.folder) if options.folder else None for model in models]
        after = state()
        footprints, not_loaded = _footprints(networks[1], options.threads[0], progress)
    machine = this_machine()
    records = [
        _model_record(
            name,
            path,
            functools.partial(_timings, number, networks, timed),
            footprints=footprints[number],
            profile=profiles[number],
            evaluation=evaluations[number],
            robustness=robust[number],
            throughput=folders[number],
        )
        for number, (name, path) in enumerate(zip(names, paths, strict=True))
    ]
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
        notes=[*warnings(machine, before, after), *notes, *_refusals(networks, timed), *not_loaded],
    )


def _model_record(name: str, path: Path, timings: Callable[[int, str], list[Timing]], **measured: Any) -> ModelRecord:
    """Add what the graph says to what was measured."""
    content = path.read_bytes()
    graph = operations(content)
    macs, precision = sum(operation.macs for operation in graph), _precision(graph)
    return ModelRecord(
        name=name,
        size=len(content),
        parameters=parameters(content),
        macs=macs,
        precision=precision,
        timings=timings(macs, precision),
        **measured,
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
) -> tuple[defaultdict[int, dict[str, Footprint]], list[str]]:
    """Measure by model and runtime; say what another runtime than LiteRT cannot load."""
    found: defaultdict[int, dict[str, Footprint]] = defaultdict(dict)
    notes = []
    for done, network in enumerate(networks):
        progress("loading", done, len(networks))
        try:
            measured = footprint.measure(network.runtime, network.file, threads)
        except CifarEdgeError as error:
            if network.runtime == LITERT.name:
                raise
            notes.append(f"{network.runtime}: {error}")
            continue
        for number in network.models:
            found[number][network.runtime] = measured
    return found, notes


def _timings(
    number: int, networks: dict[int, list[_Network]], timed: dict[Setting, Timings], macs: int, precision: str
) -> list[Timing]:
    found = []
    for (threads, batch), timings in timed.items():
        for network, latency in zip(networks[batch], timings.latencies, strict=True):
            if latency and number in network.models:
                speed = 1e6 * batch * macs / latency.median
                share = speed / timings.peaks[RUNTIMES[network.runtime].precision or precision]
                found.append(Timing(network.runtime, threads, batch, latency, speed, share))
    return found


def _precision(graph: Sequence[Operation]) -> str:
    """Say what most multiply-accumulates have for weights, of the two precisions that have a peak."""
    macs = {True: 0, False: 0}
    for operation in graph:
        if operation.weights:
            macs[operation.weights.type == "int8"] += operation.macs
    return "int8" if macs[True] > macs[False] else "float32"


def _throughput(model: EdgeModel, folder: Path) -> Throughput:
    return Throughput(throughput.measure(folder, model), throughput.profile(folder, model))


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
