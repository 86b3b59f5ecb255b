from __future__ import annotations

import contextlib
import errno
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cifar_edge import EdgeModel, classify_folder
from cifar_edge.benchmarks.studies.photos import exif_with
from cifar_edge.classify import folder, pipeline
from cifar_edge.errors import ModelError, UsageError
from cifar_edge.photos import decode
from cifar_edge.photos.find import find, order
from tests.conftest import PHOTOS


@pytest.fixture(scope="module")
def model(run: Path) -> EdgeModel:
    return EdgeModel(run / "cnn-int8.tflite")


def test_rows_are_in_the_order_of_paths_whatever_the_workers(model: EdgeModel) -> None:
    one, four = (list(classify_folder(PHOTOS, model, workers)) for workers in (1, 4))
    assert [replace(row, milliseconds=0) for row in one] == [replace(row, milliseconds=0) for row in four]
    paths = [row.path for row in one]
    assert paths == sorted(paths)
    assert len(paths) == len([path for path in PHOTOS.glob("*/*") if path.suffix in (".jpg", ".png")])
    assert all(row.label in model.labels and 0 < row.confidence <= 1 and not row.error for row in one)
    assert all(row.milliseconds > 0 and row.model == "cnn-int8.tflite" for row in one)


def test_a_model_s_path_and_several_places_will_do(run: Path) -> None:
    rows = list(classify_folder([PHOTOS / "cat", PHOTOS / "bird" / "heron.jpg"], run / "cnn-float32.tflite"))
    assert [Path(row.path).name for row in rows] == [
        "heron.jpg",
        "chelsea.jpg",
        "kitten_fence.jpg",
        "kitten_playing.jpg",
    ]


def test_the_most_probable_classes(model: EdgeModel) -> None:
    (row,) = classify_folder(PHOTOS / "cat" / "chelsea.jpg", model, top_k=10)
    assert row.top[0] == (row.label, row.confidence)
    assert {label for label, _ in row.top} == set(model.labels)
    probabilities = [probability for _, probability in row.top]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=0.05)
    (best,) = classify_folder(PHOTOS / "cat" / "chelsea.jpg", model)
    assert best.top == row.top[:1]


def test_an_uncertain_label_is_unknown(model: EdgeModel) -> None:
    certain = list(classify_folder(PHOTOS, model))
    middle = sorted(row.confidence for row in certain)[len(certain) // 2]
    for row, before in zip(classify_folder(PHOTOS, model, min_confidence=middle), certain, strict=True):
        assert (row.label == "unknown") == (before.confidence < middle)
        assert (row.confidence, row.top) == (before.confidence, before.top)


def test_an_unreadable_file_is_a_row_with_its_reason(model: EdgeModel, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes((PHOTOS / "cat" / "chelsea.jpg").read_bytes())
    (tmp_path / "b.jpg").write_bytes(b"no photo")
    (tmp_path / "c.png").symlink_to(tmp_path / "a.jpg")
    rows = list(classify_folder(tmp_path, model))
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert (rows[1].label, rows[1].confidence) == ("", None)
    assert "not an image" in rows[1].error


def test_search(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/a/1.webp", "b/10.png", "notes.txt", "a.gif", ".hidden/x.tiff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    found = [os.path.relpath(path, tmp_path) for path in find([tmp_path])]
    assert found == [".hidden/x.tiff", "a.gif", "b/10.png", "b/2.JPG", "b/a/1.webp"]
    # A file that is named is taken, whatever its suffix; and nothing is there twice.
    assert list(find([tmp_path / "notes.txt"])) == [str(tmp_path / "notes.txt")]
    starts = [tmp_path, tmp_path / "notes.txt", tmp_path / "b", tmp_path / "a.gif"]
    again = [os.path.relpath(path, tmp_path) for path in find(starts)]
    assert again == [*found, "notes.txt"]


def test_a_photo_is_found_once_however_its_place_is_spelt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.jpg", "a/b/2.jpg", "c/3.jpg", "c/notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    Path("link").symlink_to("c")
    Path("a/4.jpg").symlink_to("1.jpg")
    in_a = ["a/1.jpg", "a/4.jpg", "a/b/2.jpg"]
    for places, expected in (
        (["a", tmp_path / "a", "a/../a", "link/../a"], in_a),
        (["a/b", "a", "a/4.jpg", tmp_path / "a" / "1.jpg"], in_a),
        (["c/../a", "a"], [f"c/../{name}" for name in in_a]),
        (["a/b/2.jpg", tmp_path / "a" / "b" / "2.jpg"], ["a/b/2.jpg"]),
        (["a/1.jpg", "a/4.jpg"], ["a/1.jpg", "a/4.jpg"]),
        (["link", "c", "link/3.jpg"], ["link/3.jpg"]),
        (["link", "c/notes.txt", "link/notes.txt"], ["c/notes.txt", "link/3.jpg"]),
        ([".", "link", "a"], [*in_a, "c/3.jpg"]),
    ):
        assert list(find(places)) == expected


def test_the_order_is_that_of_the_names_on_the_way(tmp_path: Path) -> None:
    for name in ("a/b.jpg", "a/b/c.jpg", "a-b/1.jpg", "a.jpg", "a/B.jpg", "z/z/z.png", "Z.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    paths = list(find([tmp_path]))
    assert len(paths) == 7
    assert paths == sorted(paths, key=order)
    assert paths == list(find([tmp_path / "z", *tmp_path.glob("[Zaz]*")]))


def test_deep_folders(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(300):
        folder = folder / "d"
        folder.mkdir()
    (folder / "photo.jpg").touch()
    assert list(find([tmp_path])) == [str(folder / "photo.jpg")]


def test_a_folder_that_cannot_be_listed_is_a_row(
    model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "photo.png").write_bytes((PHOTOS / "frog" / "brown_frog.png").read_bytes())
    listing = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(os, "scandir", refuse)
    rows = list(classify_folder(tmp_path, model))
    assert [row.error for row in rows] == ["a folder that cannot be listed", ""]


def test_nothing_to_classify_is_an_error(model: EdgeModel, run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        next(classify_folder(tmp_path / "nowhere", model))
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UsageError, match="no photos in there"):
        next(classify_folder(tmp_path, model))
    with pytest.raises(ModelError):
        next(classify_folder(PHOTOS, tmp_path / "notes.txt"))


def test_only_a_few_photos_are_read_ahead(model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = (PHOTOS / "ship" / "yacht.png").read_bytes()
    for number in range(300):
        (tmp_path / f"{number:03}.png").write_bytes(photo)
    started: list[Path] = []
    real = decode.load
    monkeypatch.setattr(decode, "load", lambda path, **how: (started.append(path), real(path, **how))[1])
    monkeypatch.setattr(pipeline, "LARGEST_BATCH", 2)
    rows = classify_folder(tmp_path, model, workers=2)
    next(rows)
    assert len(started) <= 2 * (2 * pipeline.AHEAD + 1)
    rows.close()
    assert len(started) <= 2 * (2 * pipeline.AHEAD + 1)


def test_tiny_photos_go_through_in_batches(model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        (tmp_path / f"{number:03}.png").symlink_to(PHOTOS / "ship" / "yacht.png")
    monkeypatch.setattr(pipeline, "perf_counter", lambda: 0.0)  # whatever else the machine does
    batches: list[int] = []
    predict = model.predict
    monkeypatch.setattr(model, "predict", lambda pixels: (batches.append(len(pixels)), predict(pixels))[1])
    assert len(list(classify_folder(tmp_path, model, workers=1))) == sum(batches) == 200
    assert batches[0] == 1  # the first row is not kept waiting
    assert max(batches) == pipeline.LARGEST_BATCH


def test_scores_that_are_no_numbers_are_an_error(model: EdgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    predict = model.predict

    def spoil(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        probabilities = predict(pixels)
        probabilities[:, 3] = np.nan
        return probabilities

    monkeypatch.setattr(model, "predict", spoil)
    (row,) = classify_folder(PHOTOS / "cat" / "chelsea.jpg", model)
    assert (row.label, row.confidence, row.top) == ("", None, ())
    assert "not numbers" in row.error


def test_rows_do_not_wait_for_a_slow_search(model: EdgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = map(str, (PHOTOS / "cat").glob("*.jpg"))
    searching = threading.Event()

    def slow(paths: object) -> Iterator[str]:
        yield first
        assert searching.wait(20)
        yield from others

    monkeypatch.setattr(folder, "photos_in", slow)
    rows = classify_folder(PHOTOS / "cat", model, workers=1)
    assert next(rows).path == first
    searching.set()
    assert [row.path for row in rows] == others


def test_what_fails_while_searching_is_told(model: EdgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(paths: object) -> Iterator[str]:
        yield from map(str, (PHOTOS / "cat").glob("*.jpg"))
        raise MemoryError("no room for names")

    monkeypatch.setattr(folder, "photos_in", broken)
    with pytest.raises(MemoryError, match="no room for names"):
        list(classify_folder(PHOTOS / "cat", model, workers=3))


def test_slow_photos_after_tiny_ones_have_their_rows_one_by_one(
    model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        (tmp_path / f"{number:03}.png").symlink_to(PHOTOS / "ship" / "yacht.png")
    image = np.zeros((32, 32, 3), np.uint8)
    begun: list[int] = []

    def load(path: str, **how: Any) -> NDArray[np.uint8]:
        begun.append(int(Path(path).stem))
        if begun[-1] >= 100:
            time.sleep(2 * pipeline.BATCH_SECONDS)
        return image

    monkeypatch.setattr(decode, "load", load)
    rows = classify_folder(tmp_path, model, workers=1)
    for row in rows:
        if Path(row.path).stem == "100":
            break
    assert begun[-1] < 110  # not all that were handed over together
    rows.close()
    stopped = len(begun)
    time.sleep(4 * pipeline.BATCH_SECONDS)
    assert len(begun) == stopped


def test_of_a_folder_whose_listing_breaks_off_what_is_known_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    real = os.scandir

    @contextlib.contextmanager
    def failing(path: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        def entries() -> Iterator[os.DirEntry[str]]:
            with real(path) as found:
                yield from itertools.islice(found, 2)
            raise OSError(errno.EIO, "Input/output error")

        yield entries()

    monkeypatch.setattr(os, "scandir", failing)
    place, *photos = find([tmp_path])
    assert place == str(tmp_path)
    assert len(photos) == 2


def test_the_card_s_fit_or_the_one_asked_for(model: EdgeModel, tmp_path: Path) -> None:
    photo = PHOTOS / "automobile" / "red_beetle.png"
    told = {fit: next(classify_folder(photo, model, fit=fit, top_k=10)).top for fit in (None, *decode.FITS)}
    assert len(set(told.values())) == 3
    assert told[None] == told[model.card.fit]
    with pytest.raises(UsageError, match="must be one of crop, pad, stretch"):
        classify_folder(photo, model, fit="zoom")


def test_a_camera_s_thumbnail_counts_if_asked_for(model: EdgeModel, tmp_path: Path) -> None:
    """Of a grey photo with a picture of a ship for a thumbnail."""
    ship = tmp_path / "ship.jpg"
    with Image.open(PHOTOS / "ship" / "yacht.png") as opened:
        opened.convert("RGB").resize((160, 120)).save(ship)
    Image.new("RGB", (800, 600), "grey").save(tmp_path / "grey.jpg", exif=exif_with(ship.read_bytes()))
    told = {
        (path.stem, thumbnails): next(classify_folder(path, model, exif_thumbnails=thumbnails, top_k=10)).top
        for path in (ship, tmp_path / "grey.jpg")
        for thumbnails in (False, True)
    }
    assert told["grey", True] == told["ship", False] == told["ship", True]
    assert told["grey", False] != told["ship", False]


def test_a_huge_folder_costs_its_names(tmp_path: Path) -> None:
    for number in range(5_000):
        (tmp_path / f"{number:05}.jpg").touch()
    # In a process of its own: threads of other tests take memory too.
    program = (
        "import sys, tracemalloc; from cifar_edge.photos.find import find; tracemalloc.start(); "
        "print(sum(1 for _ in find(sys.argv[1:])), tracemalloc.get_traced_memory()[1])"
    )
    found = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    count, peak = map(int, found.stdout.split())
    assert count == 5_000
    assert peak < 5_000 * 100  # a name of 9 characters is a string of 58 bytes and its place in a list


@pytest.mark.parametrize(
    ("count", "larger", "working", "waiting", "alone"),
    [
        (4, 0, [1e-4] * 4, 0, [True] * 4),
        (1, 0, [1e-4], 0, [False]),
        (4, 1, [1e-4] * 4, 0, [False] * 4),
        (4, 0, [1e-4, 1e-4, 1e-3, 1e-4], 0, [True, True, True, False]),
        (4, 0, [1e-4] * 4, 1e-3, [True, False, False, False]),
    ],
    ids=["tiny", "one", "larger", "slow to decode", "from a slow disk"],
)
def test_tiny_photos_are_read_by_one_thread_at_a_time(
    count: int,
    larger: int,
    working: list[float],
    waiting: float,
    alone: list[bool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = [str(tmp_path / f"{number}.png") for number in range(count)]
    for file in files:
        Path(file).write_bytes(bytes(pipeline.TINY + larger))
    turn, told, clock, worked = threading.Lock(), [], 0.0, 0.0

    def load(file: str) -> NDArray[np.uint8]:
        nonlocal clock, worked
        told.append(turn.locked())
        worked += working[len(told) - 1]
        clock += working[len(told) - 1] + waiting
        return np.zeros((32, 32, 3), np.uint8)

    monkeypatch.setattr(pipeline, "perf_counter", lambda: clock)
    monkeypatch.setattr(pipeline, "thread_time", lambda: worked)
    photos, reasons, reading = pipeline._read(files, load, turn)
    assert (len(photos), reasons, len(reading)) == (count, [""] * count, count)
    assert told == alone
    assert not turn.locked()


def test_a_computer_that_gets_slower_loses_neither_order_nor_rows(
    model: EdgeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        (tmp_path / f"{number:02}.png").symlink_to(PHOTOS / "ship" / "yacht.png")
    real = decode.load

    def throttled(path: str, **how: Any) -> NDArray[np.uint8]:
        number = int(Path(path).stem)
        if number >= 30:
            time.sleep(0.02 + 0.02 * (number % 3))
        return real(path, **how)

    monkeypatch.setattr(decode, "load", throttled)
    rows = list(classify_folder(tmp_path, model, 3))
    assert [Path(row.path).stem for row in rows] == [f"{number:02}" for number in range(60)]
    assert rows[-1].milliseconds > 20
