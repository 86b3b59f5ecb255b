from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cifar_edge import EdgeModel, classify_folder
from cifar_edge.classify import folder, pipeline
from cifar_edge.photos import decode
from tests.conftest import PHOTOS


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

    def slow(*_: object) -> Iterator[str]:
        yield first
        assert searching.wait(20)
        yield from others

    monkeypatch.setattr(folder, "photos_in", slow)
    rows = classify_folder(PHOTOS / "cat", model, workers=1)
    assert next(rows).path == first
    searching.set()
    assert [row.path for row in rows] == others


def test_what_fails_while_searching_is_told(model: EdgeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[str]:
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

    def load(file: str, wait: bool) -> NDArray[np.uint8]:
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
