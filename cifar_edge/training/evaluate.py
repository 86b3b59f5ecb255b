"""Evaluate a model in any kind of file: a run, a `.keras` or a `.tflite` file."""

from __future__ import annotations

from pathlib import Path

from cifar_edge.data import Split
from cifar_edge.evaluation import Evaluation, evaluate
from cifar_edge.tflite.cifar10 import load_cifar10_model, predict_cifar10


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
        from cifar_edge.training.keras_file import load_model, predict

        network = load_model(path / "model.keras" if path.is_dir() else path)
        return evaluate(predict(network, split.images), split.labels)
    return evaluate(predict_cifar10(load_cifar10_model(path), split.images), split.labels)
