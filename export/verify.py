"""Compare a converted model with its network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from cifar_edge.errors import ExportError
from cifar_edge.export.convert import as_inputs, calibrated_converter
from cifar_edge.system.silence import silenced

MOST_DIFFERENT = 1e-3
LEAST_AGREEMENT = 0.999
MOVED = 100.0  # dB; layers above it only move numbers
WORST = 3  # layers that a message names


@dataclass(frozen=True)
class Comparison:
    """Two models' probabilities for the same images.

    Attributes:
        images: how many.
        difference: the largest between two probabilities, 0-1.
        agreement: share of the images on which both choose the same class, 0-1.
    """

    images: int
    difference: float
    agreement: float


def compare(one: NDArray[np.float32], other: NDArray[np.float32]) -> Comparison:
    """Compare probabilities, (N, classes) each."""
    same = one.argmax(axis=1) == other.argmax(axis=1)
    return Comparison(len(one), float(np.abs(one - other).max()), float(same.mean()))


def check_float32(file: Path, comparison: Comparison) -> None:
    """Raise `ExportError` unless a float32 model does what Keras did, rounding apart."""
    # The other way round NaN would pass.
    if not (comparison.difference <= MOST_DIFFERENT and comparison.agreement >= LEAST_AGREEMENT):
        raise ExportError(
            f"{file}: float32 TFLite is not what Keras computes: probabilities differ by up to "
            f"{comparison.difference:.2g} and {comparison.agreement:.2%} of {comparison.images:,} classes agree; "
            "report it with the model"
        )


def signal_to_noise(model: keras.Model, calibration: NDArray[np.uint8], images: NDArray[np.uint8]) -> dict[str, float]:
    """Measure how much quantization to int8 disturbs each layer, by TensorFlow's quantization debugger.

    Args:
        model: pixels 0-255 -> probabilities.
        calibration: uint8, (N, H, W, 3), what gives the ranges.
        images: uint8, (N, H, W, 3), what to measure on.

    Returns:
        Signal to quantization noise, in dB, of each layer's output (the worst, if it has several), in the
        order they run; layers that only move numbers have none.
    """
    options = tf.lite.experimental.QuantizationDebugOptions(layer_direct_compare_metrics={"signal": _signal})
    with silenced():
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=calibrated_converter(model, "int8", calibration),
            debug_dataset=lambda: as_inputs(images),
            debug_options=options,
        )
        debugger.run()
    known = set(_names(model))
    decibels: dict[str, float] = {}
    for tensor, figures in debugger.layer_statistics.items():
        if figures["mean_squared_error"] > 0:
            ratio = max(figures["signal"], 1e-30) / figures["mean_squared_error"]
            layer = _layer_of(tensor, known)
            decibels[layer] = min(decibels.get(layer, np.inf), float(10 * np.log10(ratio)))
    return {layer: value for layer, value in decibels.items() if value < MOVED}


def worst_layers(decibels: dict[str, float]) -> str:
    """Name the layers that quantization disturbs most, the worst first."""
    worst = sorted(decibels.items(), key=lambda layer: layer[1])[:WORST]
    return ", ".join(f"{name} ({value:.0f} dB)" for name, value in worst)


def _signal(_: Any, integers: Any, scale: float, zero_point: int) -> float:
    # The float tensor that the debugger hands over as well is not to be used: by the time it is read,
    # its memory may hold a later one.
    return float((((integers.astype(np.float64) - zero_point) * scale) ** 2).mean())


def _names(model: keras.Model) -> Iterator[str]:
    """Yield the names of a model's layers, and of those inside of its layers."""
    for layer in model.layers:
        yield layer.name
        if hasattr(layer, "layers"):
            yield from _names(layer)


def _layer_of(tensor: str, known: Set[str]) -> str:
    """Find the layer in a tensor's name, as in "NumericVerify/cnn_1/re_lu_1/Relu;cnn_1/conv2d_3_1/convolution1:24".

    Fused layers stand there together, the last one did the work. TensorFlow appends a number to the name
    of each, because the model is called a second time. The graph's output has no layer's name.
    """
    for segment in reversed(re.split("[/;]", tensor)):
        for name in (re.sub(r"_\d+$", "", segment), segment):
            if name in known:
                return name
    return "output"
