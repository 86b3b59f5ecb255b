from __future__ import annotations

from itertools import pairwise

import numpy as np

from cifar_edge.evaluation import calibration_error, evaluate


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


def test_calibration_error_by_hand() -> None:
    # Bins of a fifth: (0.4, 0.6] says 0.55 and is right half of the time, (0.8, 1.0] says 0.95 and is right.
    confidences, correct = np.array([0.5, 0.6, 0.9, 1.0]), np.array([True, False, True, True])
    assert np.isclose(calibration_error(confidences, correct, bins=5), (2 * 0.05 + 2 * 0.05) / 4)
    assert evaluate(np.array([[0.25, 0.75]] * 4), np.array([1, 1, 1, 0])).ece == 0
    assert np.isclose(evaluate(np.array([[0.0, 1.0]] * 4), np.array([1, 1, 0, 0])).ece, 0.5)


def test_calibrated_predictions_have_no_calibration_error() -> None:
    rng = np.random.default_rng(0)
    confidences = rng.uniform(0.1, 1, 100_000)
    assert calibration_error(confidences, rng.uniform(size=100_000) < confidences) < 0.01


def test_there_are_fifteen_bins() -> None:
    confidences = np.linspace(0.01, 0.99, 200)
    correct = np.random.default_rng(0).uniform(size=200) < confidences
    edges = np.linspace(0, 1, 16)
    bins = [(confidences > low) & (confidences <= high) for low, high in pairwise(edges)]
    gaps = [abs((confidences[chosen] - correct[chosen]).sum()) for chosen in bins]
    assert np.isclose(calibration_error(confidences, correct), sum(gaps) / 200)
    assert not np.isclose(calibration_error(confidences, correct, bins=14), sum(gaps) / 200)
