from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import flatbuffers
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from cifar_edge.benchmarks.measures.graphs import batched, matrix_product, prefixes
from cifar_edge.errors import ModelError
from cifar_edge.export.convert import convert
from cifar_edge.tflite.graph import operations, pack, parameters, unpack
from cifar_edge.tflite.names import find_model
from tests.tflite.mutate import with_odd_graph


def test_operations_and_parameters_are_read_from_the_graph() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(image)
    network = keras.Model(image, keras.layers.Dense(5, activation="softmax")(keras.layers.Flatten()(x)))
    content = convert(network, "float32", calibration=None)
    graph = operations(content)
    assert [operation.name for operation in graph] == ["CONV_2D", "RESHAPE", "FULLY_CONNECTED", "SOFTMAX"]
    assert (graph[0].inputs[0].shape, graph[0].inputs[0].type) == ((1, 8, 8, 3), "float32")
    assert graph[-1].outputs[0].shape == (1, 5)
    network.set_weights([np.ones_like(weight) for weight in network.get_weights()])
    of_reshape = 2
    assert parameters(convert(network, "float32", calibration=None)) == network.count_params() + of_reshape
    assert operations(content + b"a card") == graph


def test_macs_are_counted() -> None:
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(image)
    x = keras.layers.DepthwiseConv2D(3, padding="same")(x)
    x = keras.layers.Conv2DTranspose(5, 2, strides=2)(x)
    x = keras.layers.ReLU()(x)
    network = keras.Model(image, keras.layers.Dense(7)(keras.layers.Flatten()(x)))
    macs = {each.name: each.macs for each in operations(convert(network, "float32", calibration=None)) if each.macs}
    assert macs == {
        "CONV_2D": 4 * 4 * 4 * 9 * 3,
        "DEPTHWISE_CONV_2D": 4 * 4 * 4 * 9,
        "TRANSPOSE_CONV": 4 * 4 * 4 * 4 * 5,
        "FULLY_CONNECTED": 8 * 8 * 5 * 7,
    }


NANO = find_model("nano").read_bytes()
SMALL_FILE = matrix_product(1, 8, 8, "int8")


def read(content: bytes) -> None:
    """Read a graph in every way; only `ModelError` passes."""
    for way in (operations, parameters, prefixes, partial(batched, batch=2)):
        with contextlib.suppress(ModelError):
            way(content)


def overlapping(subgraphs: int, tensors: int, name: int) -> bytes:
    """Return a small file in which all subgraphs share their tensors, and these their long name."""
    builder = flatbuffers.Builder()
    text = builder.CreateString("x" * name)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, text)
    tensor = schema.TensorEnd(builder)
    schema.SubGraphStartTensorsVector(builder, tensors)
    for _ in range(tensors):
        builder.PrependUOffsetTRelative(tensor)
    vector = builder.EndVector()
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, vector)
    subgraph = schema.SubGraphEnd(builder)
    schema.ModelStartSubgraphsVector(builder, subgraphs)
    for _ in range(subgraphs):
        builder.PrependUOffsetTRelative(subgraph)
    vector = builder.EndVector()
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, vector)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("size", [(1000, 1000, 100_000), (1, 5000, 100_000), (5000, 5000, 1)])
def test_parts_that_lie_on_one_another_are_not_unfolded(size: tuple[int, int, int]) -> None:
    content = overlapping(*size)
    assert len(content) < 150_000
    tracemalloc.start()
    with pytest.raises(ModelError, match=r"^odd\.tflite: its graph is damaged \(its parts overlap"):
        operations(content, "odd.tflite")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize("number", [0, 3, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wrong_number_anywhere_in_a_file_is_an_error_or_nothing(number: int) -> None:
    for at in range(0, len(SMALL_FILE) - 3, 4):
        odd = bytearray(SMALL_FILE)
        odd[at : at + 4] = number.to_bytes(4, "little")
        read(bytes(odd))


def test_what_is_no_graph_is_an_error() -> None:
    for content in (b"", b"TFL3", b"no graph at all", bytes(1000), b"\xff" * 1000, SMALL_FILE[:200]):
        for way in (operations, parameters, prefixes, partial(batched, batch=2)):
            with pytest.raises(ModelError, match=r"^odd\.tflite: its graph is damaged \("):
                way(content, name="odd.tflite")


def test_odd_graphs_are_errors_or_graphs() -> None:
    for seed in range(40):
        read(with_odd_graph(SMALL_FILE, random.Random(seed)))


def changed(change: Callable[[Any], None]) -> bytes:
    model = unpack(NANO)
    change(model)
    return pack(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model, "subgraphs", None),
        lambda model: setattr(model, "operatorCodes", []),
        lambda model: setattr(model.subgraphs[0].operators[1], "inputs", np.array([-5], np.int32)),
        lambda model: setattr(model.subgraphs[0].operators[1], "inputs", np.array([9999], np.int32)),
        lambda model: setattr(model.subgraphs[0].operators[1], "outputs", None),
        lambda model: setattr(model.subgraphs[0].tensors[0], "name", b"\xff\xfe"),
        lambda model: setattr(model.subgraphs[0].tensors[0], "type", 99),
        lambda model: setattr(model.subgraphs[0].tensors[0], "shape", np.array([-1, 2], np.int32)),
        lambda model: setattr(model.subgraphs[0].tensors[0], "shape", np.full(1000, 2**31 - 1, np.int32)),
    ],
)
def test_a_graph_that_makes_no_sense_is_an_error(change: Callable[[Any], None]) -> None:
    with pytest.raises(ModelError, match=r"^odd\.tflite: its graph is damaged \("):
        operations(changed(change), "odd.tflite")


def test_a_tensor_needs_no_name() -> None:
    assert len(operations(changed(lambda model: setattr(model.subgraphs[0].tensors[0], "name", None)))) == 13
