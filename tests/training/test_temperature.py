from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.data import Cifar10
from cifar_edge.training.keras_file import predict
from cifar_edge.training.networks import ann
from cifar_edge.training.temperature import best_temperature, divide_logits


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def test_a_network_that_is_too_sure_by_a_factor_gets_that_factor() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 1.5, (20_000, 10))
    labels = np.array([random.choice(10, p=row) for row in softmax(logits) / softmax(logits).sum(axis=1)[:, None]])
    assert best_temperature(softmax(logits), labels) == pytest.approx(1, abs=0.05)
    assert best_temperature(softmax(2 * logits), labels) == pytest.approx(2, rel=0.05)


def test_the_temperature_is_folded_into_the_weights(sample: Cifar10) -> None:
    model, images = ann(), sample.test.images[:50]
    before = predict(model, images)
    divide_logits(model, 0.5)
    assert np.allclose(predict(model, images), softmax(2 * np.log(before)), atol=1e-5)
