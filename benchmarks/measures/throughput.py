"""Photos a second: `cifar-edge classify` beside other ways, and where its time goes."""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from cifar_edge.classify.folder import classify_folder
from cifar_edge.errors import ImageError
from cifar_edge.photos import decode
from cifar_edge.photos.cost import cost_of
from cifar_edge.photos.find import find
from cifar_edge.results.journal import Journal
from cifar_edge.results.row import Row
from cifar_edge.system.machine import MOST_FOR_A_PHOTO
from cifar_edge.system.silence import silenced
from cifar_edge.system.timing import Progress
from cifar_edge.tflite.model import EdgeModel

CORES = os.cpu_count() or 1

UNREADABLE = (OSError, SyntaxError, ValueError, ImageError)
"""Errors for damaged or too large files; the loops here skip them."""

JPEG = (".jpg", ".jpeg", ".jfif")
HEIC = (".heic", ".heif", ".hif")
"""Suffixes by which other libraries choose a decoder, or find that they have none."""

MOST = 500  # photos of a folder that is somebody's, perhaps a large one
CHUNK = 64  # files a thread takes at a time where others' decoders are measured


def measure(
    folder: Path, model: EdgeModel, most: int = MOST, rounds: int = 5, progress: Progress = lambda *_: None
) -> dict[str, float]:
    """Measure how many photos a second each way classifies, or only decodes; the ways take turns.

    Those of other libraries are left out where these are not installed (extras `bench` and `train`).

    Args:
        folder: of photos.
        model: a `.tflite` file, best with the `model.keras` it came from beside it.
        most: photos to take. If there are more, or some cannot be read, Keras is left out, which would take all of
            them, or stop.
        rounds: how often each way has its turn.
        progress: called after each turn.

    Returns:
        The median of photos a second, by the way's name.
    """
    paths = list(itertools.islice(_files(folder), most + 1))
    whole = len(paths) <= most
    paths = paths[:most]
    photos = folder if whole else paths  # which takes longer to search
    readable = not any(row.error for row in classify_folder(photos, model))  # and now the files are in memory
    keras_file = model.path.parent / "model.keras"
    ways: dict[str, Callable[[], object]] = {
        "classify": lambda: list(classify_folder(photos, model)),
        "classify --output": lambda: _with_output(photos, model),
        "classify --exif-thumbnails": lambda: list(classify_folder(photos, model, exif_thumbnails=True)),
        "decoder's limit": lambda: _in_threads(lambda path: _decode(path, model), paths),
        "naive loop": lambda: list(naive_loop(paths, model.path)),
    }
    if find_spec("cv2") and not _any_of(paths, HEIC):
        ways["OpenCV, reduced"] = lambda: _with_opencv(paths, model)
    if find_spec("keras") and keras_file.exists() and readable and whole and not _any_of(paths, (*HEIC, ".avif")):
        ways["Keras"] = _with_keras(folder, keras_file, model)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for done, (_, (name, way)) in enumerate(itertools.product(range(rounds), ways.items()), start=1):
        start = time.perf_counter()
        way()
        seconds[name].append(time.perf_counter() - start)
        progress(done, rounds * len(ways))
    return {name: len(paths) / statistics.median(taken) for name, taken in seconds.items()}


def profile(folder: Path, model: EdgeModel, most: int = MOST) -> dict[str, float]:
    """Return where a thread's time goes, in milliseconds a photo, by stage.

    Args:
        folder: of photos; those that cannot be read count with the time that takes.
        model: a `.tflite` file.
        most: photos to take.
    """
    start = time.perf_counter()
    paths = list(itertools.islice(_files(folder), most))
    seconds = {"list": time.perf_counter() - start}
    stages: dict[str, Callable[[Path], object]] = {
        "read": _read,
        "decode": lambda path: _decode(path, model),
        "resize": lambda path: _load(path, model),
    }
    _each(paths, stages["decode"])  # once in vain: from now on, files are in memory
    for name, stage in stages.items():
        seconds[name] = _each(paths, stage)
    # Each contains the one before.
    seconds["resize"] -= seconds["decode"]
    seconds["decode"] -= seconds["read"]
    image = np.zeros((1, model.height, model.width, 3), np.uint8)
    seconds["infer"] = _each(paths, lambda _: model.predict(image))
    rows = list(classify_folder(paths, model))
    with tempfile.TemporaryDirectory() as folder_of_results:
        seconds["write"] = _each([None], lambda _: _write(rows, Path(folder_of_results, "results.csv")))
    return {name: max(0.0, 1000 * spent / len(paths)) for name, spent in seconds.items()}


def _with_output(photos: Path | Sequence[Path], model: EdgeModel) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for _ in classify_folder(photos, model, output=Path(folder, "results.csv")):
            pass


def _write(rows: Sequence[Row], output: Path) -> None:
    """Write rows as a run does: once as they come, and once as CSV."""
    with Journal(output, b"{}", resume=False) as journal:
        for _ in journal.add(rows):
            pass
        journal.finish()


def _files(folder: Path) -> Iterator[Path]:
    """Find photos; not pipes and the like, for which others' loops would wait for ever."""
    return (path for path in map(Path, find([folder])) if path.is_file())


def _any_of(paths: Sequence[Path], suffixes: tuple[str, ...]) -> bool:
    return any(path.name.lower().endswith(suffixes) for path in paths)


def _each(items: Sequence[Any], work: Callable[[Any], object]) -> float:
    start = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - start


def naive_loop(paths: Sequence[Path], model: Path) -> Iterator[int]:
    """Classify as LiteRT's example `label_image.py` does: open, convert, resize, one `invoke` a file."""
    from ai_edge_litert.interpreter import Interpreter

    with silenced():
        interpreter: Any = Interpreter(model_path=str(model))
        interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    height, width = source["shape"][1:3]
    for path in paths:
        try:
            image = Image.open(path)
            if cost_of(image, image.width * image.height).memory > MOST_FOR_A_PHOTO:
                continue
            pixels: Any = np.expand_dims(np.asarray(image.convert("RGB").resize((width, height))), 0)
        except UNREADABLE:
            continue
        if source["dtype"] == np.float32:
            pixels = (np.float32(pixels) - 127.5) / 127.5
        elif source["dtype"] == np.int8:
            pixels = (pixels.astype(np.int16) - 128).astype(np.int8)
        interpreter.set_tensor(source["index"], pixels)
        interpreter.invoke()
        scores = np.squeeze(interpreter.get_tensor(target["index"]))
        yield int(scores.argsort()[-5:][::-1][0])


def _decode(path: Path, model: EdgeModel) -> None:
    """Decode as `images.load` does, and no more."""
    try:
        with path.open("rb") as file, decode.open_photo(file) as image:
            decode.decode(image, (decode.REDUCED * model.width, decode.REDUCED * model.height))
    except UNREADABLE:
        return


def _read(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.read_bytes()


def _load(path: Path, model: EdgeModel) -> None:
    try:
        decode.load(path, model.height, model.width)
    except ImageError:
        return


def _in_threads(work: Callable[[Path], object], paths: Sequence[Path]) -> None:
    share = max(1, min(CHUNK, len(paths) // (4 * CORES)))
    parts = [paths[start : start + share] for start in range(0, len(paths), share)]
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(lambda part: [work(path) for path in part], parts))


def _with_opencv(paths: Sequence[Path], model: EdgeModel) -> None:
    import cv2

    lock = Lock()

    def classify(path: Path) -> None:
        image: Any = cv2.imread(
            str(path), cv2.IMREAD_REDUCED_COLOR_8 if path.suffix.lower() in JPEG else cv2.IMREAD_COLOR
        )
        if image is None:
            return
        small: Any = cv2.resize(image, (model.width, model.height), interpolation=cv2.INTER_AREA)[None, ..., ::-1]
        with lock:
            model.predict(small)

    _in_threads(classify, paths)


def _with_keras(folder: Path, keras_file: Path, model: EdgeModel) -> Callable[[], object]:
    with silenced():
        import keras

        network = keras.models.load_model(keras_file)

    def classify() -> None:
        with silenced():
            photos = keras.utils.image_dataset_from_directory(
                folder, labels=None, image_size=(model.height, model.width), batch_size=32, shuffle=False
            )
            network.predict(photos, verbose=0)

    return classify
