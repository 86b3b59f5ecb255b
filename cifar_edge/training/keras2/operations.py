"""TensorFlow's operations in the architecture of Keras 2, as of `preprocess_input` -> layers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from cifar_edge.errors import ModelError


def _add(x: Any, y: Any) -> Any:
    return ops.add(x, y)


def _subtract(x: Any, y: Any) -> Any:
    return ops.subtract(x, y)


def _multiply(x: Any, y: Any) -> Any:
    return ops.multiply(x, y)


def _divide(x: Any, y: Any) -> Any:
    # No format of integers has a division; a Rescaling is a multiplication too.
    return ops.multiply(x, 1 / np.float32(y)) if isinstance(y, int | float | np.ndarray) else ops.true_divide(x, y)


def _mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return ops.mean(x, np.array(axis, int).tolist(), keepdims)


def _bias_add(value: Any, bias: Any, data_format: str = "NHWC") -> Any:
    if data_format not in ("NHWC", "channels_last"):
        raise ModelError(f"bias_add of {data_format}, channels first, is not read")
    return ops.add(value, bias)


def _cast(x: Any, dtype: str) -> Any:
    if not dtype.removeprefix("b").startswith("float"):
        raise ModelError(f"a cast to {dtype} is not read")
    return x


def _slice(x: Any, slice_spec: Any) -> Any:
    def one(item: Any) -> Any:
        match item:
            case {"class_name": "__ellipsis__"}:
                return Ellipsis
            case {"start": start, "stop": stop, "step": step}:
                return slice(start, stop, step)
            case _:
                return item

    return x[tuple(map(one, slice_spec)) if isinstance(slice_spec, list) else one(slice_spec)]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "__operators__.getitem": _slice,
    "add": _add,
    "bias_add": _bias_add,
    "cast": _cast,
    "divide": _divide,
    "multiply": _multiply,
    "reduce_mean": _mean,
    "relu": ops.relu,
    "relu6": ops.relu6,
    "sigmoid": ops.sigmoid,
    "silu": ops.silu,
    "softmax": ops.softmax,
    "subtract": _subtract,
    "swish": ops.silu,
    "truediv": _divide,
    # of a TensorFlowOpLayer
    "AddV2": _add,
    "BiasAdd": _bias_add,
    "Mul": _multiply,
    "RealDiv": _divide,
    "Relu6": ops.relu6,
    "Sub": _subtract,
}
"""What `TFOpLambda` and its kin may call, by the last part of the name: arithmetic on tensors, no code."""


class Operation(keras.Layer):  # type: ignore[misc] # Keras has no type information
    """One of TensorFlow's operations as a layer, so that it keeps its name; Keras numbers its own.

    Args:
        name: the layer's.
        function: one of `OPERATIONS`.
        constants: values by their place among the tensors.
        options: other arguments by name.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], constants: Mapping[int, Any], options: Mapping[str, Any]
    ) -> None:
        super().__init__(name=name)
        self.function = function
        self.constants = sorted((index, _array(value)) for index, value in constants.items())
        self.options = {key: _array(value) for key, value in options.items()}

    def call(self, *tensors: Any, **by_name: Any) -> Any:
        """Return the function of tensors, with the constants at their places among them."""
        values = list(tensors)
        for index, value in self.constants:
            values.insert(index, value)
        return self.function(*values, **by_name, **self.options)


def operation(name: str, config: Mapping[str, Any], options: Mapping[str, Any]) -> Operation:
    """Return the layer for a `TFOpLambda`, a `SlicingOpLambda` or, of before TensorFlow 2.4, a `TensorFlowOpLayer`.

    Raises:
        ModelError: it is none of `OPERATIONS`.
    """
    if "node_def" in config:
        node, constants = config["node_def"], config["constants"]
        kind = (json.loads(node) if isinstance(node, str) else node)["op"]
    else:
        kind, constants = config["function"], {}
    function = OPERATIONS.get(kind) or OPERATIONS.get(kind.rpartition(".")[2])
    if function is None:
        raise ModelError(f"layer {config['name']}: TensorFlow's operation {kind} is not read")
    return Operation(name, function, {int(index): value for index, value in constants.items()}, options)


def _array(value: Any) -> Any:
    """Return a list of numbers as an array; other values as they are."""
    if isinstance(value, list) and all(isinstance(each, int | float) for each in value):
        return np.array(value, np.float32)
    return value
