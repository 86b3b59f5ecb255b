"""Convert a Keras classifier to a float32 or a fully integer `.tflite` model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cifar_edge.errors import ExportError
from cifar_edge.native_output import silenced

INTEGERS = (np.int8, np.uint8, np.int16, np.int32, np.int64, np.bool_)


def to_float32(model: keras.Model) -> bytes:
    """Convert to float32: takes pixels 0-255 (1, H, W, 3), gives probabilities (1, classes)."""
    return _convert(_converter(model))


def to_int8(model: keras.Model, calibration: NDArray[np.uint8]) -> bytes:
    """Convert to integers only: uint8 pixels in, uint8 probabilities out, int8 weights per channel.

    Post-training quantization after Jacob et al., *Quantization and Training of Neural Networks for
    Efficient Integer-Arithmetic-Only Inference*, 2018.

    Args:
        model: takes raw pixels; its scaling becomes the input's quantization.
        calibration: training images, uint8, (N, H, W, 3); they give the activations' ranges.

    Returns:
        The `.tflite` file's content.

    Raises:
        ExportError: an operation has no integer form, or the conversion failed.
    """

    def images() -> Iterator[list[NDArray[np.float32]]]:
        for image in calibration:
            yield [image[None].astype(np.float32)]

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = images
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.uint8
    content = _convert(converter)
    floats = float_tensors(content)
    if floats:
        raise ExportError(f"{model.name}: cannot be int8 throughout; float remains at {', '.join(floats)}")
    return content


def float_tensors(content: bytes) -> list[str]:
    """Name the tensors of a `.tflite` model that are not integers."""
    with silenced():
        details = tf.lite.Interpreter(model_content=content).get_tensor_details()
    return [tensor["name"] for tensor in details if tensor["dtype"] not in INTEGERS]


def _converter(model: keras.Model) -> Any:
    # With the batch fixed at one, flattening is a constant reshape and not five operations on shapes.
    image = keras.Input(batch_shape=(1, *model.input_shape[1:]))
    return tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, model(image)))


def _convert(converter: Any) -> bytes:
    try:
        with silenced():
            content: bytes = converter.convert()
    except Exception as error:  # the converter passes on whatever its C++ part raised
        raise ExportError(f"TensorFlow cannot convert this model: {_first_line(error)}") from error
    return content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
