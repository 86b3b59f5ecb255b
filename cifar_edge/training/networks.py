"""The networks: each takes raw 0-255 pixels and returns class probabilities.

Scaling stands inside the graph, so a trained model cannot be fed wrongly scaled pixels. All of it
is Keras 3 without a backend's own operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

INPUT_SHAPE = (32, 32, 3)


def ann(classes: int = 10) -> keras.Model:
    """Dense baseline: two hidden ReLU layers, blind to where a pixel is.

    Args:
        classes: width of the softmax output.

    Returns:
        float32 pixels 0-255 (N, 32, 32, 3) -> float32 probabilities (N, classes).
    """
    pixels = keras.Input(INPUT_SHAPE, name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.Flatten()(x)
    for units in (1024, 512):
        x = layers.Dense(units, activation="relu")(x)
    return _classifier("ann", pixels, x, classes)


def cnn(classes: int = 10) -> keras.Model:
    """Classic CNN: four convolutions, max pooling three times, flatten, dense; as `ann` otherwise.

    Dropout (Srivastava et al., 2014) stands before the dense layers, which hold most parameters.
    """
    pixels = keras.Input(INPUT_SHAPE, name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    for block in ((32,), (64,), (128, 128)):
        for filters in block:
            x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.4)(x)
    x = layers.Dense(128, activation="relu")(x)
    x = layers.Dropout(0.4)(x)
    return _classifier("cnn", pixels, x, classes)


def resnet8(classes: int = 10) -> keras.Model:
    """ResNet8 of the MLPerf Tiny benchmark (Banbury et al., 2021): 79 K parameters, 12.5 M MACs.

    Three residual blocks (He et al., 2016) of 16, 32 and 64 filters; as `ann` otherwise. Unlike
    there, shortcuts are normalized too and no convolution has a bias.
    """
    pixels = keras.Input(INPUT_SHAPE, name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.ReLU()(_convolution(x, 16, 3))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        x = _residual_block(x, filters, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return _classifier("resnet8", pixels, x, classes)


def nano(classes: int = 10) -> keras.Model:
    """Residual network that learns fast and runs fast: 310 K parameters, 12.3 M MACs.

    Three residual blocks of 32, 64 and 128 filters; as `ann` otherwise. The first convolution halves the
    image, because filters are worth more than pixels: int8 runs in the time of `resnet8`.
    """
    pixels = keras.Input(INPUT_SHAPE, name="pixels")
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.ReLU()(_convolution(x, 32, 3, strides=2))
    for filters, strides in ((32, 1), (64, 2), (128, 2)):
        x = _residual_block(x, filters, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return _classifier("nano", pixels, x, classes)


def _residual_block(x: Any, filters: int, strides: int) -> Any:
    branch = layers.ReLU()(_convolution(x, filters, 3, strides))
    branch = _convolution(branch, filters, 3)
    shortcut = x if strides == 1 else _convolution(x, filters, 1, strides)
    return layers.ReLU()(layers.Add()([shortcut, branch]))


def _convolution(x: Any, filters: int, size: int, strides: int = 1) -> Any:
    """Convolution and batch normalization; no bias, for the normalization has one."""
    x = layers.Conv2D(filters, size, strides, "same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization()(x)


def _classifier(name: str, pixels: Any, features: Any, classes: int) -> keras.Model:
    probabilities = layers.Dense(classes, activation="softmax", name="probabilities")(features)
    return keras.Model(pixels, probabilities, name=name)


NETWORKS: dict[str, Callable[[], keras.Model]] = {network.__name__: network for network in (ann, cnn, resnet8, nano)}
