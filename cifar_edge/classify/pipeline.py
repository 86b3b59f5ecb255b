"""Files -> rows, by threads that decode and classify ahead, in the order of the files."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from queue import Empty, Queue, SimpleQueue
from time import monotonic, perf_counter, thread_time
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cifar_edge.classify.options import Setup
from cifar_edge.errors import ImageError
from cifar_edge.photos.decode import SlowPhotoError
from cifar_edge.photos.own_process import Reader
from cifar_edge.results.request import Options
from cifar_edge.results.row import UNKNOWN, Row
from cifar_edge.system import uris
from cifar_edge.system.machine import photo_memory
from cifar_edge.system.opening import look
from cifar_edge.tflite.model import EdgeModel

BATCH_SECONDS = 0.05  # of one worker's time: tiny files handed over one by one cost twice as much

LARGEST_BATCH = 128  # photos; more gain little, and large photos may follow tiny ones
TINY, QUICK = 1 << 12, 5e-4  # bytes, and seconds, of a photo for which Python works as long as the decoder
AHEAD = 16  # batches that each worker may be ahead of the next row
LINGER = 1.0  # seconds to wait for threads when a run is stopped; a search may take minutes
TICK = 0.5  # seconds in which a stop is noticed

T = TypeVar("T")


def classifier(setup: Setup, memory: float | None = None) -> Callable[[Sequence[str]], list[Row]]:
    """Return a function that takes a few files, paths or URIs, and returns the rows of the first of them.

    As many threads as there are workers may use it for paths, more for URIs.

    Args:
        setup: model, options and workers.
        memory: bytes that each worker may take for a photo; by default what they have on this computer.
    """
    model, options, workers = setup
    read = Reader(
        options.timeout,
        height=model.height,
        width=model.width,
        fit=options.fit,
        exif_thumbnails=options.exif_thumbnails,
        memory=memory or photo_memory(workers),
    )
    decoding = threading.BoundedSemaphore(workers)

    def load_either(file: str, wait: bool) -> NDArray[np.uint8]:
        photo = uris.read(file) if uris.is_uri(file) else file
        with decoding:
            return read(photo, wait)

    return partial(_rows, load=load_either, turn=threading.Lock(), model=model, options=options)


def classify_files(
    files: Iterable[str],
    rows_of: Callable[[Sequence[str]], list[Row]],
    workers: int,
    stop: threading.Event | None = None,
) -> Generator[Row, None, None]:
    """Yield the rows of files, in the files' order.

    The threads also search for files, one thread at a time, so that no row waits until the next file is found.

    Args:
        files: paths and URIs.
        rows_of: a `classifier`.
        workers: how many threads call it.
        stop: ends it when set, whatever is being decoded.
    """
    files = iter(files)
    stop = stop or threading.Event()
    turn = threading.Lock()  # its holder takes files, and a place in the queue for their rows
    places: Queue[SimpleQueue[list[Row] | BaseException | None]] = Queue(workers * AHEAD)
    stopping = threading.Event()

    def work() -> None:
        size = 1
        while not stopping.is_set():
            parts: SimpleQueue[list[Row] | BaseException | None] = SimpleQueue()
            try:
                with turn:
                    places.put(parts)
                    batch = list(itertools.islice(files, size))
                if not batch:
                    parts.put(None)
                    return
                start, rest = perf_counter(), batch
                while rest and not stopping.is_set():
                    rows = rows_of(rest)
                    parts.put(rows)
                    rest = rest[len(rows) :]
                each = (perf_counter() - start) / len(batch)
                size = max(1, min(LARGEST_BATCH, int(BATCH_SECONDS / max(each, 1e-5))))
                parts.put([])
            except BaseException as error:  # raised again where the rows are consumed
                parts.put(error)
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        while True:
            if (parts := _taken(places, stop)) is None:
                return
            while part := _taken(parts, stop):
                if isinstance(part, BaseException):
                    raise part
                yield from part
            if part is None:
                return
    finally:
        stopping.set()
        with contextlib.suppress(Empty):
            while True:
                places.get_nowait()
        until = monotonic() + LINGER
        for thread in threads:
            thread.join(max(0, until - monotonic()))


def _taken(queue: Queue[T] | SimpleQueue[T], stop: threading.Event) -> T | None:
    """Return the next thing in a queue; None once it is time to stop."""
    while not stop.is_set():
        with contextlib.suppress(Empty):
            return queue.get(timeout=TICK)
    return None


def _rows(
    files: Sequence[str],
    load: Callable[[str, bool], NDArray[np.uint8]],
    turn: threading.Lock,
    model: EdgeModel,
    options: Options,
) -> list[Row]:
    """Classify the first of a few files: as many as can be read in `BATCH_SECONDS`, at least one."""
    seen = [*map(look, files)]  # before they are opened, so that a later one is noticed
    photos, reasons, reading = _read(files, load, turn)
    start = perf_counter()
    probabilities = model.predict(np.array(photos, np.uint8).reshape(-1, model.height, model.width, 3))
    inferring = (perf_counter() - start) / max(1, len(photos))
    best = (-probabilities).argsort(axis=1, kind="stable")[:, : options.top_k]
    shares = np.take_along_axis(probabilities, best, axis=1)
    ranked = zip(np.isfinite(probabilities.sum(axis=1)).tolist(), best.tolist(), shares.tolist(), strict=True)
    rows = []
    for file, was, reason, seconds in zip(files, seen, reasons, reading):  # noqa: B905 - not all of them were read
        if not reason:
            finite, *best_first = next(ranked)
            reason = "" if finite else "of no class: the model's scores are not numbers"
        if reason:
            rows.append(Row(file, "", None, (), reason, round(1000 * seconds, 2), model.path.name, was))
            continue
        top = tuple((model.labels[index], round(share, 6)) for index, share in zip(*best_first, strict=True))
        label, confidence = top[0]
        if confidence < options.min_confidence:
            label = UNKNOWN
        milliseconds = round(1000 * (seconds + inferring), 2)
        rows.append(Row(file, label, confidence, top, "", milliseconds, model.path.name, was))
    return rows


def _read(
    files: Sequence[str], load: Callable[[str, bool], NDArray[np.uint8]], turn: threading.Lock
) -> tuple[list[NDArray[np.uint8]], list[str], list[float]]:
    """Read the first of a few files. Return photos, for each file the reason why not (or ""), and seconds.

    All are read before any is inferred, so that threads seldom wait for Python's lock. Reading tiny photos needs that
    lock at every step, so one thread at a time reads them while others infer. That ends where the disk is what takes
    the time, and with the first photo that is slow to decode.
    """
    photos: list[NDArray[np.uint8]] = []
    reasons: list[str] = []
    reading: list[float] = []
    with contextlib.ExitStack() as alone:
        if len(files) > 1 and _is_tiny(files[0]):
            alone.enter_context(turn)
        now, worked = began, idle = perf_counter(), thread_time()
        for file in files:
            try:
                photos.append(load(file, not reading))
                reasons.append("")
            except SlowPhotoError:
                break
            except ImageError as error:
                reasons.append(str(error))
            start, now, before, worked = now, perf_counter(), worked, thread_time()
            reading.append(now - start)
            if worked - before > QUICK or now - began > 2 * (worked - idle):
                alone.close()
            if now - began > BATCH_SECONDS:
                break
    return photos, reasons, reading


def _is_tiny(file: str) -> bool:
    try:
        return os.stat(file).st_size <= TINY  # noqa: PTH116 - pathlib takes as long as all the rest
    except OSError:  # a URI, or a file that no longer exists
        return False
