from __future__ import annotations

import numpy as np
import pytest

from cifar_edge.training.head import balanced, fit_head, log_loss


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_last_layer_tells_classes_apart(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 200)
    features = (np.eye(classes, 8)[labels] + rng.normal(0, 0.2, (200, 8))).astype(np.float32)
    head = fit_head(features, labels, classes, 1e-3)
    answers = head.probabilities(features)
    assert answers.shape == (200, classes)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    assert (answers.argmax(axis=1) == labels).mean() > 0.98


@pytest.mark.parametrize("present", [[1], [0, 2], [2, 1]])
def test_a_class_that_no_photo_shows_is_never_answered(present: list[int]) -> None:
    labels = np.resize(present, 20)
    features = np.eye(3, dtype=np.float32)[labels]
    answers = fit_head(features, labels, 3, 1e-3).probabilities(features)
    assert (answers.argmax(axis=1) == labels).all()
    assert answers[:, [c for c in range(3) if c not in present]].max() < 1e-6


def test_each_class_counts_the_same() -> None:
    labels = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(balanced(labels), [2 / 3, 2 / 3, 2 / 3, 2])
    answers = np.array([[0.5, 0.5]] * 3 + [[0.75, 0.25]], np.float32)
    assert log_loss(answers, labels) == pytest.approx((np.log(2) + np.log(4)) / 2)
