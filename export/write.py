"""Write a trained model's `.tflite` files, each with its card and its accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cifar_edge.card import Card
from cifar_edge.data import CLASSES, Cifar10, Split, hold_out
from cifar_edge.export.convert import to_float32, to_int8
from cifar_edge.files import atomic
from cifar_edge.metrics import evaluate
from cifar_edge.model import EdgeModel
from cifar_edge.training.inference import load_model, predict

CALIBRATION_IMAGES_PER_CLASS = 50


@dataclass(frozen=True)
class Exported:
    """One written file.

    Attributes:
        path: the file.
        format: "float32" or "int8".
        accuracy: top-1 on the test split, 0-1, as the `.tflite` file runs here.
        keras_accuracy: that of the Keras model on the same images.
        agreement: share of these images on which both choose the same class, 0-1.
    """

    path: Path
    format: str
    accuracy: float
    keras_accuracy: float
    agreement: float


def export(keras_file: Path, data: Cifar10, *, quantize: bool = False) -> Iterator[Exported]:
    """Convert `keras_file` to `.tflite` files beside it, one after the other.

    Args:
        keras_file: as a training run leaves it.
        data: its training images calibrate int8, its test images give the accuracy.
        quantize: write an int8 model after the float32 one.

    Yields:
        Each file once it is complete; before that nothing has its name.

    Raises:
        UsageError: no such file.
        ModelError: no CIFAR-10 classifier.
        ExportError: TensorFlow cannot convert it.
    """
    model = load_model(keras_file)
    expected = predict(model, data.test.images)
    contents: dict[str, Callable[[], bytes]] = {"float32": lambda: to_float32(model)}
    if quantize:
        contents["int8"] = lambda: to_int8(model, calibration_images(data.train))
    for name, convert in contents.items():
        path = keras_file.with_name(f"{model.name}-{name}.tflite")
        with atomic(path) as partial:
            partial.write_bytes(convert())
            predicted = EdgeModel(partial).predict(data.test.images)
            accuracy = evaluate(predicted, data.test.labels).accuracy
            Card(
                name=model.name,
                format=name,
                labels=CLASSES,
                accuracy=accuracy,
                test_sha256=data.test.digest,
                run=keras_file.resolve().parent.name,
                versions={
                    package: version(package) for package in ("cifar-edge", "keras", "tensorflow", "ai-edge-litert")
                },
            ).append_to(partial)
        yield Exported(
            path,
            name,
            accuracy,
            keras_accuracy=evaluate(expected, data.test.labels).accuracy,
            agreement=float((predicted.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        )


def calibration_images(train: Split) -> NDArray[np.uint8]:
    """Choose images for calibration: as many of each class, none of them held out."""
    learned, _ = hold_out(train)
    chosen = [np.flatnonzero(learned.labels == label)[:CALIBRATION_IMAGES_PER_CLASS] for label in range(len(CLASSES))]
    return learned.images[np.concatenate(chosen)]
