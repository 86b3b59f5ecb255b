"""Evaluate whatever holds a model: a run, a `.keras` or a `.tflite` file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import CLASSES, Split
from cifar_edge.errors import ModelError
from cifar_edge.metrics import Evaluation, evaluate
from cifar_edge.model import EdgeModel


def evaluate_file(path: Path, split: Split) -> Evaluation:
    """Classify the images of `split` with the model in `path` and compare.

    Args:
        path: the folder of a run, a `.keras` file (both need the extra `train`) or a `.tflite` file.
        split: CIFAR-10 images.

    Raises:
        UsageError: no such file.
        ModelError: it is no classifier of 32x32 images into CIFAR-10's classes.
    """
    if path.is_dir() or path.suffix == ".keras":
        from cifar_edge.training.inference import load_model, predict

        network = load_model(path / "model.keras" if path.is_dir() else path)
        return evaluate(predict(network, split.images), split.labels)
    return evaluate(predict_cifar10(load_cifar10_model(path), split.images), split.labels)


def load_cifar10_model(path: str | Path) -> EdgeModel:
    """Load a `.tflite` file that is a model of CIFAR-10.

    Args:
        path: as for `EdgeModel`.

    Raises:
        UsageError: no such model.
        ModelError: it is one of something else.
    """
    model = EdgeModel(path)
    if not tells_cifar10(model):
        raise ModelError(
            f"{path}: takes {model.width}x{model.height} pixels and tells {len(model.labels)} classes; "
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
    """Say whether a model takes images of CIFAR-10's size and tells its classes, or as many that nobody named."""
    unnamed = model.card is None and model.labels == tuple(map(str, range(len(CLASSES))))
    return (model.height, model.width) == (32, 32) and (unnamed or sorted(model.labels) == sorted(CLASSES))
