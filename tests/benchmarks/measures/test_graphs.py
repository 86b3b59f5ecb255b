from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from cifar_edge.benchmarks.measures.graphs import PRECISIONS, batched, matrix_product, prefixes
from cifar_edge.benchmarks.measures.profile import profile
from cifar_edge.data import Cifar10
from cifar_edge.tflite.graph import operations
from cifar_edge.tflite.interpreter import litert, load_interpreter


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_matrix_product_is_one_operation(precision: str) -> None:
    graph = matrix_product(16, 8, 4, precision)
    (product,) = operations(graph)
    assert product.macs == 16 * 8 * 4
    assert product.weights is not None
    assert product.weights.type == precision
    run = litert(graph)
    ones = np.ones((16, 8), precision)
    result = run(ones)
    assert result.shape == (16, 4)
    assert result.any()
    assert not run(0 * ones).any()


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_a_batch_gives_what_its_images_give(name: str, run: Path, sample: Cifar10) -> None:
    file = run / f"cnn-{name}.tflite"
    images = sample.test.images[:3].astype(np.float32 if name == "float32" else np.uint8)
    one = litert(file)
    expected = np.concatenate([one(images[number : number + 1]) for number in range(3)])
    np.testing.assert_allclose(litert(batched(file.read_bytes(), 3), batch=3)(images), expected, atol=1e-5)


def test_prefixes_grow_by_an_operation_up_to_the_whole(run: Path) -> None:
    content = (run / "cnn-float32.tflite").read_bytes()
    whole = operations(content)
    pieces = prefixes(content)
    assert [operations(piece) for piece in pieces] == [whole[: number + 1] for number in range(len(whole))]
    image = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(litert(pieces[-1])(image), litert(content)(image))
    first = load_interpreter(pieces[0])
    (output,) = first.get_output_details()
    assert tuple(output["shape"]) == whole[0].outputs[0].shape


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
