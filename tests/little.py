"""A network that is built, trained and converted in a fraction of a real one's time."""

from __future__ import annotations

import keras


def little_network(name: str | None = None) -> keras.Model:
    """A network of a few thousand weights that has all that a training keeps: a convolution, dropout, a dense layer."""
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255, dtype="float32")(pixels)
    x = keras.layers.Conv2D(8, 4, strides=4, activation="relu")(x)
    x = keras.layers.Dropout(0.2)(keras.layers.Flatten()(x))
    return keras.Model(pixels, keras.layers.Dense(10, activation="softmax", dtype="float32")(x), name=name)
