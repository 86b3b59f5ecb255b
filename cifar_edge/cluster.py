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
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from cifar_edge import __version__, remote
from cifar_edge.dataset import REQUEST, DataSet, Paths, write_part
from cifar_edge.errors import CifarEdgeError, ResultsError, UsageError, first_line
from cifar_edge.folder import (
    Options,
    absolute,
    classifier,
    classify_files,
    default_fit,
    find,
    places_of,
    readers_for,
    request,
)
from cifar_edge.machine import photo_memory, processors
from cifar_edge.model import EdgeModel
from cifar_edge.results import Row
from cifar_edge.summary import Summary

ROUNDS = (1_000, 30, 1)
"""Photos of a group, at most: one that kills or blocks every worker is alone in the last round."""

FIRST_GROUPS = 50  # photos each; they grow with what is listed, that few photos occupy all workers too
GROUP_BYTES = 1 << 28  # of photos; a lost worker costs as much reading

RETRIES = 2  # of a group whose worker is lost; then it is left to the next round
FAILURES = 20  # in a row, or 2 for each processor, after which the run ends: it is not about these groups
PAUSE = 3  # seconds after each, that a node which can do nothing does not take the groups away from others
HANGING = 300  # seconds for a photo, after which its worker is killed
STALLED = 3600  # seconds in which nothing goes on at all, after which the run ends
WITNESSES = 3  # photos of each place, of which each node has to be able to read one
LOOKED_AT = 100_000  # photos that have their rows, after which the lister says that it is alive

OBJECT_STORE = 150_000_000  # bytes, for a cluster that is started here


@dataclass(frozen=True)
class Job:
    """What travels to the workers: text, numbers and the model's bytes; no path of it has to exist there.

    Attributes:
        model: name of the model's file.
        content: of that file.
        labels: class names, which a model without a card does not know.
        pixel_range: what it takes for black and white, likewise.
        options: of `classifier`.
        output: a data set's folder; a URI, or a path that all machines share.
        shared: what all machines can read, see `_shared`.
    """

    model: str
    content: bytes
    labels: tuple[str, ...]
    pixel_range: tuple[float, float]
    options: Options
    output: str
    shared: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, model: EdgeModel, options: Options, output: str, shared: Iterable[tuple[str, ...]]) -> Job:
        """Pack a model whose file is on this machine."""
        content = model.path.read_bytes()
        return cls(model.path.name, content, model.labels, model.pixel_range, options, output, tuple(shared))


class Trouble(logging.Handler):
    """Why photos were left to the next round; of lost tasks, Ray Data tells this to nobody but its log.

    Attributes:
        last: of the reasons, "" if there is none.
        in_a_row: how many groups have failed or were lost since one was done.
        limit: as many mean that it is no use to go on.
    """

    last = ""
    in_a_row = 0
    limit = FAILURES

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the reason; at the limit raise it, which ends what Ray Data is at."""
        if record.exc_info and isinstance(error := record.exc_info[1], Exception):
            self.add(first_line(error))
            if self.too_much():
                raise error

    def add(self, reason: str) -> None:
        """Count a group that has failed or been lost."""
        self.last = reason
        self.in_a_row += 1

    def too_much(self) -> str:
        """Return why it is no use to go on, or ""."""
        if self.in_a_row < self.limit:
            return ""
        return f"{self.in_a_row} groups in a row have failed or were lost, the last one {self.last}"


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
        UsageError: as `classify_folder`; or there is no such cluster, or a node has not this version of the package,
            or cannot read the photos or the output; or another run writes there.
        ResultsError: photos without a row remain; `_MISSING` in the data set names them. Or they cannot be listed.
        StorageError: a URI cannot be reached.
    """
    model = model if isinstance(model, EdgeModel) else EdgeModel(model)
    options = Options(fit or default_fit(model), exif_thumbnails, top_k, min_confidence)
    classifier(model, options, 1)  # to be refused here if need be
    places = absolute(places_of(paths))
    folder = str(output) if remote.is_remote(output) else str(Path(output).absolute())
    shared = _shared(places)
    if not shared and next(list_photos(places), None) is None:
        raise UsageError(f"{', '.join(map(str, places))}: no photos in there")
    data_set = DataSet(folder, request(places, model, options), resume)
    shared += _shared(places_of(f"{data_set.folder}/{REQUEST}"))
    with data_set.alone(), _connected(address) as trouble:
        import ray

        say(_check_nodes(shared))
        job = ray.put(Job.of(model, options, data_set.folder, shared))
        tally = data_set.reopen()
        advance(tally.summary.photos)
        for largest in ROUNDS:
            ended = _round(job, places, tally.paths, largest, advance, trouble)
            tally = data_set.reopen()
            if next(_without_row(places, tally.paths), None) is None:
                if lacking := _lacking(shared):  # an empty folder may be a drive that is gone
                    raise ResultsError(f"{lacking[0]}; what is done is kept for --resume")
                data_set.finish(tally)
                return tally.summary
            if ended:
                break
        heard = trouble.last and f" ({trouble.last})"
        why = ended or f"they came meanwhile, or whoever reads them is killed or hangs{heard}"
        missing = data_set.lack(file for file, _ in _without_row(places, tally.paths))
    raise ResultsError(f"{missing}: {why}; --resume tries again")


def list_photos(places: Sequence[Path | str]) -> Iterator[tuple[str, int]]:
    """Yield path or URI of each photo, and its size in bytes."""
    for file in find([place for place in places if isinstance(place, Path)]):
        try:
            yield file, Path(file).stat().st_size
        except OSError:  # its row will say why
            yield file, 0
    for place in remote.distinct(place for place in places if isinstance(place, str)):
        yield from remote.photos(place)


def _without_row(places: Sequence[Path | str], done: Paths) -> Iterator[tuple[str, int]]:
    return ((file, size) for file, size in list_photos(places) if file not in done)


def grouped(
    photos: Iterable[tuple[str, int]], largest: int, done: Container[str] = (), most_bytes: int = GROUP_BYTES
) -> Iterator[list[str]]:
    """Yield groups of photos' paths: many small ones together, large ones apart.

    Args:
        photos: paths, and sizes in bytes.
        largest: how many a group may have; the first ones have fewer.
        done: paths that are left out; there is an empty group after each `LOOKED_AT` photos, as a sign of life.
        most_bytes: how many the photos of a group have together, unless it is one photo.
    """
    group: list[str] = []
    size = new = 0
    for looked_at, (path, its_size) in enumerate(photos, 1):
        if looked_at % LOOKED_AT == 0:
            yield []
        if path in done:
            continue
        limit = min(largest, max(FIRST_GROUPS, new // 20))
        if group and (len(group) >= limit or size + its_size > most_bytes):
            yield group
            group, size = [], 0
        group.append(path)
        size += its_size
        new += 1
    if group:
        yield group


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[Trouble]:
    """Be connected to a cluster, or have one; give what is heard of lost tasks."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless the user wants it
    os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # or a thread that outlives a stopped run would connect again
    os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))  # of who takes too much memory; Ray would never end
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # or a cluster that is gone is waited for 15 minutes
    import ray
    import ray.data

    trouble = Trouble()
    log = logging.getLogger("ray.data")
    log.handlers = [trouble]  # what counts is said below
    log.setLevel(logging.ERROR)
    warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
    if ray.is_initialized():  # by who calls this
        if address:
            raise UsageError(f"{address}: Ray is connected in this process already; leave the address out")
        yield trouble
        return
    if address:
        _check_address(address)
    quiet = {"logging_level": "ERROR", "log_to_driver": False, "include_dashboard": False}
    try:
        ray.init(address or "auto", **quiet)
    except (ConnectionError, RuntimeError, ray.exceptions.AuthenticationError) as error:
        if "Version mismatch" in str(error):  # and which, in several lines
            raise UsageError(f"{' '.join(str(error).split())}; install the same on all machines") from error
        if address or "Could not find any running Ray instance" not in str(error):
            raise UsageError(
                f"{first_line(error)}: this machine has to be a node of it (ray start --address=HOST:PORT); if it is "
                "gone, `ray stop` lets this machine forget it; a cluster that was started with a token needs "
                "RAY_AUTH_MODE=token and ~/.ray/auth_token"
            ) from error
        ray.init("local", object_store_memory=OBJECT_STORE, **quiet)
    try:
        yield trouble
    finally:
        for thread in threading.enumerate():
            # Of a run that was stopped; one that asks Ray for something after its end would end this process at once.
            if thread.name.startswith(("StreamingExecutor", "iter_threaded")):
                thread.join(timeout=10)
        ray.shutdown()


def _check_address(address: str) -> None:
    """Raise `UsageError` if nobody listens there; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except (OSError, ValueError) as error:
        raise UsageError(f"{address}: no Ray cluster answers there ({error}); HOST:PORT is what is needed") from error


def _shared(places: Sequence[Path | str]) -> list[tuple[str, ...]]:
    """Return places with a few files of each that this machine can read: any other one can read one of them at least.

    A disk that is not mounted is an empty folder, and who may list a bucket may not always read it; so files tell.
    There are several of each place, for one may be deleted while a run goes on; and none that is unreadable itself.

    Raises:
        UsageError, StorageError: as `list_photos` of any of the places.
    """
    readable = ((str(place), *_readable(place)) for place in places)
    return [(place, *files) for place, *files in readable if files]


def _readable(place: Path | str) -> list[str]:
    return [file for file, _ in islice(list_photos([place]), WITNESSES) if not _unreadable(file)]


def _check_nodes(shared: Sequence[tuple[str, ...]]) -> str:
    """Return how many nodes there are.

    Raises:
        UsageError: one has not this version of the package, or cannot read what all have to share; or there is none.
    """
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    if not nodes:
        raise UsageError("the cluster has no processors; add a node: ray start --address=HOST:PORT")
    asked = [(node["NodeManagerAddress"], _on(node["NodeID"], _about).remote(shared)) for node in nodes]
    kinds = set()
    for address, answer in asked:
        try:
            version, kind, lacking = ray.get(answer, timeout=HANGING)
        except ray.exceptions.RayError as error:
            raise UsageError(f"node {address}: cifar-edge does not run there ({first_line(error)})") from error
        if version != __version__:
            raise UsageError(f"node {address}: has cifar-edge {version}, here it is {__version__}; install the same")
        if lacking:
            raise UsageError(
                f"node {address}: {lacking[0]}; each node needs the same paths, as on a network drive, and for URIs "
                "the package and the credentials"
            )
        kinds.add(kind)
    processors = sum(node["Resources"]["CPU"] for node in nodes)
    return f"cluster: nodes {len(nodes)}, processors {processors:g} ({', '.join(sorted(kinds))})"


def _about(shared: Sequence[tuple[str, ...]]) -> tuple[str, str, list[str]]:
    return __version__, platform.machine(), _lacking(shared)


def _lacking(shared: Sequence[tuple[str, ...]]) -> list[str]:
    """Return why the first file is not to be read of each place that has none for this machine, not even new ones."""
    reasons = ((place, [_unreadable(file) for file in files]) for place, *files in shared)
    return [of_place[0] for place, of_place in reasons if all(of_place) and not _has_others(place)]


def _has_others(place: str) -> bool:
    try:
        return bool(_readable(*places_of(place)))
    except CifarEdgeError:
        return False


def _unreadable(file: str) -> str:
    """Return why the first byte behind a URI cannot be read, or that a path is not there; or ""."""
    if not remote.is_remote(file):
        return "" if os.path.lexists(file) else f"{file} is not there"
    try:
        remote.read(file, 1)
    except Exception as error:  # whatever is not installed or set up
        return f"{file}: {first_line(error).removeprefix(f'{file}: ')}"
    return ""


def _on(node: str, function: Callable[..., Any]) -> Any:
    """Return a function as a task of a certain node that takes no processor."""
    import ray

    return ray.remote(function).options(**_only(node), max_retries=0)


def _only(node: str) -> dict[str, Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


def _round(
    job: Any,
    places: Sequence[Path | str],
    done: Paths,
    largest: int,
    advance: Callable[[int], None],
    trouble: Trouble,
) -> str:
    """Classify the photos that have no row yet, or most of them: who was killed, hung or failed leaves some out.

    Returns:
        Why another round would be no better: one group after the other fails, or nothing is going on; or "".

    Raises:
        ResultsError: photos cannot be listed.
    """
    import ray
    from ray.data.exceptions import ExecutionTimeoutError

    listed, trouble.in_a_row = False, 0
    trouble.limit = max(FAILURES, 2 * int(ray.cluster_resources().get("CPU", 0)))
    try:
        with contextlib.closing(_results(job, ray.put((places, done, largest)))) as results:
            for result in results:
                kind, reason = result["kind"], os.fsdecode(result["reason"])
                if kind == "done":
                    trouble.in_a_row = 0
                    advance(result["photos"])
                elif kind == "failure":
                    trouble.add(reason)
                    if why := trouble.too_much():
                        return why
                elif kind == "unlisted":
                    raise ResultsError(f"{reason}; what is done is kept for --resume")
                listed |= kind == "end"
    except ExecutionTimeoutError:
        return f"nothing was done for {STALLED // 60} minutes"
    except ray.exceptions.RayError as error:
        return trouble.too_much() or f"Ray: {first_line(error)}"
    # Smaller groups of all the others would be no help.
    return "" if listed else f"whoever lists the photos is lost each time ({trouble.last or 'killed'})"


def _results(job: Any, listing: Any) -> Generator[dict[str, Any], None, None]:
    """Yield what comes of each group of photos, as soon as it does."""
    import ray

    context = ray.data.DataContext.get_current().copy()
    context.target_max_block_size = 1  # a group makes a block, and so a task
    context.max_errored_blocks = -1  # of lost groups the next round takes care
    context.execution_no_progress_timeout_s = STALLED
    context.enable_progress_bars = False
    here = ray.get_runtime_context().get_node_id()
    with ray.data.DataContext.current(context):
        # Whoever takes a killed lister's place may find more photos, and make groups that overlap: see `reopen`.
        groups = ray.data.range(1).map_batches(
            functools.partial(_list_groups, listing), **_only(here), max_retries=RETRIES
        )
        yield from groups.map(functools.partial(_classify_group, job), num_cpus=1, max_retries=RETRIES).iter_rows()


def _list_groups(listing: Any, _: Any) -> Iterator[dict[str, list[Any]]]:
    """List what has no row, on a worker: groups, and at last how that ended."""
    import ray

    def row(kind: str, text: str = "") -> dict[str, list[Any]]:
        return {"kind": [kind], "text": [os.fsencode(text)]}

    places, done, largest = ray.get(listing)
    try:
        for group in grouped(list_photos(places), largest, done):
            yield row("group", "\0".join(group)) if group else row("alive")
    except Exception as error:  # whatever it is, the next round would meet it too
        yield row("unlisted", _reason(error))
    else:
        yield row("end")


def _classify_group(job: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Classify a group and write its rows, on a worker; pass on what else the lister says."""
    if row["kind"] != "group":
        return {"kind": row["kind"], "photos": 0, "reason": row["text"]}
    files = os.fsdecode(row["text"]).split("\0")
    rows = []
    try:
        armed = _end_if_nothing_happens()
        rows_of, output, shared = _prepared(job)
        for one in classify_files(files, rows_of, readers_for(1, files)):
            rows.append(one)
            if monotonic() - armed > 1:  # it costs a thread each time
                armed = _end_if_nothing_happens()
        if any(one.error for one in rows) and (lacking := _lacking(shared)):  # it is not about these photos
            raise ResultsError(lacking[0])
        write_part(output, rows)
    except Exception as error:  # whatever it is, another node or the next round may have more luck
        sleep(PAUSE)
        return {"kind": "failure", "photos": 0, "reason": os.fsencode(_reason(error))}
    finally:
        faulthandler.cancel_dump_traceback_later()
    return {"kind": "done", "photos": len(rows), "reason": b""}


def _reason(error: Exception) -> str:
    return f"on {platform.node()}: {first_line(error)}"


def _end_if_nothing_happens() -> float:
    """Let this process end unless this is called again soon; even a decoder that lets no other thread run is ended."""
    faulthandler.dump_traceback_later(HANGING, exit=True, file=sys.stderr)
    return monotonic()


@functools.lru_cache(maxsize=1)
def _prepared(reference: Any) -> tuple[Callable[[Sequence[str]], list[Row]], str, tuple[tuple[str, ...], ...]]:
    """Return a classifier, made once in a process, where its rows go, and what all nodes share."""
    import ray

    job: Job = ray.get(reference)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, job.model)
        path.write_bytes(job.content)
        model = EdgeModel(path, labels=job.labels, pixel_range=job.pixel_range)
    return classifier(model, job.options, 1, photo_memory(processors())), job.output, job.shared
