"""Temperature scaling: confidences that are right as often as they say.

Source: Guo et al., *On Calibration of Modern Neural Networks*, 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

TEMPERATURES = np.geomspace(0.25, 4, 401)


def best_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.integer], smoothing: float = 0.0) -> float:
    """Return the number that logits are best divided by: then the true labels are likeliest.

    Args:
        probabilities: float32, (N, classes), of images that the network has not learned from.
        labels: of the images, (N,).
        smoothing: share of each label that is spread over all classes. Where all of a few images are classified
            rightly, no temperature would be low enough without.
    """
    logits = np.log(np.maximum(probabilities, 1e-7))
    losses = [_loss(logits / temperature, labels, smoothing) for temperature in TEMPERATURES]
    return float(TEMPERATURES[np.argmin(losses)])


def _loss(logits: NDArray[np.float32], labels: NDArray[np.integer], smoothing: float) -> float:
    largest = logits.max(axis=1)
    sums = np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    of_label = (1 - smoothing) * logits[np.arange(len(labels)), labels] + smoothing * logits.mean(axis=1)
    return float((largest + sums - of_label).mean())


def divide_logits(model: Any, temperature: float) -> None:
    """Fold a temperature into the weights of a Keras model's last layer, a dense one with softmax."""
    layer = model.layers[-1]
    layer.set_weights([weight / temperature for weight in layer.get_weights()])
