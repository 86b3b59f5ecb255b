from __future__ import annotations

import numpy as np

from cifar_edge.metrics import evaluate


def test_figures_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.5, 0.3], [0.6, 0.4, 0.0], [0.0, 1.0, 0.0]], np.float32)
    result = evaluate(probabilities, np.array([0, 1, 1, 1], np.uint8))
    assert result.accuracy == 0.75
    assert result.confusion.tolist() == [[1, 0, 0], [1, 2, 0], [0, 0, 0]]
    assert result.per_class[0] == 1
    assert np.isclose(result.per_class[1], 2 / 3)
    assert np.isnan(result.per_class[2])
    assert np.isclose(result.loss, -np.log([0.9, 0.5, 0.4, 1.0]).mean())


def test_certainty_of_the_wrong_class_has_a_finite_loss() -> None:
    assert np.isclose(evaluate(np.array([[1.0, 0.0]]), np.array([1])).loss, -np.log(1e-7))
