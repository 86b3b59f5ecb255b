"""Classify photos as they arrive in folders.

A photo is classified when it is complete: unchanged for a second, or for a minute if it cannot be read before. Its row
is appended to a JSON Lines file. One that could not be read gets a second row when it changes and can be. That file is
the only state: a watch that was stopped, killed or cut off goes on with the photos that have no row yet.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from cifar_edge.classify.options import set_up
from cifar_edge.classify.pipeline import classifier, classify_files
from cifar_edge.classify.watch.arrivals import Arrivals
from cifar_edge.classify.watch.hook import Hook
from cifar_edge.classify.watch.settling import Look, Waiting
from cifar_edge.errors import UsageError
from cifar_edge.results.rotating_log import ROTATE, RotatingLog
from cifar_edge.results.row import Row
from cifar_edge.system.opening import destination
from cifar_edge.tflite.model import EdgeModel

TICK = 0.5  # seconds between checks of waiting photos

AT_ONCE = 64  # photos checked together

Rows = Callable[[Iterable[str]], Generator[Row, None, None]]
"""Complete files -> their rows."""


def watch(
    folders: str | Path | Sequence[str | Path],
    model: str | Path | EdgeModel,
    output: str | Path,
    workers: int | None = None,
    *,
    poll: float | None = None,
    rotate: int = ROTATE,
    hook: Hook | None = None,
    warn: Callable[[str], None] = lambda message: None,
    stop: threading.Event | None = None,
    **options: Any,
) -> Generator[Row, None, None]:
    """Classify the photos in folders, then each new photo, until `stop` is set.

    for row in watch("photos", model="nano-int8.tflite", output="results.jsonl"):
        print(row.path, row.label)

    Args:
        folders: one, or several.
        model: a `.tflite` file or an `EdgeModel`.
        output: a `.jsonl` file. A photo with a row in it, or in the files rotated away, is not classified again.
            A full file becomes `<name>.1.jsonl`, the next time `<name>.2.jsonl` and so on.
        workers: threads; by default as for `classify_folder`.
        poll: seconds between searches of the folders; by default the system reports new photos.
        rotate: bytes of a full file.
        hook: called with each row when it is written, before it is yielded.
        warn: called with what went wrong with the hook, the log, or the system's reports of new photos.
        stop: set it, from another thread or a signal handler, to end.
        options: `fit`, `exif_thumbnails`, `top_k`, `min_confidence`, `timeout`, as of `classify_folder`.

    Yields:
        Each row when it is written; it is on the disk within seconds. Paths are absolute.

    Raises:
        UsageError: a folder does not exist, the output is no such file or cannot be written, or an argument is out
            of range.
        ModelError: the model cannot be used.
        OSError: a row cannot be written.
    """
    stop = stop or threading.Event()
    places = [Path(os.path.realpath(each)) for each in ([folders] if isinstance(folders, str | Path) else folders)]
    for place in places:
        if not place.is_dir():
            raise UsageError(f"{place}: no such folder to watch")
    setup = set_up(model, workers, **options)
    rows_of = partial(classify_files, rows_of=classifier(setup), workers=setup.workers, stop=stop)
    log = RotatingLog(destination(Path(output)), rotate, warn)
    rows = _watch(Arrivals(places, poll, warn), rows_of, log, stop)
    return _hooked(rows, hook, warn, stop) if hook else rows


def _hooked(
    rows: Iterable[Row], hook: Hook, warn: Callable[[str], None], stop: threading.Event
) -> Generator[Row, None, None]:
    for row in rows:
        if complaint := hook(row, stop):
            warn(complaint)
        yield row


def _watch(arrivals: Arrivals, rows_of: Rows, log: RotatingLog, stop: threading.Event) -> Generator[Row, None, None]:
    waiting = Waiting()
    with log, arrivals:
        while not stop.is_set():
            log.keep()
            new = arrivals.take(AT_ONCE)
            waiting.add(path for path in new if not log.has(path) or waiting.is_another(path))
            complete = waiting.take(AT_ONCE)
            with contextlib.closing(rows_of(complete)) as rows:
                settled = _settled(rows, waiting, complete, stop)
                yield from log.add(row for row in settled if not (row.error and log.has(row.path)))
            if not complete and len(new) < AT_ONCE:
                stop.wait(TICK)


def _settled(rows: Iterable[Row], waiting: Waiting, complete: dict[str, Look], stop: threading.Event) -> Iterator[Row]:
    """Yield the rows that count; a photo that could not be read may still be being written."""
    for row in rows:
        if not (row.error and waiting.put_back(row.path, complete[row.path])):
            yield row
        if stop.is_set():
            return
