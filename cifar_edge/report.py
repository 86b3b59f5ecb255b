"""A stream of rows -> one self-contained HTML page."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from cifar_edge import images
from cifar_edge.errors import ImageError, UsageError
from cifar_edge.files import atomic
from cifar_edge.results import Row

if TYPE_CHECKING:
    from cifar_edge.model import EdgeModel

TEMPLATE = Path(__file__).with_name("report.html")
LISTED = 50_000  # rows a page has at most: 6 MB, which a browser filters without a pause
PICTURED = 1_500  # thumbnails: another 5 MB
SIDE = 160  # of a thumbnail, in pixels
BINS = 20  # of the histogram of confidences


class Report:
    """A page that shows a run.

        report = Report(Path("report.html"), model.labels)
        for row in classify_folder("photos", model):
            report.add(row)
        report.write({"model": "cnn-int8.tflite"})

    Every row is counted. Up to `LISTED` are in the page, and `PICTURED` of them have a thumbnail; of more,
    each class keeps its least certain ones and a random sample, so that neither the page nor the memory
    it takes to make it grows with the number of photos.

    Args:
        path: of the page, which is not touched before `write`.
        labels: the model's classes. If every photo lies in a folder named as one of them, the page has
            the accuracy and the confusion matrix too.

    Raises:
        UsageError: `path` does not end in .html, or no file can be written there.
    """

    def __init__(self, path: Path, labels: Iterable[str]) -> None:
        self._path = path.resolve()
        if self._path.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"{path}: the report is a web page; give it a name that ends in .html")
        if self._path.exists() and not self._path.is_file():
            raise UsageError(f"{path}: not a file; write the report elsewhere")
        if not os.access(self._path.parent, os.W_OK):
            raise UsageError(f"{path}: no file can be made in {self._path.parent}; write the report elsewhere")
        self._classes = frozenset(labels)
        self._lots = np.random.default_rng(0)
        self._kept: list[_Kept] = []
        self._photos = self._errors = 0
        self._confidences: dict[str, list[int]] = defaultdict(lambda: [0] * BINS)
        self._confusion: Counter[tuple[str, str]] | None = Counter()

    def add(self, row: Row) -> None:
        """Count a row, and keep it if it may be shown."""
        confidence = _probability(row.confidence)
        if row.error:
            self._errors += 1
        else:
            self._confidences[row.label][min(int(confidence * BINS), BINS - 1)] += 1
        if self._confusion is not None:
            if (truth := _folder_name(row)) not in self._classes:
                self._confusion = None
            elif not row.error:
                self._confusion[truth, row.label] += 1
        self._kept.append(_Kept(self._photos, confidence, self._lots.random(), row))
        self._photos += 1
        if len(self._kept) > LISTED * 3 // 2:
            self._kept = _choose(self._kept, LISTED)

    def write(self, facts: Mapping[str, str]) -> None:
        """Make the thumbnails and write the page.

        A photo that is no longer there is shown without one.

        Args:
            facts: what else is known of the run, to be shown in this order.

        Raises:
            OSError: the page cannot be written; what was there before is still there.
        """
        listed = _choose(self._kept, LISTED)
        pictured = _choose([kept for kept in listed if not kept.row.error], PICTURED)
        pictures = _thumbnails([kept.row.path for kept in pictured])
        thumbnails = {kept.number: picture for kept, picture in zip(pictured, pictures, strict=True)}
        page = _fill(TEMPLATE.read_text("utf-8"), self._data(facts, listed, thumbnails))
        with atomic(self._path) as partial:
            partial.write_text(page, "utf-8")

    def _data(self, facts: Mapping[str, str], listed: Sequence[_Kept], thumbnails: Mapping[int, str]) -> dict[str, Any]:
        """Return what the page's script reads; classes and folders are numbers in there, to keep it short."""
        classes, folders = _Numbers(), _Numbers()
        rows, errors = [], []
        for kept in listed:
            folder, name = os.path.split(kept.row.path)
            if kept.row.error:
                errors.append((folders[folder], name, kept.row.error))
                continue
            label, confidence = classes[kept.row.label], round(kept.confidence, 4)
            truth = -1 if self._confusion is None else classes[_folder_name(kept.row)]
            top = [(classes[name], round(_probability(number), 4)) for name, number in kept.row.top]
            thumbnail = (thumbnails[kept.number],) if kept.number in thumbnails else ()
            rows.append((folders[folder], name, label, confidence, truth, top, *thumbnail))
        return {
            "facts": list(facts.items()),
            "photos": self._photos,
            "unreadable": self._errors,
            "confidences": [(classes[label], bins) for label, bins in self._confidences.items()],
            "confusion": self._confusion is not None
            and [(classes[truth], classes[label], number) for (truth, label), number in self._confusion.items()],
            "rows": rows,
            "errors": errors,
            "classes": list(classes),
            "folders": [(folder, os.path.relpath(folder or ".", self._path.parent)) for folder in folders],
        }


def facts_of_run(model: EdgeModel, photos: int, seconds: float, arguments: Sequence[str]) -> dict[str, str]:
    """Return what a page says of a run of `cifar-edge` with these arguments."""
    accuracy = model.card.accuracy if model.card else None
    return {
        "model": f"{model.path.name}, {model.card.format}" if model.card else model.path.name,
        "accuracy on test images": "not known" if accuracy is None else f"{100 * accuracy:.2f} %",
        "time": f"{timedelta(seconds=round(seconds))}" if seconds > 100 else f"{seconds:.1f} s",
        "photos a second": f"{photos / seconds:,.1f}",
        "date": f"{datetime.now():%-d %B %Y, %H:%M}",
        "command": shlex.join(["cifar-edge", *arguments]),
    }


class _Kept(NamedTuple):
    number: int  # of the row, in the order of the run
    confidence: float
    lot: float  # those with the lowest are a random sample
    row: Row


class _Numbers(dict[str, int]):
    """Numbers each name that is asked for."""

    def __missing__(self, name: str) -> int:
        return self.setdefault(name, len(self))


def _probability(number: float | None) -> float:
    """Return what is one, whatever a model takes for it."""
    return min(max(0.0, number or 0.0), 1.0)  # in this order NaN becomes 0


def _folder_name(row: Row) -> str:
    return Path(row.path).parent.name


def _choose(rows: list[_Kept], most: int) -> list[_Kept]:
    """Choose as evenly as can be from the classes (errors are one more): half the least certain, half at random."""
    groups: dict[str, list[_Kept]] = defaultdict(list)
    for kept in rows:
        groups[kept.row.label].append(kept)
    chosen: list[_Kept] = []
    for done, group in enumerate(sorted(groups.values(), key=len)):
        share = (most - len(chosen)) // (len(groups) - done)
        if len(group) > share:
            group.sort(key=attrgetter("confidence"))
            rest = sorted(group[share // 2 :], key=attrgetter("lot"))
            group = group[: share // 2] + rest[: share - share // 2]
        chosen += group
    return sorted(chosen)


def _thumbnails(paths: Sequence[str]) -> list[str]:
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        return list(pool.map(_thumbnail, paths))
    finally:
        pool.shutdown(cancel_futures=True)  # so that Ctrl-C need not wait for the others


def _thumbnail(path: str) -> str:
    """Return the part of a photo that the network sees as WebP in base64; "" if it cannot be read any more."""
    try:
        pixels = images.load(path, SIDE, SIDE)
    except ImageError:
        return ""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=60)
    return base64.b64encode(buffer.getvalue()).decode()


def _fill(template: str, data: Mapping[str, Any]) -> str:
    """Put the data into the page, and into its policy what alone may run there: its own script and style."""
    for element in ("style", "script"):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", template, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        template = template.replace(f"{{{{{element}}}}}", f"'sha256-{digest}'")
    # JSON in plain ASCII holds every name, also those that are not UTF-8; without "<" none can end the element.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return template.replace("{{data}}", text)
