"""Photos -> rows on the machines of a Ray cluster, by Ray Data; decoding and prediction are those of one machine.

One task lists the photos and groups them; a task for each group classifies it as `classify_folder` does and writes
its rows as a part of a `ParquetFolder`. Through Ray go names of photos, and counts: neither pixels nor rows. When the
stream has ended, the photos are listed again, and what has no row goes into another round, in smaller groups.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cifar_edge.classify.cluster.nodes import FAILURES, Trouble, check_nodes, connected, lacking, shared_files
from cifar_edge.classify.cluster.tasks import STALLED, Job, results_of
from cifar_edge.classify.options import MIN_CONFIDENCE, set_up
from cifar_edge.errors import ResultsError, UsageError, first_line
from cifar_edge.photos.find import absolute, list_photos, places_of
from cifar_edge.photos.own_process import TIMEOUT
from cifar_edge.results.parquet_folder import REQUEST, ParquetFolder
from cifar_edge.results.path_set import PathSet
from cifar_edge.results.request import request
from cifar_edge.results.summary import Summary
from cifar_edge.system.uris import Uri
from cifar_edge.tflite.model import EdgeModel

ROUNDS = (1_000, 30, 1)
"""The most photos of a group, by round. In the last, a photo that kills or blocks its worker is alone."""


def classify_on_cluster(
    paths: str | Path | Sequence[str | Path],
    model: str | Path | EdgeModel,
    address: str | None = None,
    *,
    output: str | Path,
    fit: str | None = None,
    exif_thumbnails: bool = False,
    top_k: int = 1,
    min_confidence: float | str = MIN_CONFIDENCE,
    timeout: float = TIMEOUT,
    resume: bool = False,
    say: Callable[[str], None] = lambda message: None,
    advance: Callable[[int], None] = lambda photos: None,
) -> Summary:
    """Classify photos on a Ray cluster, into a folder of Parquet files.

        classify_on_cluster("s3://bucket/photos", "nano-int8.tflite", "10.0.0.1:6379", output="s3://bucket/results")

    The machine this runs on has to be a node of the cluster. Each node needs this package, and the credentials for
    URIs; paths have to be the same on all nodes, as on a network drive.

    Args:
        paths: see `classify_folder`.
        model: see `classify_folder`; the file is needed on this machine only.
        address: HOST:PORT of the cluster's head; by default the cluster that runs on this machine, or else
            one that is made here for this run.
        output: the folder: a URI or a path.
        fit: see `classify_folder`.
        exif_thumbnails: see `classify_folder`.
        top_k: see `classify_folder`.
        min_confidence: see `classify_folder`.
        timeout: see `classify_folder`.
        resume: go on with the results that are there, with the photos that have no row.
        say: called with messages for the user.
        advance: called with the number of photos done since the last call.

    Returns:
        A summary of all rows in the folder.

    Raises:
        UsageError: as `classify_folder`; or there is no such cluster, or a node has not this version of the package,
            or cannot read the photos or the output; or another run writes there.
        ResultsError: photos without a row remain; `_MISSING` in the folder names them. Or they cannot be listed.
        StorageError: a URI cannot be reached.
    """
    setup = set_up(
        model,
        fit=fit,
        exif_thumbnails=exif_thumbnails,
        top_k=top_k,
        min_confidence=min_confidence,
        timeout=timeout,
    )
    places = absolute(places_of(paths))
    (place,) = absolute(places_of(output))
    shared = shared_files(places)
    if not shared and next(list_photos(places), None) is None:
        raise UsageError(f"{', '.join(map(str, places))}: no photos in there")
    asked = request(places, setup.model, setup.options)
    store = ParquetFolder(place, asked, setup.model.labels, resume=resume)
    shared += shared_files(places_of(f"{store.place}/{REQUEST}"))
    with connected(address) as trouble:
        import ray

        say(check_nodes(shared))
        # Held until Ray has ended: tasks that were given up may still ask for it.
        job = ray.put(Job.of(setup, store.place, shared))
        with store:
            missing = _complete(store, job, shared, places, advance, trouble)
    if missing:
        raise ResultsError(f"{missing}; --resume tries again")
    return store.tally.summary


def _complete(
    store: ParquetFolder,
    job: Any,
    shared: Sequence[tuple[str, ...]],
    places: Sequence[Path | Uri],
    advance: Callable[[int], None],
    trouble: Trouble,
) -> str:
    """Classify in rounds until every photo has its row; return which have none and why, or ""."""
    advance(store.tally.summary.photos)
    for largest in ROUNDS:
        ended = _round(job, places, store.tally.paths, largest, advance, trouble)
        store.recount()
        left_out: Counter[str] = Counter()
        if next(_without_row(places, store.tally.paths, left_out), None) is None:
            if reasons := lacking(shared):  # an empty folder may be a drive that is gone
                raise ResultsError(f"{reasons[0]}; what is done is kept for --resume")
            store.finish()
            store.tally.summary.left_out = left_out
            return ""
        if ended:
            break
    heard = trouble.last and f" ({trouble.last})"
    why = ended or f"they came meanwhile, or their workers are killed or hang{heard}"
    return f"{store.lack(file for file, _ in _without_row(places, store.tally.paths))}: {why}"


def _without_row(
    places: Sequence[Path | Uri], done: PathSet, left_out: Counter[str] | None = None
) -> Iterator[tuple[str, int]]:
    return ((file, size) for file, size in list_photos(places, left_out) if file not in done)


def _round(
    job: Any,
    places: Sequence[Path | Uri],
    done: PathSet,
    largest: int,
    advance: Callable[[int], None],
    trouble: Trouble,
) -> str:
    """Classify the photos that have no row yet; lost and failed tasks leave some out.

    Returns:
        Why another round would not help: one group after the other fails, or nothing moves; or "".

    Raises:
        ResultsError: photos cannot be listed.
    """
    import ray
    from ray.data.exceptions import ExecutionTimeoutError

    listed, trouble.in_a_row = False, 0
    trouble.limit = max(FAILURES, 2 * int(ray.cluster_resources().get("CPU", 0)))
    try:
        with contextlib.closing(results_of(job, ray.put((places, done, largest)))) as results:
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
    return "" if listed else f"the task that lists the photos is lost each time ({trouble.last or 'killed'})"
