from __future__ import annotations

import keras
import numpy as np

from cifar_edge.export.convert import convert
from cifar_edge.tflite.graph import operations, parameters


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
