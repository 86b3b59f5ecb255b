"""The models that ship as Keras networks, so that others can be made from what they have learned."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cifar_edge.errors import ModelError
from cifar_edge.tflite.graph import unpack
from cifar_edge.tflite.names import find_model

RELU = 1  # the fused activation, of TFLite's schema


def shipped_features(name: str) -> keras.Model:
    """Return the network of a model that ships, up to its features: batch normalization is part of its convolutions.

    Args:
        name: "nano" or "small".

    Returns:
        float32 pixels 0-255 (N, 32, 32, 3) -> float32 features (N, width).
    """
    path = find_model(f"{name}-float32")
    model = unpack(path.read_bytes(), str(path))
    graph = model.subgraphs[0]
    codes = [code.builtinCode for code in model.operatorCodes]

    def constant(index: int) -> NDArray[np.float32]:
        tensor = graph.tensors[index]
        return np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32).reshape(tensor.shape)

    pixels = keras.Input(tuple(graph.tensors[graph.inputs[0]].shape[1:]), name="pixels")
    values: dict[int, Any] = {graph.inputs[0]: pixels}
    for number, operation in enumerate(graph.operators):
        options, inputs = operation.builtinOptions, operation.inputs
        match _OPERATIONS.get(codes[operation.opcodeIndex]):
            case "convolution":
                kernel, bias = constant(inputs[1]).transpose(1, 2, 3, 0), constant(inputs[2])
                convolution = layers.Conv2D(
                    len(bias), kernel.shape[:2], (options.strideH, options.strideW), "same", name=f"conv{number:02}"
                )
                x = convolution(values[inputs[0]])
                convolution.set_weights([kernel, bias])
            case "sum":
                x = layers.Add(name=f"sum{number:02}")([values[index] for index in inputs])
            case "mean":
                x = layers.GlobalAveragePooling2D(name="features")(values[inputs[0]])
                return keras.Model(pixels, x, name=name)
            case _:
                break
        if options.fusedActivationFunction == RELU:
            x = layers.ReLU(name=f"relu{number:02}")(x)
        values[operation.outputs[0]] = x
    raise ModelError(f"{path}: no network of convolutions, sums and a mean")


_OPERATIONS = {3: "convolution", 0: "sum", 40: "mean"}  # by TFLite's numbers
