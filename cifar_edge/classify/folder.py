"""A tree of photos -> a stream of rows, in the order of their paths."""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from cifar_edge.classify.options import default_fit, readers_for, workers_for
from cifar_edge.classify.pipeline import classifier, classify_files
from cifar_edge.classify.sort import check_folder, sort_photos
from cifar_edge.errors import ResultsError, UsageError, first_line
from cifar_edge.photos.find import absolute, at_least_one, order, photos_in, places_of
from cifar_edge.results.formats import check_output, save
from cifar_edge.results.journal import Journal
from cifar_edge.results.parquet_folder import DataSet
from cifar_edge.results.request import Options, request
from cifar_edge.results.row import Row
from cifar_edge.system import uris
from cifar_edge.tflite.model import EdgeModel


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
    if uris.is_remote(output):
        places = absolute(places)
    model = model if isinstance(model, EdgeModel) else EdgeModel(model)
    workers = workers_for(workers)
    options = Options(fit or default_fit(model), exif_thumbnails, top_k, min_confidence)
    rows_of = classifier(model, options, workers)
    if output is None and resume:
        raise UsageError("nothing can be resumed without the file of results: name it")
    if link and sort_into is None:
        raise UsageError("links are a way to sort photos: name a folder to sort them into")
    files = at_least_one(photos_in(places), places)
    if sort_into is not None:
        check_folder(Path(sort_into), places)

    def classify(files: Iterable[str]) -> Generator[Row, None, None]:
        rows = classify_files(files, rows_of, readers_for(workers, places))
        return rows if sort_into is None else sort_photos(rows, Path(sort_into), link)

    if output is None:
        return _finished(classify(files), finish)
    asked = request(places, model, options, sort_into, link)
    if uris.is_remote(output):
        return _finished(DataSet(str(output), asked, resume).complete(files, classify), finish)
    output = Path(os.path.realpath(output))  # a link keeps pointing to the results
    if str(output) in map(os.path.realpath, (model.path, *places)):
        raise UsageError(f"{output}: is what is read; write the results elsewhere")
    check_output(output)
    return _journaled(files, classify, Journal(output, asked, resume), partial(save, path=output, top_k=top_k), finish)


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
