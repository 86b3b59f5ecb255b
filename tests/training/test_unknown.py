from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.training.unknown import choose_threshold, confidences, unknown_figures


@pytest.mark.parametrize(
    ("known", "unknown", "low", "high"),
    [
        ([0.9, 0.95, 0.99], [0.1, 0.3, 0.5], 0.5, 0.9),  # apart: between them
        ([0.2, *[0.9] * 39], [0.3, 0.4, 0.5], 0.5, 0.9),  # one of forty may be lost
        ([0.2, 0.3, 0.4], [0.8, 0.9, 0.9], 0.0, 0.2),  # nothing to gain
        ([0.5, 0.9], [], 0.0, 0.5),  # nothing else to judge by
    ],
)
def test_the_threshold_catches_what_it_can_and_loses_little(
    known: list[float], unknown: list[float], low: float, high: float
) -> None:
    assert low <= choose_threshold(np.array(known, np.float32), np.array(unknown, np.float32)) <= high


def test_figures_of_a_threshold() -> None:
    answers = np.array([[0.8, 0.1, 0.1], [0.4, 0.3, 0.3], [0.1, 0.1, 0.8]], np.float32)
    np.testing.assert_allclose(confidences(answers, 2), [0.8, 0.4, 0.1])
    others = np.array([[0.1, 0.2, 0.7], [0.9, 0.05, 0.05]], np.float32)
    figures = unknown_figures(answers, np.array([0, 1, 2]), others, 0.5, 2)
    assert figures == {"lost": 0.5, "caught": pytest.approx(2 / 3)}
