"""The networks: each takes raw 0-255 pixels and returns class probabilities.

Scaling is inside the graph, so a trained model cannot get wrongly scaled pixels. Only Keras 3 operations are used, so
that every backend works.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras import layers

INPUT_SHAPE = (32, 32, 3)

Layer = tuple[int, int]
"""Filters and strides of a convolution."""


def ann(classes: int = 10) -> keras.Model:
    """Dense baseline: two hidden ReLU layers, blind to where a pixel is.

    Args:
        classes: width of the softmax output.

    Returns:
        float32 pixels 0-255 (N, 32, 32, 3) -> float32 probabilities (N, classes).
    """
    pixels = keras.Input(INPUT_SHAPE, name="pixels")
    x = _scaled(pixels)
    x = layers.Flatten()(x)
    for units in (1024, 512):
        x = layers.Dense(units, activation="relu")(x)
    return _classifier("ann", pixels, x, classes)


def cnn(classes: int = 10) -> keras.Model:
    """Classic CNN: four convolutions, max pooling three times, flatten, dense; as `ann` otherwise.

    Dropout (Srivastava et al., 2014) stands before the dense layers, which hold most parameters.
    """
    pixels = keras.Input(INPUT_SHAPE, name="pixels")
    x = _scaled(pixels)
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
    return residual("resnet8", (16, 1), ((16, 1), (32, 2), (64, 2)), classes)


def quick(classes: int = 10) -> keras.Model:
    """Plain network, the best after ten minutes on two cores: 660 K parameters, 22 M MACs; as `ann` otherwise."""
    return plain("quick", (32, 2), ((64, 1), (96, 2), (96, 1), (192, 2), (192, 1)), classes)


def nano(classes: int = 10) -> keras.Model:
    """Plain network for int8: 292 K parameters, 14 M MACs, faster than `resnet8`; as `ann` otherwise.

    The first convolution halves the image, because more filters help more than full resolution. There are no
    residual sums: they take time, and so shallow a network learns without them.
    """
    return plain("nano", (32, 2), ((32, 1), (32, 1), (64, 2), (64, 1), (64, 1), (112, 2), (112, 1)), classes)


def small(classes: int = 10) -> keras.Model:
    """Residual network for int8: 1.2 M parameters, 75 M MACs, five times as slow as `nano`; as `ann` otherwise."""
    return residual("small", (24, 1), ((64, 2), (64, 1), (128, 2), (128, 1), (176, 2)), classes)


def plain(
    name: str, stem: Layer, convolutions: Iterable[Layer], classes: int = 10, size: int = INPUT_SHAPE[0]
) -> keras.Model:
    """Return convolutions of 3x3, each with ReLU, and the mean over the image; arguments as for `residual`.

    `size` is height and width of the images, in pixels.
    """
    pixels = keras.Input((size, size, 3), name="pixels")
    x = _scaled(pixels)
    for filters, strides in (stem, *convolutions):
        x = layers.ReLU()(_convolution(x, filters, 3, strides))
    return _classifier(name, pixels, layers.GlobalAveragePooling2D()(x), classes)


def residual(name: str, stem: Layer, blocks: Iterable[Layer], classes: int = 10) -> keras.Model:
    """Return a residual network (He et al., 2016): a convolution, blocks of two, the mean over the image; all 3x3.

    Args:
        name: what the network is called.
        stem: filters and strides of the first convolution.
        blocks: filters of each block, and the strides of its first convolution.
        classes: as for `ann`, like what is returned.
    """
    pixels = keras.Input(INPUT_SHAPE, name="pixels")
    x = _scaled(pixels)
    x = layers.ReLU()(_convolution(x, stem[0], 3, stem[1]))
    for filters, strides in blocks:
        x = _residual_block(x, filters, strides)
    x = layers.GlobalAveragePooling2D()(x)
    return _classifier(name, pixels, x, classes)


def _scaled(pixels: Any) -> Any:
    """Return pixels 0-1; in float32 also in mixed precision, for the finished model has no other."""
    return layers.Rescaling(1 / 255, dtype="float32")(pixels)


def _residual_block(x: Any, filters: int, strides: int) -> Any:
    branch = layers.ReLU()(_convolution(x, filters, 3, strides))
    branch = _convolution(branch, filters, 3)
    same = strides == 1 and x.shape[-1] == filters
    shortcut = x if same else _convolution(x, filters, 1, strides)
    return layers.ReLU()(layers.Add()([shortcut, branch]))


def _convolution(x: Any, filters: int, size: int, strides: int = 1) -> Any:
    """Convolution and batch normalization; no bias, for the normalization has one."""
    x = layers.Conv2D(filters, size, strides, "same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization()(x)


def _classifier(name: str, pixels: Any, features: Any, classes: int) -> keras.Model:
    probabilities = layers.Dense(classes, activation="softmax", name="probabilities", dtype="float32")(features)
    return keras.Model(pixels, probabilities, name=name)


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    network.__name__: network for network in (ann, cnn, resnet8, quick, nano, small)
}
