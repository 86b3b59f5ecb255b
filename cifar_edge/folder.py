"""A tree of photos -> a stream of rows, in the order of their paths."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter

from cifar_edge import __version__, images
from cifar_edge.errors import ImageError, ResultsError, UsageError, first_line
from cifar_edge.journal import Journal
from cifar_edge.model import EdgeModel
from cifar_edge.results import UNKNOWN, Row, check_output, order, save
from cifar_edge.sorting import check_folder, sort_photos

AHEAD = 32  # photos each worker may be ahead of the row that comes next


def find(paths: Sequence[str | Path]) -> Iterator[Path]:
    """Yield the files named by `paths` and the photos in the folders among them, in `results.order`, each once.

    Folders are searched to the bottom; links to folders are not followed, so there is no
    loop. In a folder a photo is known by its suffix; a file named itself is always taken.
    A folder that cannot be listed is yielded in place of its content.

    Raises:
        UsageError: one of the paths does not exist; before anything is yielded.
    """
    starts = [Path(path) for path in paths]
    for start in starts:
        if not os.path.lexists(start):
            raise UsageError(f"{start}: no such file or folder")
    found = heapq.merge(*map(_search, starts), key=lambda path: order(str(path)))
    return (path for path, _ in itertools.groupby(found))


def _search(start: Path) -> Iterator[Path]:
    pending = [(start, start.is_dir())]
    while pending:
        path, is_folder = pending.pop()
        if not is_folder:
            yield path
            continue
        try:
            with os.scandir(path) as entries:
                names = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
        except OSError:
            yield path
            continue
        found = [(path / name, is_folder) for name, is_folder in reversed(names)]
        pending += [(path, is_folder) for path, is_folder in found if is_folder or _is_photo(path)]


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in images.SUFFIXES


def classify_folder(
    paths: str | Path | Sequence[str | Path],
    model: str | Path | EdgeModel,
    workers: int | None = None,
    *,
    top_k: int = 1,
    min_confidence: float = 0.0,
    sort_into: str | Path | None = None,
    link: bool = False,
    output: str | Path | None = None,
    resume: bool = False,
) -> Generator[Row, None, None]:
    """Classify photos and whole folders of them.

        for row in classify_folder("photos", model="cnn-int8.tflite"):
            print(row.path, row.label, row.confidence)

    A few threads work ahead, so that memory does not grow with the number of photos.

    With `output`, rows are durable within a second in `<output>.partial`, and become `output` after
    the last one; so take them all, if only by `for row in ...: pass`.

    Args:
        paths: a file or folder, or several.
        model: a `.tflite` file or an `EdgeModel`.
        workers: threads; by default one for each processor.
        top_k: how many of the most probable classes a row has.
        min_confidence: 0-1; below it the label is "unknown".
        sort_into: also copy each photo into a folder of its label's name in this one.
        link: make links there instead of copies.
        output: also write the rows to this file: .csv, .jsonl or .parquet.
        resume: go on with what a stopped run to the same `output` has left, if it has left anything;
            its rows are yielded again.

    Yields:
        One row for each file, in the order of `find`; a file that cannot be read has its reason there.

    Raises:
        UsageError: a path does not exist, there is no photo at all, an argument is out of range, or
            a stopped run was asked for something else.
        ModelError: the model cannot be used.
        ResultsError: with `output`, a row cannot be written or a photo not copied, as on a full disk.
        OSError: without `output`, a photo cannot be copied.
    """
    places = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    model = model if isinstance(model, EdgeModel) else EdgeModel(model)
    if not 1 <= top_k <= len(model.labels):
        raise UsageError(f"top-k {top_k}: {model.path} has {len(model.labels)} classes; ask for 1 up to as many")
    if not 0 <= min_confidence <= 1:
        raise UsageError(f"min-confidence {min_confidence}: a probability is from 0 to 1")
    if output is None and resume:
        raise UsageError("nothing can be resumed without the file of results: name it")
    files = _at_least_one(find(places), places)
    if sort_into is not None:
        check_folder(Path(sort_into), places)
    row_of = partial(_row, model=model, lock=threading.Lock(), top_k=top_k, min_confidence=min_confidence)

    def classify(files: Iterable[Path]) -> Generator[Row, None, None]:
        rows = _classify(files, row_of, workers or os.cpu_count() or 1)
        return rows if sort_into is None else sort_photos(rows, Path(sort_into), link)

    if output is None:
        return classify(files)
    output = Path(output).resolve()  # a link keeps pointing to the results
    if output in (path.resolve() for path in (model.path, *places)):
        raise UsageError(f"{output}: is what is read; write the results elsewhere")
    check_output(output)
    request = {
        "version of cifar-edge": __version__,
        "model": f"{model.path.name} with sha256 {hashlib.sha256(model.path.read_bytes()).hexdigest()}",
        "choice of labels": model.labels,
        "pixel range": model.pixel_range,
        "working folder": str(Path.cwd()),
        "choice of paths": [str(path) for path in places],
        "top-k": top_k,
        "min-confidence": min_confidence,
        "folder to sort into": None if sort_into is None else str(sort_into),
        "kind of copies": "links" if link else "files",
    }
    return _journaled(files, classify, Journal(output, request, resume), output, top_k)


def _at_least_one(files: Iterator[Path], places: Sequence[Path]) -> Iterator[Path]:
    first = next(files, None)
    if first is None:
        raise UsageError(
            f"{', '.join(map(str, places))}: no photos in there (looked for {' '.join(sorted(images.SUFFIXES))})"
        )
    return itertools.chain((first,), files)


def _journaled(
    files: Iterable[Path],
    classify: Callable[[Iterable[Path]], Iterator[Row]],
    journal: Journal,
    output: Path,
    top_k: int,
) -> Generator[Row, None, None]:
    """Classify the files that have no row yet; yield all rows, and when there are no more, make `output` of them."""
    try:
        with journal:
            new = journal.record(classify(journal.unrecorded(files)))
            yield from heapq.merge(journal.rows(), new, key=lambda row: order(row.path))
            save(journal.rows(), output, top_k)
            journal.remove()
    except OSError as error:
        raise ResultsError(
            f"{error.filename or journal.path}: {error.strerror or first_line(error)}; put that right and go on with "
            f"the same command and --resume: the rows so far are in {journal.path}"
        ) from error


def _classify(files: Iterable[Path], row_of: Callable[[Path], Row], workers: int) -> Generator[Row, None, None]:
    pool = ThreadPoolExecutor(workers)
    waiting: deque[Future[Row]] = deque()
    try:
        for file in files:
            waiting.append(pool.submit(row_of, file))
            while waiting and (waiting[0].done() or len(waiting) > workers * AHEAD):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _row(file: Path, model: EdgeModel, lock: threading.Lock, top_k: int, min_confidence: float) -> Row:
    start = perf_counter()
    try:
        image = images.load(file, model.height, model.width)
    except ImageError as error:
        return Row(str(file), "", None, (), str(error), _milliseconds_since(start), model.path.name)
    with lock:  # an interpreter is for one thread at a time; next to decoding it takes no time
        probabilities = model.predict(image[None])[0]
    best = (-probabilities).argsort(kind="stable")[:top_k]
    top = tuple((model.labels[index], round(float(probabilities[index]), 6)) for index in best)
    label, confidence = top[0]
    if confidence < min_confidence:
        label = UNKNOWN
    return Row(str(file), label, confidence, top, "", _milliseconds_since(start), model.path.name)


def _milliseconds_since(start: float) -> float:
    return round((perf_counter() - start) * 1000, 2)
