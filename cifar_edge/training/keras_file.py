"""A saved Keras network -> class probabilities."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cifar_edge.data import CLASSES
from cifar_edge.errors import ModelError, UsageError, first_line
from cifar_edge.training.keras2.file import is_keras_2, load_keras_2
from cifar_edge.training.networks import INPUT_SHAPE

AT_ONCE = 500 * 32 * 32  # pixels; a network of large photos would fill the memory
LFS = b"version https://git-lfs"
SHAPES = ((None, *INPUT_SHAPE), (None, len(CLASSES)))


def load_network(path: Path) -> Any:
    """Load a network from a `.keras` or `.h5` file, without running code that it may carry.

    Raises:
        UsageError: no such file.
        ModelError: it cannot be loaded, or has no input and output.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such model file; `cifar-edge train` makes one")
    if path.suffix == ".tflite":
        raise UsageError(f"{path}: is exported already; give a run, a .keras or an .h5 file")
    with path.open("rb") as file:
        if file.read(len(LFS)) == LFS:
            raise ModelError(f"{path}: stands for a file in Git LFS; get the model itself with `git lfs pull`")
    try:
        model = load_keras_2(path) if is_keras_2(path) else keras.models.load_model(path, compile=False, safe_mode=True)
        _ = model.input_shape, model.output_shape
    except Exception as error:  # Keras raises anything for a damaged file
        raise ModelError(
            f"{path}: not a Keras model that can be loaded here ({_cause(error)}); "
            "save it with Keras' own layers only, or copy it again"
        ) from error
    return model


def _cause(error: Exception) -> str:
    """Return the reason from an error of Keras', which puts the architecture before it and advice behind."""
    reason, *_ = re.split(r"\.\s", str(error).rpartition("Exception encountered: ")[2])
    return first_line(Exception(reason))


def load_model(path: Path) -> Any:
    """Load a CIFAR-10 classifier from a `.keras` file; as `load_network` otherwise.

    Raises:
        ModelError: it is no classifier of 32x32 images into ten classes.
    """
    model = load_network(path)
    shapes = (model.input_shape, model.output_shape)
    if shapes != SHAPES:
        raise ModelError(
            f"{path}: maps {shapes[0]} to {shapes[1]}, but a classifier of CIFAR-10 maps {SHAPES[0]} to {SHAPES[1]}"
        )
    return model


def load_checkpoint(path: Path) -> Any:
    """Load a model with its optimizer's state; raise `ModelError` if the file is damaged."""
    try:
        return keras.models.load_model(path)
    except Exception as error:  # as above
        raise ModelError(f"{path}: this checkpoint cannot be loaded; start a new run") from error


def predict(model: Any, images: NDArray[np.uint8 | np.float32]) -> NDArray[np.float32]:
    """Return the probabilities, float32 (N, classes), that a Keras model gives images (N, H, W, 3)."""
    batch_size = max(1, AT_ONCE // math.prod(images.shape[1:3]))
    return np.asarray(model.predict(images, batch_size=batch_size, verbose=0), np.float32)
