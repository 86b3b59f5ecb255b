"""Backbones for your own classes: pretrained networks, each with its image size and its fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
from keras import layers

from cifar_edge.errors import ModelError, UsageError, first_line
from cifar_edge.training.keras_file import load_network
from cifar_edge.training.lite0 import lite0, load_imagenet
from cifar_edge.training.networks import plain
from cifar_edge.training.recipe import PhotoRecipe
from cifar_edge.training.run import Run
from cifar_edge.training.shipped import shipped_features

FEATURES, PROBABILITIES = "features", "probabilities"
"""The layers that every network made here has: what is kept, and the last one."""


def network_for(recipe: PhotoRecipe, classes: int) -> keras.Model:
    """Return a recipe's network: float32 pixels 0-255 (N, size, size, 3) -> float32 probabilities (N, classes).

    Its last layer has random weights. Batch normalization is frozen in what is pretrained: statistics of few photos
    harm more than they help.

    Raises:
        ModelError: the pretrained weights are not there, or are altered.
        UsageError: the run to begin with has another image size.
    """
    keras.utils.set_random_seed(recipe.seed)
    network = _from_run(recipe, classes) if recipe.start else BUILDERS[recipe.backbone](recipe, classes)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = recipe.backbone == "none"
    return network


def features_of(network: keras.Model) -> keras.Model:
    """Return the network without its last layer: pixels -> float32 features (N, width)."""
    return keras.Model(network.input, network.get_layer(FEATURES).output)


def _lite0(recipe: PhotoRecipe, classes: int) -> keras.Model:
    network = lite0(recipe.image_size, classes)
    load_imagenet(network)
    return network


def _mobilenet_v2(recipe: PhotoRecipe, classes: int) -> keras.Model:
    size = recipe.image_size
    pixels = keras.Input((size, size, 3), name="pixels")
    scaled = layers.Rescaling(1 / 127.5, offset=-1, name="scaled")(pixels)
    try:
        base = keras.applications.MobileNetV2(
            alpha=recipe.alpha, include_top=False, weights=recipe.weights or "imagenet", input_tensor=scaled
        )
    except Exception as error:  # Keras passes on whatever its download raises
        where = recipe.weights or "mobilenet_v2"
        raise ModelError(
            f"{where}: ImageNet's weights cannot be had ({first_line(error)}); fetch them where there is a network, "
            "and give the file with --weights"
        ) from error
    return _with_head(base, classes)


def _shipped(recipe: PhotoRecipe, classes: int) -> keras.Model:
    return _with_head(shipped_features(recipe.backbone), classes)


def _from_scratch(recipe: PhotoRecipe, classes: int) -> keras.Model:
    convolutions = ((64, 1), (96, 2), (96, 1), (192, 2), (192, 1), (256, 2))
    network = plain("scratch", (32, 2), convolutions, classes, recipe.image_size)
    return _with_head(keras.Model(network.input, network.layers[-2].output, name="scratch"), classes)


def _from_run(recipe: PhotoRecipe, classes: int) -> keras.Model:
    network = load_network(Run(Path(recipe.start)).model)
    if network.input_shape[1] != recipe.image_size:
        raise UsageError(
            f"{recipe.start}: has images of {network.input_shape[1]} pixels; leave --image-size out with --from"
        )
    return _with_head(features_of(network), classes)


def _with_head(base: keras.Model, classes: int) -> keras.Model:
    x = base.output
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D(name=FEATURES)(x)
    elif base.layers[-1].name != FEATURES:
        x = layers.Identity(name=FEATURES)(x)
    probabilities = layers.Dense(classes, activation="softmax", name=PROBABILITIES, dtype="float32")(x)
    return keras.Model(base.input, probabilities, name=re.sub(r"\W", "_", base.name))


BUILDERS: dict[str, Callable[[PhotoRecipe, int], Any]] = {
    "lite0": _lite0,
    "mobilenet_v2": _mobilenet_v2,
    "nano": _shipped,
    "small": _shipped,
    "none": _from_scratch,
}
