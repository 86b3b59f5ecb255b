from __future__ import annotations

import keras
import numpy as np
import pytest

from cifar_edge.data import Cifar10
from cifar_edge.training.keras_file import predict
from cifar_edge.training.networks import NETWORKS

PARAMETERS = {
    "ann": 3_676_682,
    "cnn": 504_394,
    "resnet8": 78_714,
    "quick": 659_818,
    "nano": 292_042,
    "small": 1_162_770,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_takes_raw_pixels_and_gives_probabilities(name: str, sample: Cifar10) -> None:
    keras.utils.set_random_seed(0)
    network = NETWORKS[name]()
    probabilities = predict(network, sample.test.images[:20])
    assert probabilities.shape == (20, 10)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert network.count_params() == PARAMETERS[name]
    # Unscaled pixels would drive an untrained softmax to certainty.
    assert probabilities.max() < 0.9
