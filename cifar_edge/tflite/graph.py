"""The graph in a `.tflite` file: its operations and their tensors, read without running it.

Source: the TFLite schema (`schema.fbs`), as LiteRT ships it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

MULTIPLYING = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
"""Operations made of multiply-accumulates."""

_OPERATIONS = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}

_TYPES = {code: name.lower() for name, code in vars(schema.TensorType).items() if isinstance(code, int)}


@dataclass(frozen=True)
class Tensor:
    """A tensor: its name, shape, and type as the schema calls it ("int8", "float32", ...)."""

    name: str
    shape: tuple[int, ...]
    type: str


@dataclass(frozen=True)
class Operation:
    """An operation ("CONV_2D", ...) with what it reads and writes."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def weights(self) -> Tensor | None:
        """The second factor of its multiply-accumulates; None if it does not do any."""
        return self.inputs[1] if self.name in MULTIPLYING else None

    @property
    def macs(self) -> int:
        """Multiply-accumulates, those on padding included: a bias, an addition or an activation is none."""
        if self.weights is None:
            return 0
        results, weights = math.prod(self.outputs[0].shape), self.weights.shape
        if self.name == "TRANSPOSE_CONV":  # each input value meets (outputs, height, width) weights
            return math.prod(self.inputs[2].shape) * math.prod(weights[:3])
        if self.name == "DEPTHWISE_CONV_2D":  # weights (1, height, width, outputs)
            return results * math.prod(weights[1:3])
        if self.name == "BATCH_MATMUL":  # the first factor's last axis is summed over
            return results * self.inputs[0].shape[-1]
        return results * math.prod(weights[1:])  # weights (outputs, ...), all the rest is summed over


def operations(content: bytes) -> list[Operation]:
    """List the operations of a `.tflite` model in the order they run; the bodies of loops and branches follow.

    Args:
        content: the file's bytes; an appended card does not matter.
    """
    model = unpack(content)
    return [operation for graph in model.subgraphs for operation in _operations(model, graph)]


def parameters(content: bytes) -> int:
    """Count the numbers that a `.tflite` model stores: weights, biases, and the few that set up operations."""
    model = unpack(content)
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    return sum(math.prod(_tensor(tensor).shape) for tensor in tensors if model.buffers[tensor.buffer].data is not None)


def with_metadata(content: bytes, name: str, value: bytes) -> bytes:
    """Return a `.tflite` model that carries `value` under `name` in its metadata, which runtimes pass over."""
    model = unpack(content)
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(value, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers = [*model.buffers, buffer]
    model.metadata = [*(model.metadata or []), entry]
    return pack(model)


def unpack(content: bytes) -> Any:
    """Read the content of a `.tflite` file into the schema's own objects (`ModelT`), which can be changed."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))


def pack(model: Any) -> bytes:
    """Write the schema's objects as the content of a `.tflite` file."""
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _operations(model: Any, graph: Any) -> list[Operation]:
    tensors = [_tensor(tensor) for tensor in graph.tensors]
    return [
        Operation(
            _operation_name(model.operatorCodes[operator.opcodeIndex]),
            # An index of -1 stands for an optional tensor that is not there.
            tuple(tensors[index] for index in _or_empty(operator.inputs) if index >= 0),
            tuple(tensors[index] for index in _or_empty(operator.outputs)),
        )
        for operator in _or_empty(graph.operators)
    ]


def _tensor(tensor: Any) -> Tensor:
    return Tensor(tensor.name.decode(), tuple(map(int, _or_empty(tensor.shape))), _TYPES[tensor.type])


def _operation_name(code: Any) -> str:
    # Codes above 127 stand in the newer of two fields.
    name = _OPERATIONS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return str(code.customCode, "utf-8") if name == "CUSTOM" else name


def _or_empty(array: Any) -> Any:
    return () if array is None else array
