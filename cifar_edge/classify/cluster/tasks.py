"""The tasks of a cluster's workers: list photos, classify a group, write its rows."""

from __future__ import annotations

import faulthandler
import functools
import os
import platform
import sys
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from cifar_edge.classify.cluster.nodes import HANGING, RETRIES, lacking, only_on
from cifar_edge.classify.options import Setup, readers_for
from cifar_edge.classify.pipeline import classifier, classify_files
from cifar_edge.errors import ResultsError, first_line
from cifar_edge.photos.find import list_photos
from cifar_edge.results.parquet_folder import write_part
from cifar_edge.results.request import Options
from cifar_edge.results.row import Row
from cifar_edge.system.folders import Folder, folder_at
from cifar_edge.system.machine import photo_memory, processors
from cifar_edge.system.uris import Uri, place_of
from cifar_edge.tflite.model import EdgeModel

FIRST_GROUPS = 50  # photos; groups grow with the number of photos, so that a few photos occupy all workers too

GROUP_BYTES = 1 << 28  # of photos; a lost worker costs as much reading


PAUSE = 3  # seconds after a failure, so that a broken node does not take all groups
STALLED = 3600  # seconds without any progress after which the run ends

LOOKED_AT = 100_000  # photos with a row after which the listing gives a sign of life


@dataclass(frozen=True)
class Job:
    """Sent to the workers: text, numbers and the model's bytes. The model's path need not exist there.

    Attributes:
        model: name of the model's file.
        content: of that file.
        labels: class names, for a model without a card.
        pixel_range: its black and white, for a model without a card.
        image_size: height and width in pixels, for a model that takes images of any size.
        options: of `classifier`.
        output: a folder of Parquet files; a URI, or a path that all machines share.
        shared: files that all machines can read, see `shared_files`.
    """

    model: str
    content: bytes
    labels: tuple[str, ...]
    pixel_range: tuple[float, float]
    image_size: tuple[int, int] | None
    options: Options
    output: str
    shared: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, setup: Setup, output: Path | Uri, shared: Iterable[tuple[str, ...]]) -> Job:
        """Pack a model whose file is on this machine."""
        model, options, _ = setup
        card = model.labels, model.pixel_range, model.image_size
        return cls(model.path.name, model.content, *card, options, str(output), tuple(shared))


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


def results_of(job: Any, listing: Any) -> Generator[dict[str, Any], None, None]:
    """Yield the outcome of each group of photos as soon as it is there."""
    import ray

    context = ray.data.DataContext.get_current().copy()
    context.target_max_block_size = 1  # a group makes a block, and so a task
    context.max_errored_blocks = -1  # of lost groups the next round takes care
    context.execution_no_progress_timeout_s = STALLED
    context.enable_progress_bars = False
    here = ray.get_runtime_context().get_node_id()
    with ray.data.DataContext.current(context):
        # A lister that takes a killed one's place may find more photos and make groups that overlap: see `recount`.
        groups = ray.data.range(1).map_batches(
            functools.partial(_list_groups, listing), **only_on(here), max_retries=RETRIES
        )
        yield from groups.map(functools.partial(_classify_group, job), num_cpus=1, max_retries=RETRIES).iter_rows()


def _list_groups(listing: Any, _: Any) -> Iterator[dict[str, list[Any]]]:
    """On a worker, list the photos without a row in groups; the last item says how the listing ended."""
    import ray

    def row(kind: str, text: str = "") -> dict[str, list[Any]]:
        return {"kind": [kind], "text": [os.fsencode(text)]}

    places, done, largest = ray.get(listing)
    try:
        for group in grouped(list_photos(places), largest, done):
            yield row("group", "\0".join(group)) if group else row("alive")
    except Exception as error:  # any error; the next round would meet it too
        yield row("unlisted", _reason(error))
    else:
        yield row("end")


def _classify_group(job: Any, row: dict[str, Any]) -> dict[str, Any]:
    """On a worker, classify a group and write its rows; pass other items of the listing on."""
    if row["kind"] != "group":
        return {"kind": row["kind"], "photos": 0, "reason": row["text"]}
    files = os.fsdecode(row["text"]).split("\0")
    rows = []
    try:
        armed = _end_if_nothing_happens()
        rows_of, output, shared = _prepared(job)
        for one in classify_files(files, rows_of, readers_for(1, map(place_of, files[:1]))):
            rows.append(one)
            if monotonic() - armed > 1:  # it costs a thread each time
                armed = _end_if_nothing_happens()
        if any(one.error for one in rows) and (reasons := lacking(shared)):  # it is not about these photos
            raise ResultsError(reasons[0])
        write_part(output, rows)
    except Exception as error:  # any error; another node or the next round may succeed
        sleep(PAUSE)
        return {"kind": "failure", "photos": 0, "reason": os.fsencode(_reason(error))}
    finally:
        faulthandler.cancel_dump_traceback_later()
    return {"kind": "done", "photos": len(rows), "reason": b""}


def _reason(error: Exception) -> str:
    return f"on {platform.node()}: {first_line(error)}"


def _end_if_nothing_happens() -> float:
    """End this process unless this is called again in time; that ends even a decoder that holds Python's lock."""
    faulthandler.dump_traceback_later(HANGING, exit=True, file=sys.stderr)
    return monotonic()


@functools.lru_cache(maxsize=1)
def _prepared(reference: Any) -> tuple[Callable[[Sequence[str]], list[Row]], Folder, tuple[tuple[str, ...], ...]]:
    """Return a classifier, made once in a process, the folder of its rows, and the files that all nodes share."""
    import ray

    job: Job = ray.get(reference)
    model = EdgeModel.from_bytes(
        job.content, job.model, labels=job.labels, pixel_range=job.pixel_range, image_size=job.image_size
    )
    setup = Setup(model, job.options, workers=1)
    return classifier(setup, photo_memory(processors())), folder_at(place_of(job.output)), job.shared
