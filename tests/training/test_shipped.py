from __future__ import annotations

import keras
import numpy as np
import pytest

from cifar_edge.data import Cifar10
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.tflite.names import find_model
from cifar_edge.training.shipped import shipped_features


@pytest.mark.parametrize("name", ["nano", "small"])
def test_features_are_those_of_the_model_that_ships(name: str, sample: Cifar10) -> None:
    from ai_edge_litert.interpreter import Interpreter

    network = shipped_features(name)
    images = sample.test.images[:4]
    features = np.asarray(network(images.astype(np.float32)))
    path = find_model(f"{name}-float32")
    interpreter = Interpreter(str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    width = features.shape[1]
    layer = keras.layers.Dense(10, activation="softmax")
    layer.build((None, width))
    details = interpreter.get_tensor_details()
    (kernel,) = (detail["index"] for detail in details if list(detail["shape"]) == [10, width])
    (bias,) = (detail["index"] for detail in details if list(detail["shape"]) == [10])
    layer.set_weights([interpreter.get_tensor(kernel).T, interpreter.get_tensor(bias)])
    np.testing.assert_allclose(np.asarray(layer(features)), EdgeModel(path).predict(images), atol=1e-5)
