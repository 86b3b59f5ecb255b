"""Graphs to measure, made as flatbuffers of the TFLite schema, without TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from cifar_edge.tflite.graph import pack, reading, unpack
from cifar_edge.tflite.names import IN_MEMORY

PRECISIONS = ("int8", "float32")


def matrix_product(rows: int, inner: int, columns: int, precision: str) -> bytes:
    """Make a graph that multiplies (rows, inner) by constant weights (inner, columns), and nothing else.

    Args:
        rows: of the input.
        inner: length of the sums.
        columns: of the weights.
        precision: one of `PRECISIONS`, of input, weights and output.

    Returns:
        The content of a `.tflite` file.
    """
    weights: NDArray[Any] = np.random.default_rng(0).integers(-127, 128, (columns, inner)).astype(precision)
    model = schema.ModelT()
    model.version = 3
    model.operatorCodes = [schema.OperatorCodeT()]
    # Both fields count: the older one is the one that older readers know.
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.FULLY_CONNECTED
    model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.FULLY_CONNECTED
    model.operatorCodes[0].version = 4  # the one with int8
    model.buffers = [schema.BufferT(), schema.BufferT()]
    model.buffers[1].data = np.frombuffer(weights.tobytes(), np.uint8)
    product = schema.OperatorT()
    product.inputs, product.outputs = [0, 1, -1], [2]  # -1: no bias
    product.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    product.builtinOptions = schema.FullyConnectedOptionsT()
    subgraph = schema.SubGraphT()
    subgraph.tensors = [
        _tensor("input", (rows, inner), 0, precision),
        _tensor("weights", (columns, inner), 1, precision),
        _tensor("output", (rows, columns), 0, precision),
    ]
    subgraph.inputs, subgraph.outputs, subgraph.operators = [0], [2], [product]
    model.subgraphs = [subgraph]
    return pack(model)


def prefixes(content: bytes, name: str = IN_MEMORY) -> list[bytes]:
    """Cut a `.tflite` model after each of its operations.

    Args:
        content: the file's bytes.
        name: of the file, for errors.

    Returns:
        A model with the first operation, one with the first two, ..., the whole one. Its outputs are
        what the rest would have read, so nothing of it can be left out.

    Raises:
        ModelError: the graph is damaged.
    """
    with reading(name):
        count = len(unpack(content, name).subgraphs[0].operators)
        return [_prefix(content, length) for length in range(1, count + 1)]


def _prefix(content: bytes, length: int) -> bytes:
    model = unpack(content)
    model.signatureDefs = model.metadata = None  # they name tensors that may be gone
    graph = model.subgraphs[0]
    graph.operators, rest = graph.operators[:length], graph.operators[length:]
    made = {int(tensor) for operator in graph.operators for tensor in operator.outputs}
    wanted = {int(tensor) for operator in rest for tensor in operator.inputs} | {
        int(tensor) for tensor in graph.outputs
    }
    graph.outputs = sorted(made & wanted)
    return pack(model)


def batched(content: bytes, batch: int, name: str = IN_MEMORY) -> bytes:
    """Make a `.tflite` model take several images at a time.

    LiteRT's own resizing stops at a RESHAPE to a constant shape, which most classifiers end with.

    Args:
        content: the bytes of a model that takes one image.
        batch: how many images the new one takes.
        name: of the file, for errors.

    Raises:
        ModelError: the graph is damaged.
    """
    with reading(name):
        model = unpack(content, name)
        model.metadata = None  # a card would not be of this graph
        graph = model.subgraphs[0]
        for tensor in graph.tensors:
            computed = model.buffers[tensor.buffer].data is None
            if computed and tensor.shape is not None and len(tensor.shape) and tensor.shape[0] == 1:
                tensor.shape = [batch, *tensor.shape[1:]]
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            is_reshape = schema.BuiltinOperator.RESHAPE in (code.builtinCode, code.deprecatedBuiltinCode)
            if is_reshape and (shape := model.buffers[graph.tensors[operator.inputs[1]].buffer]).data is not None:
                operator.builtinOptions = None  # it may hold the shape once more
                first, *others = np.frombuffer(bytes(shape.data), np.int32)
                sizes = np.array([batch if first == 1 else first, *others], np.int32)
                shape.data = sizes.view(np.uint8)
        return pack(model)


def _tensor(name: str, shape: Sequence[int], buffer: int, precision: str) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.buffer = name.encode(), list(shape), buffer
    tensor.type = getattr(schema.TensorType, precision.upper())
    if precision == "int8":
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1], [0]
    return tensor
