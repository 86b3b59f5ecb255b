"""The last layer of a network for your own classes: logistic regression on features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DECAYS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Weight decays to choose from; each is a share of the mean loss."""

STEPS = 200  # of the solver, at most

NEVER = -30.0  # logit of a class that no photo shows


class Head(NamedTuple):
    """Kernel, float32 (features, C), and bias, float32 (C,)."""

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return probabilities, (N, C), for features, (N, features)."""
        logits = features @ self.kernel + self.bias
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def fit_head(features: NDArray[np.float32], labels: NDArray[np.int64], classes: int, decay: float) -> Head:
    """Fit a multinomial logistic regression in which each class counts the same.

    Args:
        features: float32, (N, features).
        labels: int64, (N,), below `classes`.
        classes: how many there are.
        decay: one of `DECAYS`.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    kernel, bias = np.zeros((features.shape[1], classes), np.float32), np.full(classes, NEVER, np.float32)
    present = np.unique(labels)
    if len(present) == 1:
        bias[present] = 0
        return Head(kernel, bias)
    regression = LogisticRegression(C=1 / (decay * len(labels)), max_iter=STEPS)
    regression.fit(features, labels, sample_weight=balanced(labels))
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(present) == 2:  # one logit, of the second class
        coefficients, intercepts = np.outer([-0.5, 0.5], coefficients), np.outer([-0.5, 0.5], intercepts)[:, 0]
    kernel[:, present], bias[present] = coefficients.T, intercepts
    return Head(kernel, bias)


def balanced(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return a weight for each label, (N,), so that each class counts the same; 1 in the mean."""
    counts = np.bincount(labels)
    return np.asarray(len(labels) / np.count_nonzero(counts) / counts[labels], np.float32)


def log_loss(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the mean cross-entropy, in nats; each class counts the same."""
    losses = -np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1))
    return float(np.average(losses, weights=balanced(labels)))
