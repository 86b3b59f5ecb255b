"""`cifar-edge bench`: all measurements of a set of models, in one record.

test = load_split("test")
record = measure([EdgeModel("a.tflite"), EdgeModel("b.tflite")], test, Options(threads=(1, 4)))
Outputs(json=Path("bench.json")).write(record, test)
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path

from cifar_edge.benchmarks.measures import memory, robustness, throughput
from cifar_edge.benchmarks.measures.latency import Timings, time_networks
from cifar_edge.benchmarks.measures.memory import Footprint
from cifar_edge.benchmarks.measures.profile import OperationTime, profile
from cifar_edge.benchmarks.measures.robustness import Robustness
from cifar_edge.benchmarks.measures.runtimes import LITERT, RUNTIMES, Runtime
from cifar_edge.benchmarks.record import ModelRecord, Peak, Record, Throughput, Timing, as_json, write_json
from cifar_edge.data import Split
from cifar_edge.errors import CifarEdgeError, UsageError
from cifar_edge.photos.find import find
from cifar_edge.system.files import check_replaceable, check_writable
from cifar_edge.system.machine import State, state, this_machine, warnings
from cifar_edge.system.timing import ROUNDS
from cifar_edge.tflite.cifar10 import tells_cifar10
from cifar_edge.tflite.graph import Operation, operations, parameters
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.evaluate import Evaluated, Labelled, evaluate_on, number_in

UNSTEADY = 0.1  # of the median: a latency with a larger spread says little

Progress = Callable[[str, int, int], None]
"""Called with the current step, how many parts of it are done, and of how many."""


@dataclass(frozen=True)
class Options:
    """The choice of measurements.

    Attributes:
        threads: numbers of threads that a runtime may use for an image, each in its turn.
        batches: images a call, each in its turn.
        baseline: number of the model that latencies are compared with.
        runtimes: others than LiteRT.
        profile: whether to time each operation.
        corruptions: whether to measure accuracy on corrupted images.
        cifar10c: folder of the published corrupted images, instead of our own.
        folder: of photos, for throughput.
        rounds: in which each network, or each operation for `profile`, has its turn.
    """

    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1,)
    baseline: int = 0
    runtimes: tuple[Runtime, ...] = ()
    profile: bool = False
    corruptions: bool = False
    cifar10c: Path | None = None
    folder: Path | None = None
    rounds: int = ROUNDS

    @property
    def source(self) -> str | None:
        """The source of the corrupted images; None without."""
        ours_or_theirs = "CIFAR-10-C" if self.cifar10c else "benchmarks/corruptions.py"
        return ours_or_theirs if self.corruptions else None


@dataclass(frozen=True)
class Outputs:
    """Files that a record is written to.

    Attributes:
        json: the `bench.json`.
        pictures: a folder of PNG files; made if it is not there. Needs matplotlib (extra `bench`).
    """

    json: Path | None = None
    pictures: Path | None = None

    def check(self) -> None:
        """Raise `UsageError` if they cannot be written, before any measurement."""
        if self.json:
            if self.json.suffix.lower() != ".json" or self.json.is_dir() or not self.json.parent.is_dir():
                raise UsageError(f"{self.json}: the name must end in .json and stand in a folder that exists")
            check_replaceable(self.json)
        if self.pictures:
            from cifar_edge.benchmarks import plots  # noqa: F401 - whether matplotlib is there

            if self.pictures.exists() and not self.pictures.is_dir():
                raise UsageError(f"{self.pictures}: not a folder; name one for the pictures")
            check_writable(next(place for place in (self.pictures, *self.pictures.parents) if place.exists()))

    def write(self, record: Record, test: Split | Labelled) -> list[Path]:
        """Write a record, and pictures of it with some of the test images; return the pictures' files."""
        if self.json:
            write_json(as_json(record), self.json)
        if not self.pictures:
            return []
        from cifar_edge.benchmarks.plots import draw

        return draw(record, test, self.pictures)


def measure(
    models: Sequence[EdgeModel], test: Split | Labelled, options: Options, progress: Progress = lambda *_: None
) -> Record:
    """Measure models: size, latency, memory, accuracy on clean and on corrupted images.

    Args:
        models: what to measure.
        test: CIFAR-10 test images, or labelled photos of the user's own.
        options: what of it, and how.
        progress: called after each step.

    Raises:
        DataError: the published corrupted images are damaged.
        UsageError: a model is there twice, the folder has no photos, or photos of the user's own are to be corrupted.
        CifarEdgeError: a process that measured was killed.
    """
    date = datetime.now(UTC).isoformat(timespec="seconds")
    names = model_names([model.path for model in models])
    photos = count_photos(options.folder) if options.folder else 0
    robust = _robustness(models, test, options, progress)  # first, as published arrays may be refused
    evaluations = _evaluations(models, test, progress)
    timed = _timed(models, options, progress)
    machine = this_machine()
    records = [
        _record(number, name, model.path, timed, evaluations[number], robust[number])
        for number, (name, model) in enumerate(zip(names, models, strict=True))
    ]
    return Record(
        date=date,
        machine=machine,
        before=timed.before,
        after=timed.after,
        images=number_in(test),
        corruptions=options.source,
        photos=photos,
        baseline=names[options.baseline],
        peaks=timed.peaks,
        models=records,
        notes=[*warnings(machine, timed.before, timed.after), *busy(records), *timed.notes],
    )


def model_names(paths: Sequence[Path]) -> list[str]:
    """Return names that tell models apart and stay the same on another computer: folder and stem.

    Where two have the same, theirs begin with more of the path.

    Raises:
        UsageError: a model is there twice.
    """
    parts = [(*path.resolve().parent.parts, path.stem) for path in paths]
    names = []
    for number, own in enumerate(parts):
        if own in parts[:number]:
            raise UsageError(f"{paths[number]}: a model called {own[-2]}/{own[-1]} is there already; give each once")
        depths = range(2, len(own) + 1)
        depth = next((depth for depth in depths if sum(own[-depth:] == each[-depth:] for each in parts) == 1), len(own))
        names.append("/".join(own[-depth:]))
    return names


def count_photos(folder: Path) -> int:
    """Count the photos in a folder; raise `UsageError` if there is none."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of photos")
    photos = sum(Path(path).is_file() for path in find([folder]))
    if not photos:
        raise UsageError(f"{folder}: no photos in there that can be read; name a folder of some")
    return photos


def busy(models: Sequence[ModelRecord]) -> list[str]:
    """Return notes on latencies that show a busy computer."""
    moved, shares = {}, {}
    for model in models:
        for timing in model.timings:
            setting = f"{model.name} under {timing.runtime} (threads {timing.threads}, batch {timing.batch})"
            moved[setting] = timing.latency.spread / timing.latency.median
            shares[setting] = timing.of_peak
    found = []
    if unsteady := sorted((setting for setting in moved if moved[setting] > UNSTEADY), key=lambda each: -moved[each]):
        found.append(
            f"the computer was busy: {len(unsteady)} of {len(moved)} latencies moved by more than {UNSTEADY:.0%}, "
            f"most of all {unsteady[0]}, by {moved[unsteady[0]]:.0%}; measure again"
        )
    if shares and max(shares.values()) > 1:
        best = max(shares, key=lambda each: shares[each])
        found.append(f"the computer was busy: {best} did {shares[best]:.0%} of the CPU's peak; measure again")
    return found


Setting = tuple[int, int]
"""Threads, and images a call."""


@dataclass(frozen=True)
class _Network:
    """A prepared file, and the numbers of the models it stands for: a run's exports have one Keras file."""

    runtime: str
    file: Path
    models: list[int]


@dataclass(frozen=True)
class _Timed:
    """All timings of the models, by their numbers, and the state of the computer."""

    before: State
    after: State
    networks: dict[int, list[_Network]]
    timings: dict[Setting, Timings]
    profiles: list[list[OperationTime]]
    throughputs: list[Throughput | None]
    footprints: dict[int, dict[str, Footprint]]
    notes: list[str]

    @property
    def peaks(self) -> list[Peak]:
        return [
            Peak(precision, *setting, speed)
            for setting, timings in self.timings.items()
            for precision, speed in timings.peaks.items()
        ]


def _timed(models: Sequence[EdgeModel], options: Options, progress: Progress) -> _Timed:
    paths = [model.path for model in models]
    with tempfile.TemporaryDirectory() as folder:
        networks, notes = _prepared(paths, options.runtimes, {1, *options.batches}, Path(folder))
        before = state()
        timings = _timings(networks, options, progress)
        profiles = [_profile(path, options, progress) if options.profile else [] for path in paths]
        throughputs = [_throughput(model, options.folder, progress) if options.folder else None for model in models]
        after = state()
        footprints, not_loaded = _footprints(networks[1], options.threads[0], progress)
    notes = [*notes, *_refusals(networks, timings), *not_loaded]
    return _Timed(before, after, networks, timings, profiles, throughputs, footprints, notes)


def _prepared(
    paths: Sequence[Path], runtimes: Sequence[Runtime], batches: set[int], folder: Path
) -> tuple[dict[int, list[_Network]], list[str]]:
    """Prepare each model for each runtime and batch; return notes on what is not possible."""
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


def _timings(networks: dict[int, list[_Network]], options: Options, progress: Progress) -> dict[Setting, Timings]:
    timed = {}
    for threads, batch in product(options.threads, options.batches):
        files = [(network.runtime, network.file) for network in networks[batch]]
        what = f"timing all in turn, threads {threads}, batch {batch}"
        progress(what, 0, options.rounds)  # to load them may take longer than a round
        timed[threads, batch] = time_networks(
            files, threads, batch, options.baseline, options.rounds, partial(progress, what)
        )
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
    """Measure by model and runtime; return notes on what a runtime other than LiteRT cannot load."""
    found: defaultdict[int, dict[str, Footprint]] = defaultdict(dict)
    notes = []
    for done, network in enumerate(networks):
        progress(f"loading {network.file.name} under {network.runtime}", done, len(networks))
        try:
            measured = memory.measure(network.runtime, network.file, threads)
        except CifarEdgeError as error:
            if network.runtime == LITERT.name:
                raise
            notes.append(f"{network.runtime}: {error}")
            continue
        for number in network.models:
            found[number][network.runtime] = measured
    return found, notes


def _record(
    number: int, name: str, path: Path, timed: _Timed, evaluated: Evaluated, robust: Robustness | None
) -> ModelRecord:
    content = path.read_bytes()
    graph = operations(content, str(path))
    macs, precision = sum(operation.macs for operation in graph), _precision(graph)
    return ModelRecord(
        name=name,
        size=len(content),
        parameters=parameters(content, str(path)),
        macs=macs,
        precision=precision,
        footprints=timed.footprints[number],
        timings=_latencies(number, timed, macs, precision),
        profile=timed.profiles[number],
        classes=evaluated[0],
        evaluation=evaluated[1],
        robustness=robust,
        throughput=timed.throughputs[number],
    )


def _latencies(number: int, timed: _Timed, macs: int, precision: str) -> list[Timing]:
    found = []
    for (threads, batch), timings in timed.timings.items():
        for network, latency in zip(timed.networks[batch], timings.latencies, strict=True):
            if latency and number in network.models:
                speed = 1e6 * batch * macs / latency.median
                ran = RUNTIMES[network.runtime].precision or precision
                share = speed / timings.peaks[ran]
                found.append(Timing(network.runtime, threads, batch, ran, latency, speed, share))
    return found


def _precision(graph: Sequence[Operation]) -> str:
    """Return the precision, int8 or float32, of the weights in most multiply-accumulates."""
    macs = {True: 0, False: 0}
    for operation in graph:
        if operation.weights:
            macs[operation.weights.type == "int8"] += operation.macs
    return "int8" if macs[True] > macs[False] else "float32"


def _profile(path: Path, options: Options, progress: Progress) -> list[OperationTime]:
    return profile(path, options.threads[0], options.rounds, partial(progress, f"timing each operation of {path.name}"))


def _throughput(model: EdgeModel, folder: Path, progress: Progress) -> Throughput:
    what = f"classifying {folder} in several ways with {model.path.name}"
    photos = throughput.measure(folder, model, progress=partial(progress, what))
    return Throughput(photos, throughput.profile(folder, model))


def _evaluations(models: Sequence[EdgeModel], test: Split | Labelled, progress: Progress) -> list[Evaluated]:
    found = []
    for done, model in enumerate(models):
        progress(f"classifying {number_in(test):,} test images", done, len(models))
        found.append(evaluate_on(model, test))
    return found


def _robustness(
    models: Sequence[EdgeModel], test: Split | Labelled, options: Options, progress: Progress
) -> list[Robustness | None]:
    fitting = [number for number, model in enumerate(models) if tells_cifar10(model)]
    found: list[Robustness | None] = [None] * len(models)
    if options.corruptions and not isinstance(test, Split):
        raise UsageError("--noise: only CIFAR-10's images are corrupted; leave it out with photos of your own")
    if options.corruptions and isinstance(test, Split) and fitting:
        measured = robustness.measure(
            [models[number] for number in fitting],
            test,
            options.cifar10c,
            partial(progress, "classifying corrupted test images"),
        )
        for number, result in zip(fitting, measured, strict=True):
            found[number] = result
    return found
