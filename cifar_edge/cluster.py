"""Photos -> rows on the machines of a Ray cluster, by Ray Data; decoding and prediction are those of one machine.

One task lists the photos and groups them; a task for each group classifies it as `classify_folder` does and writes
its rows as a part of a `DataSet`. Through Ray go names of photos, and counts: neither pixels nor rows. When the
stream has ended, the photos are listed again, and what has no row goes into another round, in smaller groups.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import logging
import os
import platform
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from cifar_edge import __version__, remote
from cifar_edge.dataset import DataSet, Paths, write_part
from cifar_edge.errors import ResultsError, UsageError, first_line
from cifar_edge.folder import (
    REMOTE_READERS,
    Options,
    classifier,
    classify_files,
    default_fit,
    find,
    places_of,
    request,
)
from cifar_edge.machine import processors
from cifar_edge.model import EdgeModel
from cifar_edge.results import Row
from cifar_edge.summary import Summary

ROUNDS = (1_000, 30, 1)
"""Photos of a group, at most: one that kills or blocks every worker is alone in the last round."""

FIRST_GROUPS = 50  # photos each; they grow with what is listed, that few photos occupy all workers too
GROUP_BYTES = 1 << 28  # of photos; a lost worker costs as much reading

RETRIES = 2  # of a group whose worker is lost; then it is left to the next round
HANGING = 300  # seconds for a photo, after which its worker is killed
STALLED = 3600  # seconds without any group done, after which the run ends

OBJECT_STORE = 150_000_000  # bytes, for a cluster that is started here


@dataclass(frozen=True)
class Job:
    """What travels to the workers: no path of it has to exist there.

    Attributes:
        model: name of the model's file.
        content: of that file.
        labels: class names, which a model without a card does not know.
        pixel_range: what it takes for black and white, likewise.
        options: of `classifier`.
        output: a data set's folder; a URI, or a path that all machines share.
    """

    model: str
    content: bytes
    labels: tuple[str, ...]
    pixel_range: tuple[float, float]
    options: Options
    output: str


def classify_on_cluster(
    paths: str | Path | Sequence[str | Path],
    model: str | Path | EdgeModel,
    address: str | None = None,
    *,
    output: str | Path,
    fit: str | None = None,
    exif_thumbnails: bool = False,
    top_k: int = 1,
    min_confidence: float = 0.0,
    resume: bool = False,
    say: Callable[[str], None] = lambda message: None,
    advance: Callable[[int], None] = lambda photos: None,
) -> Summary:
    """Classify photos on a Ray cluster, into a data set of Parquet files.

        classify_on_cluster("s3://bucket/photos", "nano-int8.tflite", "10.0.0.1:6379", output="s3://bucket/results")

    The machine this runs on has to be a node of the cluster. Each node needs this package, and the credentials for
    URIs; paths have to be the same on all nodes, as on a network drive.

    Args:
        paths: see `classify_folder`.
        model: see `classify_folder`; the file is needed on this machine only.
        address: HOST:PORT of the cluster's head; by default the cluster that runs on this machine, or else
            one that is made here for this run.
        output: a `DataSet`'s folder: a URI or a path.
        fit: see `classify_folder`.
        exif_thumbnails: see `classify_folder`.
        top_k: see `classify_folder`.
        min_confidence: see `classify_folder`.
        resume: go on with the data set that is there, with the photos that have no row.
        say: is told what is going on.
        advance: is told of photos that are done.

    Returns:
        Of all rows in the data set.

    Raises:
        UsageError: as `classify_folder`; or there is no such cluster, or a node has not this version of the package.
        ResultsError: photos without a row remain; the message names some.
        StorageError: a URI cannot be reached.
    """
    model = model if isinstance(model, EdgeModel) else EdgeModel(model)
    options = Options(fit or default_fit(model), exif_thumbnails, top_k, min_confidence)
    classifier(model, options, 1)  # to be refused here if need be
    places = [path if isinstance(path, str) else path.absolute() for path in places_of(paths)]
    folder = str(output) if remote.is_remote(output) else str(Path(output).absolute())
    if next(list_photos(places), None) is None:
        raise UsageError(f"{', '.join(map(str, places))}: no photos in there")
    data_set = DataSet(folder, request(places, model, options), resume)
    with _connected(address):
        say(_check_nodes())
        job = Job(model.path.name, model.path.read_bytes(), model.labels, model.pixel_range, options, folder)
        tally = data_set.tally()
        for largest in ROUNDS:
            if all(file in tally.paths for file, _ in list_photos(places)):
                break
            _round(job, places, tally.paths, largest, advance)
            tally = data_set.tally()
        else:
            _check_complete(folder, places, tally.paths)
        data_set.finish(tally)
    return tally.summary


def list_photos(places: Sequence[Path | str]) -> Iterator[tuple[str, int]]:
    """Yield path or URI of each photo, and its size in bytes."""
    for file in find([place for place in places if isinstance(place, Path)]):
        try:
            yield str(file), Path(file).stat().st_size
        except OSError:  # its row will say why
            yield str(file), 0
    for place in remote.distinct(place for place in places if isinstance(place, str)):
        yield from remote.photos(place)


def grouped(photos: Iterable[tuple[str, int]], largest: int, most_bytes: int = GROUP_BYTES) -> Iterator[list[str]]:
    """Yield groups of photos' paths: many small ones together, large ones apart.

    Args:
        photos: paths, and sizes in bytes.
        largest: how many a group may have; the first ones have fewer.
        most_bytes: how many the photos of a group have together, unless it is one photo.
    """
    group: list[str] = []
    size = 0
    for listed, (path, its_size) in enumerate(photos):
        limit = min(largest, max(FIRST_GROUPS, listed // 20))
        if group and (len(group) >= limit or size + its_size > most_bytes):
            yield group
            group, size = [], 0
        group.append(path)
        size += its_size
    if group:
        yield group


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Be connected to a cluster, or have one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless the user wants it
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # or a thread that outlives an interrupted run would connect again
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what counts is said below
    warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
    if ray.is_initialized():  # by who calls this
        yield
        return
    if address:
        _check_address(address)
    quiet = {"logging_level": "ERROR", "log_to_driver": False, "include_dashboard": False}
    try:
        ray.init(address or "auto", **quiet)
    except ConnectionError as error:
        if address or "Could not find any running Ray instance" not in str(error):
            raise UsageError(
                f"{first_line(error)}: this machine has to be a node of it (ray start --address=HOST:PORT); a cluster "
                "that was started with a token needs RAY_AUTH_MODE=token and ~/.ray/auth_token"
            ) from error
        ray.init("local", object_store_memory=OBJECT_STORE, **quiet)
    try:
        yield
    finally:
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise `UsageError` if nobody listens there; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"{address}: no Ray cluster answers there ({error}); HOST:PORT is what is needed") from error


def _check_nodes() -> str:
    """Return how many nodes there are; raise `UsageError` unless each of them has this version of the package."""
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    asked = [(node["NodeManagerAddress"], _on(node["NodeID"], _about).remote()) for node in nodes]
    kinds = set()
    for address, answer in asked:
        try:
            version, kind = ray.get(answer, timeout=HANGING)
        except ray.exceptions.RayError as error:
            raise UsageError(f"node {address}: cifar-edge does not run there ({first_line(error)})") from error
        if version != __version__:
            raise UsageError(f"node {address}: has cifar-edge {version}, here it is {__version__}; install the same")
        kinds.add(kind)
    processors = sum(node["Resources"]["CPU"] for node in nodes)
    return f"cluster: nodes {len(nodes)}, processors {processors:g} ({', '.join(sorted(kinds))})"


def _about() -> tuple[str, str]:
    return __version__, platform.machine()


def _on(node: str, function: Callable[..., Any]) -> Any:
    """Return a function as a task of a certain node that takes no processor."""
    import ray

    return ray.remote(function).options(**_once_on(node))


def _once_on(node: str) -> dict[str, Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False), "max_retries": 0}


def _round(job: Job, places: Sequence[Path | str], done: Paths, largest: int, advance: Callable[[int], None]) -> None:
    """Classify the photos that have no row yet, or most of them: who was killed, or hung, leaves some out.

    Raises:
        ResultsError: rows cannot be written, a URI not be reached, or nothing is going on.
    """
    import ray

    context = ray.data.DataContext.get_current()
    context.target_max_block_size = 1  # a group makes a block, and so a task
    context.max_errored_blocks = -1  # of lost tasks the next round takes care
    context.enable_progress_bars = False
    here = ray.get_runtime_context().get_node_id()
    listing, shared = ray.put((places, done, largest)), ray.put(job)
    # Photos are listed once: done again elsewhere, it could make other groups.
    groups = ray.data.range(1).map_batches(functools.partial(_list_groups, listing), **_once_on(here))
    results = groups.map(functools.partial(_classify_group, shared), num_cpus=1, max_retries=RETRIES)
    try:
        for result in _in_time(results.iter_rows(), STALLED):
            if result["failure"]:
                raise ResultsError(f"{result['failure']}; what is done is kept for --resume")
            advance(result["photos"])
    except Empty:
        raise ResultsError(
            f"{job.output}: no photo was done for {STALLED // 60} minutes; what is done is kept for --resume"
        ) from None
    except ray.exceptions.RayError as error:
        raise ResultsError(f"Ray: {first_line(error)}; what is done is kept for --resume") from error


def _in_time(items: Iterable[Any], seconds: float) -> Iterator[Any]:
    """Pass on what comes; raise `Empty` when nothing has come for so long."""
    come: SimpleQueue[tuple[str, Any]] = SimpleQueue()

    def take() -> None:
        try:
            for item in items:
                come.put(("item", item))
            come.put(("end", None))
        except BaseException as error:
            come.put(("error", error))

    threading.Thread(target=take, daemon=True).start()
    while (message := come.get(timeout=seconds))[0] == "item":
        yield message[1]
    if message[1]:
        raise message[1]


def _list_groups(listing: Any, _: Any) -> Iterator[dict[str, list[bytes]]]:
    """List what has no row, on a worker."""
    import ray

    places, done, largest = ray.get(listing)
    missing = ((file, size) for file, size in list_photos(places) if file not in done)
    for group in grouped(missing, largest):
        yield {"files": [os.fsencode("\0".join(group))]}


def _classify_group(job: Any, row: dict[str, bytes]) -> dict[str, Any]:
    """Classify a group and write its rows, on a worker."""
    files = os.fsdecode(row["files"]).split("\0")
    workers = REMOTE_READERS if remote.is_remote(files[0]) else 1
    rows = []
    try:
        rows_of, folder = _prepared(job)
        _end_if_nothing_happens()
        for one in classify_files(files, rows_of, workers):
            rows.append(one)
            _end_if_nothing_happens()
        write_part(folder, rows)
    except Exception as error:  # whatever it is, other groups would meet it too
        return {"photos": 0, "failure": f"on {platform.node()}: {first_line(error)}"}
    finally:
        faulthandler.cancel_dump_traceback_later()
    return {"photos": len(rows), "failure": ""}


def _end_if_nothing_happens() -> None:
    """Let this process end unless this is called again soon; even a decoder that lets no other thread run is ended."""
    faulthandler.dump_traceback_later(HANGING, exit=True, file=sys.stderr)


@functools.lru_cache(maxsize=1)
def _prepared(reference: Any) -> tuple[Callable[[Sequence[Path | str]], list[Row]], str]:
    """Return a classifier, made once in a process, and where its rows go."""
    import ray

    job: Job = ray.get(reference)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, job.model)
        path.write_bytes(job.content)
        model = EdgeModel(path, labels=job.labels, pixel_range=job.pixel_range)
    return classifier(model, job.options, processors()), job.output


def _check_complete(folder: str, places: Sequence[Path | str], done: Paths) -> None:
    missing = (file for file, _ in list_photos(places) if file not in done)
    if some := list(islice(missing, 3)):
        count = len(some) + sum(1 for _ in missing)
        raise ResultsError(
            f"{folder}: {count:,} photos have no row yet, as {', '.join(some)}: they came meanwhile, or whoever reads "
            "them is killed or hangs; --resume tries again"
        )
