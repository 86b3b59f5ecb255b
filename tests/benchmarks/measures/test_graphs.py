from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cifar_edge.benchmarks.measures.graphs import PRECISIONS, batched, matrix_product, prefixes
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
