"""A tree of photos -> a stream of rows, in the order of their paths."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import heapq
import io
import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from queue import Empty, Queue, SimpleQueue
from time import perf_counter, thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cifar_edge import __version__, images, remote
from cifar_edge.dataset import DataSet
from cifar_edge.errors import ImageError, ResultsError, UsageError, first_line
from cifar_edge.journal import Journal
from cifar_edge.machine import default_workers, photo_memory
from cifar_edge.model import EdgeModel
from cifar_edge.results import UNKNOWN, Row, check_output, order, save
from cifar_edge.sorting import check_folder, sort_photos

BATCH_SECONDS = 0.05  # of one worker's time: tiny files handed over one by one cost twice as much
LARGEST_BATCH = 128  # photos; more gain little, and large photos may follow tiny ones
TINY, QUICK = 1 << 12, 5e-4  # bytes, and seconds, of a photo that keeps Python as busy as its decoder
AHEAD = 16  # batches each worker may be ahead of the row that is next
LINGER = 2  # seconds that who stops a run waits for a thread, which may be in a search that takes minutes
REMOTE_READERS = 8  # threads for each worker where photos come over a network; one of them decodes, the others wait


def find(paths: Sequence[str | Path]) -> Iterator[str]:
    """Yield the paths of the files in `paths` and of the photos in its folders, in `results.order`, each once.

    Folders are searched to the bottom; links to folders are not followed, so there is no
    loop. In a folder a photo is known by its suffix; a file named itself is always taken.
    A folder that cannot be listed to its end is yielded too, before what is known of it. Of a place
    that is given in two spellings the first counts, and one inside another not at all.

    Raises:
        UsageError: one of the paths does not exist; before anything is yielded.
    """
    starts = [Path(path) for path in paths]
    for start in starts:
        if not os.path.lexists(start):
            raise UsageError(f"{start}: no such file or folder")
    return heapq.merge(*map(_search, _distinct(starts)), key=order)


def _distinct(starts: Iterable[Path]) -> list[Path]:
    """Return the places without those whose photos are found in another one already."""
    real = functools.cache(os.path.realpath)
    places: dict[Path, Path] = {}
    for start in starts:
        # A link to a photo is a photo of its own.
        place = Path(real(start)) if start.is_dir() else Path(real(start.parent), start.name)
        places.setdefault(place, start)
    folders = {place for place, start in places.items() if start.is_dir()}
    return [
        start
        for place, start in places.items()
        if folders.isdisjoint(place.parents) or not (place in folders or images.is_photo(place.name))
    ]


def _search(start: Path) -> Iterator[str]:
    # A folder's name gets a NUL, as in `order`, so that a name is all there is to hold and to sort. Paths are text,
    # for pathlib takes a part of the time that a tiny photo does.
    levels = [("", [f"{start}\0" if start.is_dir() else str(start)])]
    while levels:
        folder, names = levels[-1]
        if not names:
            levels.pop()
            continue
        name = names.pop()
        path = os.path.join(folder, name.removesuffix("\0"))  # noqa: PTH118
        if not name.endswith("\0"):
            yield path
            continue
        names, whole = _names(path)
        if not whole:
            yield path
        levels.append(("" if path == os.curdir else path, names))


def _names(folder: str) -> tuple[list[str], bool]:
    """Return the names of the photos and folders in a folder, the last first, and whether that is all of them."""
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    names.append(f"{entry.name}\0")
                elif images.is_photo(entry.name):
                    names.append(entry.name)
        whole = True
    except OSError:  # perhaps in the middle, where a card fails
        whole = False
    return sorted(names, reverse=True), whole


def classify_folder(
    paths: str | Path | Sequence[str | Path],
    model: str | Path | EdgeModel,
    workers: int | None = None,
    *,
    fit: str | None = None,
    exif_thumbnails: bool = False,
    top_k: int = 1,
    min_confidence: float = 0.0,
    sort_into: str | Path | None = None,
    link: bool = False,
    output: str | Path | None = None,
    resume: bool = False,
    finish: Callable[[], None] = lambda: None,
) -> Generator[Row, None, None]:
    """Classify photos and whole folders of them.

        for row in classify_folder("photos", model="cnn-int8.tflite"):
            print(row.path, row.label, row.confidence)

    A few threads work ahead, so that memory does not grow with the number of photos.

    With `output`, rows are durable within a second in `<output>.partial`, and become `output` after
    the last one; so take them all, if only by `for row in ...: pass`. A URI as `output` is a `DataSet`, whose
    parts are durable, and whose paths are absolute.

    Args:
        paths: a file or folder, or several; URIs, as `s3://bucket/photos`, are read by fsspec.
        model: a `.tflite` file or an `EdgeModel`.
        workers: how many photos are decoded at a time; by default one for each processor, fewer where there is
            little memory. From URIs, eight times as many are read.
        fit: "crop", "pad" or "stretch", see `images.load`; by default as the model's card says.
        exif_thumbnails: be content with cameras' thumbnails, see `images.load`.
        top_k: how many of the most probable classes a row has.
        min_confidence: 0-1; below it the label is "unknown".
        sort_into: also copy each photo into a folder of its label's name in this one.
        link: make links there instead of copies.
        output: also write the rows to this file: .csv, .jsonl or .parquet; or to a data set at this URI.
        resume: go on with what a stopped run to the same `output` has left, if it has left anything;
            its rows are yielded again, also those of photos that have changed and those with errors.
        finish: called after the last row; should it fail, the stopped run has nothing but this left to do.

    Yields:
        One row for each file, in the order of `find`; a file that cannot be read has its reason there. Of a data set
        that is resumed, first the rows that are there, part by part.

    Raises:
        UsageError: a path does not exist, there is no photo at all, an argument is out of range, or
            a stopped run was asked for something else.
        ModelError: the model cannot be used.
        ResultsError: with `output`, a row cannot be written, a photo not copied or `finish` not be done, as on a
            full disk.
        OSError: without `output`, a photo cannot be copied or `finish` not be done.
        StorageError: a URI cannot be reached.
    """
    places = places_of(paths)
    if remote.is_remote(output):
        places = absolute(places)
    model = model if isinstance(model, EdgeModel) else EdgeModel(model)
    workers = workers_for(workers)
    options = Options(fit or default_fit(model), exif_thumbnails, top_k, min_confidence)
    rows_of = classifier(model, options, workers)
    if output is None and resume:
        raise UsageError("nothing can be resumed without the file of results: name it")
    if link and sort_into is None:
        raise UsageError("links are a way to sort photos: name a folder to sort them into")
    files = _at_least_one(_photos(places), places)
    if sort_into is not None:
        check_folder(Path(sort_into), places)

    def classify(files: Iterable[str]) -> Generator[Row, None, None]:
        rows = classify_files(files, rows_of, readers_for(workers, places))
        return rows if sort_into is None else sort_photos(rows, Path(sort_into), link)

    if output is None:
        return _finished(classify(files), finish)
    asked = request(places, model, options, sort_into, link)
    if remote.is_remote(output):
        return _finished(DataSet(str(output), asked, resume).complete(files, classify), finish)
    output = Path(os.path.realpath(output))  # a link keeps pointing to the results
    if str(output) in map(os.path.realpath, (model.path, *places)):
        raise UsageError(f"{output}: is what is read; write the results elsewhere")
    check_output(output)
    return _journaled(files, classify, Journal(output, asked, resume), partial(save, path=output, top_k=top_k), finish)


def places_of(paths: str | Path | Sequence[str | Path]) -> list[Path | str]:
    """Return one path or several as `Path` each, or as text if it is a URI."""
    several = [paths] if isinstance(paths, str | Path) else paths
    return [str(path) if remote.is_remote(path) else Path(path) for path in several]


def absolute(places: Sequence[Path | str]) -> list[Path | str]:
    """Return the places as a `DataSet` has them, which may be continued from another folder or machine."""
    return [place if isinstance(place, str) else place.absolute() for place in places]


def workers_for(asked: int | None) -> int:
    """Return how many threads decode: as many as asked for, or else what suits this computer.

    Raises:
        UsageError: none are asked for.
    """
    if asked is None:
        return default_workers()
    if asked < 1:
        raise UsageError(f"workers {asked}: it takes one at least")
    return asked


def readers_for(workers: int, places: Iterable[Path | str]) -> int:
    """Return how many threads `classify_files` needs for as many workers to have work."""
    return workers * (REMOTE_READERS if any(map(remote.is_remote, places)) else 1)


def default_fit(model: EdgeModel) -> str:
    """Return how photos are made to fit if nobody says: as the model's card says."""
    return model.card.fit if model.card else images.FIT


@dataclass(frozen=True)
class Options:
    """What decides about a row besides photo and model; see `classify_folder`."""

    fit: str
    exif_thumbnails: bool = False
    top_k: int = 1
    min_confidence: float = 0.0


def classifier(
    model: EdgeModel, options: Options, workers: int, memory: float | None = None
) -> Callable[[Sequence[str]], list[Row]]:
    """Return what makes rows of a few files, paths or URIs.

    Args:
        model: to classify with.
        options: of the rows.
        workers: how many threads may decode at a time; as many may use it for paths, more for URIs.
        memory: bytes that each may take for a photo; by default what these workers have on this computer.

    Raises:
        UsageError: an option is out of range.
    """
    if not 1 <= options.top_k <= len(model.labels):
        raise UsageError(
            f"top-k {options.top_k}: {model.path} has {len(model.labels)} classes; ask for 1 up to as many"
        )
    if not 0 <= options.min_confidence <= 1:
        raise UsageError(f"min-confidence {options.min_confidence}: a probability is from 0 to 1")
    images.check_fit(options.fit)

    fit, exif_thumbnails = options.fit, options.exif_thumbnails
    load = partial(
        images.load,
        height=model.height,
        width=model.width,
        fit=fit,
        exif_thumbnails=exif_thumbnails,
        memory=memory or photo_memory(workers),
    )
    decoding = threading.BoundedSemaphore(workers)

    def load_either(file: str) -> NDArray[np.uint8]:
        photo = io.BytesIO(remote.read(file)) if remote.is_remote(file) else file
        with decoding:
            return load(photo)

    return partial(
        _rows,
        load=load_either,
        turn=threading.Lock(),
        model=model,
        top_k=options.top_k,
        min_confidence=options.min_confidence,
    )


def request(
    places: Sequence[Path | str],
    model: EdgeModel,
    options: Options,
    sort_into: str | Path | None = None,
    link: bool = False,
) -> dict[str, Any]:
    """Return what decides about the rows and copies, for a `Journal` or a `DataSet`."""
    return {
        "version of cifar-edge": __version__,
        "model": f"{model.path.name} with sha256 {hashlib.sha256(model.path.read_bytes()).hexdigest()}",
        "choice of labels": model.labels,
        "pixel range": model.pixel_range,
        "working folder": None if places == absolute(places) else str(Path.cwd()),
        "choice of paths": [str(path) for path in places],
        "fit": options.fit,
        "use of thumbnails": options.exif_thumbnails,
        "top-k": options.top_k,
        "min-confidence": options.min_confidence,
        "folder to sort into": None if sort_into is None else str(Path(sort_into).absolute()),
        "kind of copies": "links" if link else "files",
    }


def _photos(places: Sequence[Path | str]) -> Iterator[str]:
    """Yield what `find` finds in the paths, and the URIs of photos at those places that are URIs."""
    found = [find([place for place in places if isinstance(place, Path)])]
    uris = remote.distinct(place for place in places if isinstance(place, str))
    found += [map(itemgetter(0), remote.photos(uri)) for uri in uris]
    return heapq.merge(*found, key=order)


def _at_least_one(files: Iterator[str], places: Sequence[Path | str]) -> Iterator[str]:
    first = next(files, None)
    if first is None:
        raise UsageError(
            f"{', '.join(map(str, places))}: no photos in there (looked for {' '.join(sorted(images.SUFFIXES))})"
        )
    return itertools.chain((first,), files)


def _finished(rows: Iterable[Row], finish: Callable[[], None]) -> Generator[Row, None, None]:
    yield from rows
    finish()


def _journaled(
    files: Iterable[str],
    classify: Callable[[Iterable[str]], Iterator[Row]],
    journal: Journal,
    save_all: Callable[[Iterator[Row]], None],
    finish: Callable[[], None],
) -> Generator[Row, None, None]:
    """Classify the files that have no row yet; yield all rows, and when there are no more, save them and finish."""
    try:
        with journal:
            new = journal.record(classify(journal.unrecorded(files)))
            yield from heapq.merge(journal.rows(), new, key=lambda row: order(row.path))
            save_all(journal.rows())
            finish()
            journal.remove()
    except OSError as error:
        raise ResultsError(
            f"{error.filename or journal.path}: {error.strerror or first_line(error)}; put that right and go on with "
            f"the same command and --resume: the rows so far are in {journal.path}"
        ) from error


def classify_files(
    files: Iterable[str], rows_of: Callable[[Sequence[str]], list[Row]], workers: int
) -> Generator[Row, None, None]:
    """Yield the rows of files in their order; `rows_of`, a `classifier`, makes them on as many threads.

    These threads also search, one at a time, so that no row waits until the next file is found.
    """
    files = iter(files)
    turn = threading.Lock()  # whoever has it takes files, and the place in the queue where their rows will be
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
            except BaseException as error:  # to be raised where the rows are wanted
                parts.put(error)
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        while True:
            parts = places.get()
            while part := parts.get():
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
        for thread in threads:
            thread.join(LINGER)


def _rows(
    files: Sequence[str],
    load: Callable[[str], NDArray[np.uint8]],
    turn: threading.Lock,
    model: EdgeModel,
    top_k: int,
    min_confidence: float,
) -> list[Row]:
    """Classify the first of a few files, as many as take `BATCH_SECONDS` to read, at least one."""
    photos, reasons, reading = _read(files, load, turn)
    start = perf_counter()
    probabilities = model.predict(np.array(photos, np.uint8).reshape(-1, model.height, model.width, 3))
    inferring = (perf_counter() - start) / max(1, len(photos))
    best = (-probabilities).argsort(axis=1, kind="stable")[:, :top_k]
    shares = np.take_along_axis(probabilities, best, axis=1)
    ranked = zip(np.isfinite(probabilities.sum(axis=1)).tolist(), best.tolist(), shares.tolist(), strict=True)
    rows = []
    for file, reason, seconds in zip(files[: len(reading)], reasons, reading, strict=True):
        if not reason:
            finite, *best_first = next(ranked)
            reason = "" if finite else "of no class: the model's scores are not numbers"
        if reason:
            rows.append(Row(file, "", None, (), reason, round(1000 * seconds, 2), model.path.name))
            continue
        top = tuple((model.labels[index], round(share, 6)) for index, share in zip(*best_first, strict=True))
        label, confidence = top[0]
        if confidence < min_confidence:
            label = UNKNOWN
        milliseconds = round(1000 * (seconds + inferring), 2)
        rows.append(Row(file, label, confidence, top, "", milliseconds, model.path.name))
    return rows


def _read(
    files: Sequence[str], load: Callable[[str], NDArray[np.uint8]], turn: threading.Lock
) -> tuple[list[NDArray[np.uint8]], list[str], list[float]]:
    """Read the first of a few files: photos, for each file why not or "", and seconds.

    Before any of them is inferred, so that threads seldom wait for Python's lock. They would at every step of reading
    tiny photos, and so one thread at a time does that, while others infer; but not where it is the disk that takes the
    time, and not from the first photo on that is slow to decode.
    """
    photos, reasons, reading = [], [], []
    with contextlib.ExitStack() as alone:
        if len(files) > 1 and _is_tiny(files[0]):
            alone.enter_context(turn)
        now, worked = began, idle = perf_counter(), thread_time()
        for file in files:
            try:
                photos.append(load(file))
                reasons.append("")
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
    except OSError:  # a URI, or a file that is gone
        return False
