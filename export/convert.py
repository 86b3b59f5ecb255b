"""Convert a Keras image classifier to `.tflite`, in any of five formats."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from tempfile import gettempdir
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cifar_edge.errors import ExportError, first_line
from cifar_edge.system.silence import silenced
from cifar_edge.tflite.graph import operations


def _float32(converter: Any) -> None:
    pass


def _float16(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def _dynamic(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def _int8(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8


def _int16x8(converter: Any) -> None:
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int16


FORMATS: dict[str, Callable[[Any], None]] = {
    "float32": _float32,
    "float16": _float16,
    "dynamic": _dynamic,
    "int8": _int8,
    "int16x8": _int16x8,
}
"""The settings of TensorFlow's converter for each format:

float32: as trained.
float16: weights of half the size; computes in float32.
dynamic: int8 weights, float activations that are quantized on the fly.
int8: integers only, uint8 pixels in and uint8 probabilities out, weights quantized per channel.
int16x8: integers only, int16 activations and int8 weights.
"""

CALIBRATED = ("int8", "int16x8")
"""The formats that hold integers only; their activations' ranges come from calibration images."""

INTEGER = re.compile(r"u?int\d+|bool")
CONTROL_FLOW = frozenset(("WHILE", "IF", "STABLEHLO_WHILE", "STABLEHLO_CASE"))


def convert(model: keras.Model, name: str, calibration: NDArray[np.uint8]) -> bytes:
    """Convert a model that takes raw pixels; its scaling becomes the input's quantization.

    Post-training quantization after Jacob et al., *Quantization and Training of Neural Networks for
    Efficient Integer-Arithmetic-Only Inference*, 2018.

    Args:
        model: pixels 0-255, (N, H, W, 3) -> scores (N, classes).
        name: one of `FORMATS`.
        calibration: uint8, (N, H, W, 3), images as the model will meet them; for `CALIBRATED` only.

    Returns:
        The `.tflite` file's content; the same for the same model, images and versions.

    Raises:
        ExportError: an operation has no integer form, or the conversion failed.
    """
    converter = calibrated_converter(model, name, calibration)
    try:
        with silenced():
            content: bytes = converter.convert()
    except Exception as error:  # the converter passes on whatever its C++ part raised
        full = "" if _room_for_temporary_files() else f" (the folder for temporary files, {gettempdir()}, is full)"
        raise ExportError(f"{model.name}: TensorFlow cannot convert it to {name}: {first_line(error)}{full}") from error
    if name in CALIBRATED and (others := other_than_integers(content)):
        raise ExportError(
            f"{model.name}: {name} is not all integers: float remains in {', '.join(others)}; "
            "export it as float32, float16 or dynamic"
        )
    return content


def other_than_integers(content: bytes) -> list[str]:
    """Walk the graph; name the operations that read or write other than integers."""
    return [
        f"{operation.name} ({operation.outputs[0].name})"
        for operation in operations(content)
        if not all(INTEGER.fullmatch(tensor.type) for tensor in (*operation.inputs, *operation.outputs))
    ]


def control_flow(content: bytes) -> list[str]:
    """Return the kinds of loops and branches in a graph; TensorFlow crashes when it calibrates those."""
    return sorted(CONTROL_FLOW.intersection(operation.name for operation in operations(content)))


def calibrated_converter(model: keras.Model, name: str, calibration: NDArray[np.uint8]) -> Any:
    """Return a converter of `model` for one image at a time, set to a format; arguments as in `convert`."""
    # Batch one makes flattening a constant reshape and not five operations on shapes; names of its
    # own keep Keras from numbering them, which would make every file different.
    pixels = keras.Input(batch_shape=(1, *model.input_shape[1:]), name="raw_pixels")
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(pixels, model(pixels), name="classifier"))
    FORMATS[name](converter)
    if name in CALIBRATED:
        # A black and a white pixel make the input's range 0-255, so that a photo's bytes are the
        # quantized input and none is clipped, however dark the calibration images are.
        images = calibration.copy()
        images[0, 0, :2] = [[0], [255]]
        converter.representative_dataset = lambda: as_inputs(images)
    return converter


def _room_for_temporary_files() -> bool:
    return shutil.disk_usage(gettempdir()).free > 100e6


def as_inputs(images: NDArray[np.uint8]) -> Iterator[list[NDArray[np.float32]]]:
    """Yield images one by one as the converter's tools want them."""
    for image in images:
        yield [image[None].astype(np.float32)]
