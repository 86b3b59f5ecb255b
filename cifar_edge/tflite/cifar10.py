"""Models of CIFAR-10, with its classes in its order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import CLASSES
from cifar_edge.errors import ModelError
from cifar_edge.tflite.model import EdgeModel


def load_cifar10_model(path: str | Path) -> EdgeModel:
    """Load a `.tflite` model of CIFAR-10.

    Args:
        path: as for `EdgeModel`.

    Raises:
        UsageError: no such model.
        ModelError: it is a model of something else.
    """
    model = EdgeModel(path)
    if not tells_cifar10(model):
        raise ModelError(
            f"{path}: takes {model.width}x{model.height} pixels and has {len(model.labels)} classes; "
            "this needs a model of CIFAR-10 (32x32 pixels, its ten classes)"
        )
    return model


def predict_cifar10(model: EdgeModel, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Classify images with a model that `tells_cifar10`.

    Returns:
        Probabilities, float32, (N, 10), in the order of `CLASSES`, also where the model has these
        labels in another one.
    """
    probabilities = model.predict(images)
    if sorted(model.labels) == sorted(CLASSES):
        probabilities = probabilities[:, [model.labels.index(name) for name in CLASSES]]
    return probabilities


def tells_cifar10(model: EdgeModel) -> bool:
    """Tell whether a model takes images of CIFAR-10's size and has its classes, or ten unnamed ones."""
    unnamed = model.card is None and model.labels == tuple(map(str, range(len(CLASSES))))
    return (model.height, model.width) == (32, 32) and (unnamed or sorted(model.labels) == sorted(CLASSES))
