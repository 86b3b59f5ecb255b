"""A tree of photos -> a stream of rows, in the order of their paths."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from cifar_edge.classify.options import MIN_CONFIDENCE, Setup, readers_for, set_up
from cifar_edge.classify.pipeline import classifier, classify_files
from cifar_edge.classify.sort import check_folder, sort_photos
from cifar_edge.errors import UsageError
from cifar_edge.photos.find import absolute, at_least_one, photos_in, places_of
from cifar_edge.photos.own_process import TIMEOUT
from cifar_edge.results.formats import check_output
from cifar_edge.results.journal import Journal
from cifar_edge.results.parquet_folder import ParquetFolder
from cifar_edge.results.request import request
from cifar_edge.results.row import Row
from cifar_edge.system.opening import destination
from cifar_edge.system.uris import Uri, place_of
from cifar_edge.tflite.model import EdgeModel

if TYPE_CHECKING:
    from cifar_edge.classify.report import Report


def classify_folder(
    paths: str | Path | Sequence[str | Path],
    model: str | Path | EdgeModel,
    workers: int | None = None,
    *,
    fit: str | None = None,
    exif_thumbnails: bool = False,
    top_k: int = 1,
    min_confidence: float | str = MIN_CONFIDENCE,
    timeout: float = TIMEOUT,
    sort_into: str | Path | None = None,
    link: bool = False,
    output: str | Path | None = None,
    resume: bool = False,
    report: str | Path | None = None,
    left_out: Counter[str] | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Generator[Row, None, None]:
    """Classify photos and whole folders of them.

        for row in classify_folder("photos", model="cnn-int8.tflite"):
            print(row.path, row.label, row.confidence)

    A few threads work ahead, so that memory does not grow with the number of photos.

    With `output`, rows are durable within a second in `<output>.partial`, and become `output` after
    the last one; so take them all, if only by `for row in ...: pass`. A URI as `output` is a `ParquetFolder`, whose
    parts are durable, and whose paths are absolute.

    Args:
        paths: a file or folder, or several; URIs, as `s3://bucket/photos`, are read by fsspec.
        model: a `.tflite` file or an `EdgeModel`.
        workers: how many photos are decoded at a time; by default one for each processor, fewer where there is
            little memory. From URIs, eight times as many are read.
        fit: "crop", "pad" or "stretch", see `images.load`; by default as the model's card says.
        exif_thumbnails: be content with cameras' thumbnails, see `images.load`.
        top_k: how many of the most probable classes a row has.
        min_confidence: 0-1; below it the label is "unknown". "auto" is the model's own threshold.
        timeout: seconds that decoding one photo may take.
        sort_into: also copy each photo into a folder of its label's name in this one.
        link: make links there instead of copies.
        output: also write the rows to this file: .csv, .jsonl or .parquet; or to a folder of parts at this URI.
        resume: go on with what a stopped run to the same `output` has left, if it has left anything;
            its rows are yielded again, also those of photos that have changed and those with errors.
        report: also write this page, .html, after the last row.
        left_out: counts here, by rule, names that are no photos of the user's; see `photos.find`.
        say: called with what is going on, for a user who waits.

    Yields:
        One row for each file, in the order of `find`; a file that cannot be read has its reason there. Of a folder
        of parts that is resumed, first the rows that are there, part by part.

    Raises:
        UsageError: a path does not exist, there is no photo at all, an argument is out of range, or
            a stopped run was asked for something else.
        ModelError: the model cannot be used.
        ResultsError: with `output`, a row cannot be written, a photo not copied or the report not be made, as on
            a full disk.
        OSError: without `output`, a photo cannot be copied or the report not be made.
        StorageError: a URI cannot be reached.
    """
    setup = set_up(
        model,
        workers,
        fit=fit,
        exif_thumbnails=exif_thumbnails,
        top_k=top_k,
        min_confidence=min_confidence,
        timeout=timeout,
    )
    places, place = places_of(paths), None if output is None else place_of(output)
    if isinstance(place, Uri):
        places = absolute(places)
    if place is None and resume:
        raise UsageError("nothing can be resumed without the file of results: name it")
    if link and sort_into is None:
        raise UsageError("links are a way to sort photos: name a folder to sort them into")
    page = None if report is None else _page(Path(report), places, setup)
    left_out = Counter() if left_out is None else left_out
    files = at_least_one(photos_in(places, left_out), places, left_out)
    if sort_into is not None:
        check_folder(Path(sort_into), places)

    def classify(files: Iterable[str]) -> Iterator[Row]:
        rows = classify_files(files, classifier(setup), readers_for(setup.workers, places))
        return rows if sort_into is None else sort_photos(rows, Path(sort_into), link, setup.model.labels)

    if place is None:
        return _reported(classify(files), page, say, timed=True)
    asked = request(places, setup.model, setup.options, sort_into, link)
    return _stored(files, classify, _store(place, asked, setup, places, resume), page, say)


def _page(path: Path, places: Sequence[Path | Uri], setup: Setup) -> Report:
    from cifar_edge.classify.report import Report  # few runs need it

    if any(isinstance(place, Uri) for place in places):
        raise UsageError(f"{path}: a report shows photos of this machine; leave it out, or copy them here first")
    return Report(path, setup.model, setup.workers, setup.options.timeout)


def _store(
    place: Path | Uri, asked: bytes, setup: Setup, places: Sequence[Path | Uri], resume: bool
) -> Journal | ParquetFolder:
    """Return what keeps the rows: a URI output is a folder of parts, a path is a file."""
    if isinstance(place, Uri):
        return ParquetFolder(place, asked, setup.model.labels, resume=resume)
    if os.path.realpath(place) in map(os.path.realpath, (setup.model.path, *places)):
        raise UsageError(f"{place}: is what is read; write the results elsewhere")
    check_output(destination(place))
    return Journal(place, asked, setup.options.top_k, resume=resume)


def _stored(
    files: Iterable[str],
    classify: Callable[[Iterable[str]], Iterator[Row]],
    store: Journal | ParquetFolder,
    page: Report | None,
    say: Callable[[str], None],
) -> Generator[Row, None, None]:
    """Classify the files that have no row yet; yield all rows, and make the results.

    The report comes last: should it fail, a resumed run has nothing but the report left to do.
    """
    with store:
        new = classify(file for file in files if not store.has(file))
        yield from _reported(_finished(store, new), page, say, timed=not store.resumed)


def _finished(store: Journal | ParquetFolder, new: Iterator[Row]) -> Iterator[Row]:
    yield from store.extend(new)
    store.finish()


def _reported(
    rows: Iterable[Row], page: Report | None, say: Callable[[str], None], *, timed: bool
) -> Generator[Row, None, None]:
    """Yield the rows; after the last one, write the report if there is to be one."""
    started = perf_counter()
    for row in rows:
        if page:
            page.add(row)
        yield row
    if page:
        say(f"making the report {page.path}")
        page.write(perf_counter() - started if timed else None)
