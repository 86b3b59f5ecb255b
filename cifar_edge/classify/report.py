"""Rows -> one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shlex
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from cifar_edge.errors import ImageError, UsageError
from cifar_edge.photos.own_process import TIMEOUT, Reader
from cifar_edge.results.row import Row
from cifar_edge.results.summary import Summary
from cifar_edge.system.files import atomic, check_replaceable
from cifar_edge.system.machine import default_workers, photo_memory
from cifar_edge.system.opening import destination

if TYPE_CHECKING:
    from cifar_edge.tflite.model import EdgeModel


TEMPLATE = Path(__file__).with_name("report.html")
LISTED = 50_000  # rows a page has at most: 6 MB, which a browser filters without a pause
PICTURED = 1_500  # thumbnails: another 5 MB
SIDE = 120  # of a thumbnail, in pixels: as high as those of cameras
BINS = 20  # of the histogram of confidences


class Report:
    """A page that shows a run.

        report = Report(Path("report.html"), model)
        for row in classify_folder("photos", model):
            report.add(row)
        report.write()

    The page has up to `LISTED` rows, and `PICTURED` of them have a thumbnail. If there are more, each class keeps its
    least certain rows and a random sample. So neither the page nor the memory it takes grows with the number of photos.

    Args:
        path: of the page, which is not touched before `write`.
        model: that made the rows.
        workers: how many photos are decoded at a time; see `classify_folder`.
        timeout: seconds that decoding one photo may take.

    Attributes:
        path: of the page, as it was given.

    Raises:
        UsageError: `path` does not end in .html, or no file can be written there.
    """

    def __init__(self, path: Path, model: EdgeModel, workers: int | None = None, timeout: float = TIMEOUT) -> None:
        self.path, self._path, self._workers = path, destination(path), workers or default_workers()
        self._timeout = timeout
        self._model, self._summary = model, Summary(model.labels)
        if self._path.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"{path}: the report is a web page; give it a name that ends in .html")
        check_replaceable(self._path)
        self._kept: list[_Kept] = []
        self._numbers, self._random = count(), np.random.default_rng(0)
        self._confidences: dict[str, list[int]] = defaultdict(lambda: [0] * BINS)

    def add(self, row: Row) -> None:
        """Add a row, and keep it if it may be shown."""
        self._summary.add(row)
        confidence = _probability(row.confidence)
        if not row.error:
            self._confidences[row.label][min(int(confidence * BINS), BINS - 1)] += 1
        self._kept.append(_Kept(next(self._numbers), confidence, self._random.random(), row))
        if len(self._kept) > LISTED * 3 // 2:
            self._kept = _choose(self._kept, LISTED)

    def write(self, seconds: float | None = None) -> None:
        """Make the thumbnails and write the page.

        A photo that is no longer there is shown without one. Where the rows' folders say their classes, the page has
        the confusion matrix too.

        Args:
            seconds: that the run took; None where that would say nothing, as after a resume.

        Raises:
            OSError: the page cannot be written; what was there before is still there.
        """
        listed = _choose(self._kept, LISTED)
        pictured = _choose([kept for kept in listed if not kept.row.error], PICTURED)
        pictures = _thumbnails([kept.row for kept in pictured], self._workers, self._timeout)
        thumbnails = {kept.number: picture for kept, picture in zip(pictured, pictures, strict=True)}
        data = {"facts": list(self._facts(seconds).items())} | self._data(listed, thumbnails)
        with atomic(self._path) as partial:
            partial.write_text(_fill(TEMPLATE.read_text("utf-8"), data), "utf-8")

    def _facts(self, seconds: float | None) -> dict[str, str]:
        """Return what the page says of the run, in this order."""
        card, photos = self._model.card, self._summary.photos
        accuracy = card.accuracy if card else None
        speed = {} if seconds is None else {"time": _duration(seconds), "photos a second": f"{photos / seconds:,.1f}"}
        program = Path(sys.argv[0]).name.replace("__main__.py", "cifar-edge")
        return {
            "model": f"{self._model.path.name}, {card.format}" if card else self._model.path.name,
            "accuracy on test images": "not known" if accuracy is None else f"{100 * accuracy:.2f} %",
            **speed,
            "date": f"{datetime.now():%Y-%m-%d %H:%M}",
            "command": shlex.join([program, *sys.argv[1:]]),
        }

    def _data(self, listed: Sequence[_Kept], thumbnails: Mapping[int, str]) -> dict[str, Any]:
        """Return the data for the page's script; classes and folders are numbers, to keep it short."""
        summary, classes, folders = self._summary, _Numbers(), _Numbers()

        def class_of(folder: str) -> str:
            return summary.label_of(Path(folder).name) or ""

        rows: list[tuple[Any, ...]] = []
        errors: list[tuple[int, str, str]] = []
        for kept in listed:
            folder, name = os.path.split(kept.row.path)
            if kept.row.error:
                errors.append((folders[folder], name, kept.row.error))
                continue
            top = [(classes[label], round(_probability(number), 4)) for label, number in kept.row.top]
            thumbnail = (thumbnails[kept.number],) if kept.number in thumbnails else ()
            rows.append((folders[folder], name, classes[kept.row.label], round(kept.confidence, 4), top, *thumbnail))
        here, confusion = self._path.parent, summary.confusion.items() if summary.labelled else ()
        return {
            "photos": summary.photos,
            "unreadable": summary.unreadable,
            "labelled": summary.labelled,
            "rows": rows,
            "errors": errors,
            "confidences": [(classes[label], bins) for label, bins in self._confidences.items()],
            "confusion": [(classes[truth], classes[label], number) for (truth, label), number in confusion],
            "folders": [
                (folder, os.path.relpath(folder or ".", here), summary.labelled and classes[class_of(folder)])
                for folder in folders
            ],
            "classes": list(classes),
        }


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else str(timedelta(seconds=round(seconds)))


class _Kept(NamedTuple):
    number: int  # of the row, in the order of the run
    confidence: float
    random: float  # those with the lowest are a random sample
    row: Row


class _Numbers(dict[str, int]):
    """Gives each name that is looked up a number."""

    def __missing__(self, name: str) -> int:
        return self.setdefault(name, len(self))


def _probability(number: float | None) -> float:
    """Return a model's score as a probability: NaN and None become 0, the rest is clipped to 0-1."""
    return min(max(0.0, number or 0.0), 1.0)  # in this order NaN becomes 0


def _choose(rows: list[_Kept], most: int) -> list[_Kept]:
    """Choose evenly from the classes (errors count as one): half the least certain rows, half at random."""
    groups: dict[str, list[_Kept]] = defaultdict(list)
    for kept in rows:
        groups[kept.row.label].append(kept)
    chosen: list[_Kept] = []
    for done, group in enumerate(sorted(groups.values(), key=len)):
        share = (most - len(chosen)) // (len(groups) - done)
        if len(group) > share:
            group.sort(key=attrgetter("confidence"))
            rest = sorted(group[share // 2 :], key=attrgetter("random"))
            group = group[: share // 2] + rest[: share - share // 2]
        chosen += group
    return sorted(chosen)


def _thumbnails(rows: Sequence[Row], workers: int, timeout: float) -> list[str]:
    read = Reader(
        timeout,
        height=SIDE,
        width=SIDE,
        fit="crop",
        exif_thumbnails=True,
        reduced=2,
        memory=photo_memory(workers),
    )
    pool = ThreadPoolExecutor(workers)
    try:
        return list(pool.map(partial(_thumbnail, read=read), rows))
    finally:  # so that Ctrl-C need not wait for the others
        read.close()
        pool.shutdown(cancel_futures=True)


def _thumbnail(row: Row, read: Reader) -> str:
    """Return the centre of a photo as WebP in base64; "" if it cannot be read any more, or is another one by now."""
    try:
        pixels = read(row.path, seen=row.file)
    except ImageError:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=60)
    return base64.b64encode(buffer.getvalue()).decode()


def _fill(template: str, data: Mapping[str, Any]) -> str:
    """Put the data into the page, and the digests of its script and style into its content security policy."""
    for element in ("style", "script"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", template, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        template = template.replace(f"{{{{{element}}}}}", f"'sha256-{digest}'")
    # JSON in plain ASCII holds every name, also those that are not UTF-8; without "<" none can end the element.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return template.replace("{{data}}", text)
