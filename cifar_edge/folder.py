"""A tree of photos -> a stream of rows, in the order of their paths."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_edge import images
from cifar_edge.errors import ImageError, UsageError
from cifar_edge.model import EdgeModel
from cifar_edge.results import Row

AHEAD = 32  # photos each worker may be ahead of the one that is being classified


def find(paths: Sequence[str | Path]) -> Iterator[Path]:
    """Yield the files named by `paths` and the photos in the folders among them, in a stable order.

    Folders are searched to the bottom, by name; links to folders are not followed, so there is no
    loop. In a folder a photo is known by its suffix; a file named itself is always taken.
    A folder that cannot be listed is yielded in place of its content.

    Raises:
        UsageError: one of the paths does not exist; before anything is yielded.
    """
    starts = [Path(path) for path in paths]
    for start in starts:
        if not os.path.lexists(start):
            raise UsageError(f"{start}: no such file or folder")
    return itertools.chain.from_iterable(_search(start) if start.is_dir() else (start,) for start in starts)


def _search(folder: Path) -> Iterator[Path]:
    pending = [(folder, True)]
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
    paths: str | Path | Sequence[str | Path], model: str | Path | EdgeModel, workers: int | None = None
) -> Iterator[Row]:
    """Classify photos and whole folders of them.

        for row in classify_folder("photos", model="cnn-int8.tflite"):
            print(row.path, row.label, row.confidence)

    A few threads decode ahead, so that memory does not grow with the number of photos.

    Args:
        paths: a file or folder, or several.
        model: a `.tflite` file or an `EdgeModel`.
        workers: threads that decode; by default one for each processor.

    Yields:
        One row for each file, in the order of `find`; a file that cannot be read has its reason there.

    Raises:
        UsageError: a path does not exist, or there is no photo at all.
        ModelError: the model cannot be used.
    """
    paths = [paths] if isinstance(paths, str | Path) else paths
    model = model if isinstance(model, EdgeModel) else EdgeModel(model)
    files = find(paths)
    first = next(files, None)
    if first is None:
        places = ", ".join(map(str, paths))
        raise UsageError(f"{places}: no photos in there (looked for {' '.join(sorted(images.SUFFIXES))})")
    return _classify(itertools.chain((first,), files), model, workers or os.cpu_count() or 1)


def _classify(files: Iterable[Path], model: EdgeModel, workers: int) -> Iterator[Row]:
    pool = ThreadPoolExecutor(workers)
    waiting: deque[tuple[Path, Future[NDArray[np.uint8]]]] = deque()
    try:
        for file in files:
            waiting.append((file, pool.submit(images.load, file, model.height, model.width)))
            if len(waiting) > workers * AHEAD:
                yield _row(*waiting.popleft(), model)
        while waiting:
            yield _row(*waiting.popleft(), model)
    finally:
        pool.shutdown(cancel_futures=True)


def _row(file: Path, image: Future[NDArray[np.uint8]], model: EdgeModel) -> Row:
    try:
        probabilities = model.predict(image.result()[None])[0]
    except ImageError as error:
        return Row(str(file), "", None, (), str(error), 0.0, model.path.name)
    top = tuple((model.labels[k], float(probabilities[k])) for k in probabilities.argsort()[::-1][:3])
    return Row(str(file), *top[0], top, "", 0.0, model.path.name)
