from __future__ import annotations

import keras
import numpy as np

from cifar_edge.export.convert import convert
from cifar_edge.graph import operations, parameters


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
