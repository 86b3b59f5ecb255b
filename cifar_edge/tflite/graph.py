"""The graph in a `.tflite` file: its operations and their tensors, read without running it.

Source: the TFLite schema (`schema.fbs`), as LiteRT ships it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cifar_edge.errors import ModelError, first_line
from cifar_edge.tflite.names import IN_MEMORY

MULTIPLYING = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL")
"""Operations made of multiply-accumulates."""

MOST_TABLES = 100_000
"""Tables of a graph, as the schema calls them: each operation, tensor and buffer is one or two."""

MOST_AXES = 16  # of a tensor; LiteRT's operations take up to 8

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
    """An operation ("CONV_2D", ...) with what it reads and writes.

    Attributes:
        name: as the schema calls it, or of a custom operation.
        inputs: tensors it reads.
        outputs: tensors it writes.
        macs: multiply-accumulates, those on padding included: a bias, an addition or an activation is none.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    macs: int

    @property
    def weights(self) -> Tensor | None:
        """The second factor of its multiply-accumulates; None if it does not do any."""
        return self.inputs[1] if self.name in MULTIPLYING else None


@contextlib.contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what a damaged graph makes the schema's code raise, which may be any exception, into `ModelError`.

    Args:
        name: of the file.
    """
    try:
        yield
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{name}: its graph is damaged ({first_line(error)}); export or copy it again") from error


def operations(content: bytes, name: str = IN_MEMORY) -> list[Operation]:
    """List the operations of a `.tflite` model in the order they run; the bodies of loops and branches follow.

    Args:
        content: the file's bytes; an appended card does not matter.
        name: of the file, for errors.

    Raises:
        ModelError: the graph is damaged.
    """
    with reading(name):
        model = unpack(content, name)
        return [operation for graph in model.subgraphs for operation in _operations(model, graph)]


def parameters(content: bytes, name: str = IN_MEMORY) -> int:
    """Count the numbers that a `.tflite` model stores: weights, biases, and the few that set up operations.

    Arguments and errors are those of `operations`.
    """
    with reading(name):
        model = unpack(content, name)
        tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
        stored = [tensor for tensor in tensors if model.buffers[tensor.buffer].data is not None]
        return sum(math.prod(_tensor(tensor).shape) for tensor in stored)


def with_metadata(content: bytes, name: str, value: bytes) -> bytes:
    """Return a `.tflite` model that carries `value` under `name` in its metadata, which runtimes pass over."""
    model = unpack(content)
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(value, np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers = [*model.buffers, buffer]
    model.metadata = [*(model.metadata or []), entry]
    return pack(model)


def unpack(content: bytes, name: str = IN_MEMORY) -> Any:
    """Read the content of a `.tflite` file into the schema's own objects (`ModelT`), which can be changed.

    Arguments and errors are those of `operations`; that its numbers make sense is not checked.
    """
    with reading(name):
        root = schema.Model.GetRootAs(content, 0)
        _check_size(root, len(content))
        return schema.ModelT.InitFromObj(root)


def pack(model: Any) -> bytes:
    """Write the schema's objects as the content of a `.tflite` file."""
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _check_size(root: Any, size: int) -> None:
    """Raise `ValueError` if the parts of a graph are together much larger than its file.

    Those of a hostile file may lie on one another: a thousand subgraphs share a thousand tensors with one long name.
    """
    tables, length, waiting = 1, 0, [root]
    while waiting:
        for part in _parts(waiting.pop()):
            if isinstance(part, int):
                length += part
            else:
                tables, length = tables + 1, length + 8  # bytes: its place in a vector, and of its layout
                waiting.append(part)
            if length > 2 * size or tables > MOST_TABLES:
                raise ValueError(f"its parts overlap, or are more than {MOST_TABLES:,}")


def _parts(table: Any) -> Iterator[Any]:
    """Yield the lengths of a table's vectors and texts, each before what is in it, and the tables in it."""
    kind: Any = type(table)
    for field in _fields(kind):
        read = getattr(table, field)
        if hasattr(kind, f"{field}Length"):
            count = getattr(table, f"{field}Length")()
            yield count
            if not hasattr(kind, f"{field}AsNumpy"):  # no numbers
                yield from map(read, range(count))
        elif create := getattr(schema, f"{field}Creator", None):  # options of an operation, with no tables in them
            if options := create(getattr(table, f"{field}Type")(), read()):
                yield from (len(value) for value in vars(options).values() if isinstance(value, bytes | np.ndarray))
        elif isinstance(value := read(), bytes):
            yield len(value)
        elif hasattr(value, "_tab"):
            yield value


@functools.cache
def _fields(kind: Any) -> list[str]:
    """Return the names of a table's fields: each is a method, among others."""
    others = re.compile("_.*|Init|GetRootAs.*|.*(Length|AsNumpy|IsNone|HasIdentifier)")
    return [name for name in vars(kind) if not others.fullmatch(name)]


def _operations(model: Any, graph: Any) -> Iterator[Operation]:
    tensors = dict(enumerate(map(_tensor, _or_empty(graph.tensors))))
    for operator in _or_empty(graph.operators):
        name = _operation_name(model.operatorCodes[operator.opcodeIndex])
        # An index of -1 stands for an optional tensor that is not there.
        inputs = tuple(tensors[index] for index in _or_empty(operator.inputs) if index != -1)
        outputs = tuple(tensors[index] for index in _or_empty(operator.outputs))
        yield Operation(name, inputs, outputs, _macs(name, inputs, outputs) if name in MULTIPLYING else 0)


def _macs(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> int:
    results, weights = math.prod(outputs[0].shape), inputs[1].shape
    if name == "TRANSPOSE_CONV":  # each input value meets (outputs, height, width) weights
        return math.prod(inputs[2].shape) * math.prod(weights[:3])
    if name == "DEPTHWISE_CONV_2D":  # weights (1, height, width, outputs)
        return results * math.prod(weights[1:3])
    if name == "BATCH_MATMUL":  # the first factor's last axis is summed over
        return results * inputs[0].shape[-1]
    return results * math.prod(weights[1:])  # weights (outputs, ...), all the rest is summed over


def _tensor(tensor: Any) -> Tensor:
    shape = _or_empty(tensor.shape)
    if len(shape) > MOST_AXES or min(shape, default=0) < 0:
        raise ValueError("a tensor has no possible shape")
    return Tensor((tensor.name or b"").decode(), tuple(map(int, shape)), _TYPES[tensor.type])


def _operation_name(code: Any) -> str:
    # Codes above 127 stand in the newer of two fields.
    name = _OPERATIONS[max(code.builtinCode, code.deprecatedBuiltinCode)]
    return str(code.customCode, "utf-8") if name == "CUSTOM" else name


def _or_empty(array: Any) -> Any:
    return () if array is None else array
