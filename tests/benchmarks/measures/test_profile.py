from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from cifar_edge.benchmarks.measures.profile import profile
from cifar_edge.tflite.graph import operations


def test_every_operation_has_a_time(run: Path) -> None:
    file = run / "cnn-int8.tflite"
    found = profile(file)
    graph = operations(file.read_bytes())
    assert [(each.name, each.macs) for each in found] == [(each.name, each.macs) for each in graph]
    assert all(math.isfinite(each.time) and each.error >= 0 for each in found)
    assert sum(each.time for each in found) > 0


def test_an_operation_takes_what_its_piece_takes_more(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = run / "cnn-int8.tflite"
    count = len(operations(file.read_bytes()))
    asked: list[int] = []

    def interpreter(piece: bytes, threads: int) -> SimpleNamespace:
        asked.append(threads)
        return SimpleNamespace(invoke=None)

    def in_turn(calls: list[object], *_: object) -> list[NDArray[np.float64]]:
        """Piece n takes n² * 10 µs; in four rounds the whole takes 0, 10, 20 and 30 µs more."""
        times = [np.full((4, 3), 1e-5 * number**2) for number in range(1, len(calls) + 1)]
        times[-1] += 1e-5 * np.arange(4)[:, None]
        return times

    monkeypatch.setattr("cifar_edge.benchmarks.measures.profile.load_interpreter", interpreter)
    monkeypatch.setattr("cifar_edge.benchmarks.measures.profile.in_turn", in_turn)
    *first, last = profile(file, threads=3)
    assert asked == [3] * count
    assert [each.time for each in first] == pytest.approx([10 * (2 * number - 1) for number in range(1, count)])
    assert [each.error for each in first] == pytest.approx([0] * (count - 1), abs=1e-6)
    assert last.time == pytest.approx(10 * (2 * count - 1) + 15)
    # 1.2533 standard errors, of which an interquartile range of 15 µs is worth 1.349 standard deviations.
    assert last.error == pytest.approx(1.2533 * 15 / 1.349 / 2)
