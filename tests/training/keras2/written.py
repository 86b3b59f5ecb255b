"""Descriptions and files as Keras 2 writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from cifar_edge.training.keras_file import load_network

Config = dict[str, Any]
SHAPE = [None, 8, 8, 3]
POLICY = {"class_name": "Policy", "config": {"name": "mixed_float16"}}


def entry(kind: str, name: str, inbound: Any = None, **config: Any) -> Config:
    """Describe a layer as Keras 2 does."""
    described = {"class_name": kind, "config": {"name": name, "trainable": True, "dtype": "float32", **config}}
    return described if inbound is None else {**described, "name": name, "inbound_nodes": inbound}


def conv(name: str, *inbound: Any, kind: str = "Conv2D", **config: Any) -> Config:
    objects = {
        "bias_initializer": {"class_name": "Zeros", "config": {}},
        "bias_regularizer": {"class_name": "L2", "config": {"l2": 0.1}},
    }
    return entry(kind, name, *inbound, **{"kernel_size": [3, 3], "strides": [1, 1], **objects, **config})


def dense(name: str, *inbound: Any, **config: Any) -> Config:
    return entry("Dense", name, *inbound, **{"units": 3, "activation": "softmax", **config})


def start(name: str, *inbound: Any) -> Config:
    described = entry("InputLayer", name, *inbound, batch_input_shape=SHAPE, sparse=False, ragged=False)
    del described["config"]["trainable"]
    return described


def sequential(name: str, *entries: Config) -> Config:
    return {"class_name": "Sequential", "config": {"name": name, "layers": [*entries]}}


def functional(name: str, output: str, *entries: Config) -> Config:
    ends = {"input_layers": [[entries[0]["name"], 0, 0]], "output_layers": [[output, 0, 0]]}
    return {"class_name": "Functional", "config": {"name": name, "layers": [*entries], **ends}}


def after(*names: str, node: int = 0, **options: Any) -> list[Any]:
    return [[[name, node, 0, options] for name in names]]


def call(name: str, **options: Any) -> list[Any]:
    """An operation's node, which has a list less."""
    return [[name, 0, 0, {**options, "name": None}]]


def save(
    path: Path, config: Config, groups: Sequence[tuple[str, Sequence[keras.Layer]]], version: str = "2.4.0"
) -> Path:
    """Write an `.h5` file as Keras 2 does: a group for each layer or nested model, first what can be trained."""
    with h5py.File(path, "w") as file:
        file.attrs.update(keras_version=version, backend="tensorflow", model_config=json.dumps(config))
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [name.encode() for name, _ in groups]
        for name, of in groups:
            variables = [(layer.name, each) for layer in of for each in layer.weights]
            ordered = sorted(variables, key=lambda pair: not pair[1].trainable)
            names = [f"{layer}/{each.name}:0" for layer, each in ordered]
            group = weights.create_group(name)
            group.attrs["weight_names"] = [each.encode() for each in names]
            for one, (_, each) in zip(names, ordered, strict=True):
                group[one] = np.asarray(each)
    return path


def preprocessing(*entries: Config) -> Config:
    """A functional model that ends in a pooling of the last of these."""
    last = entries[-1]["name"]
    pooled = entry("GlobalAveragePooling2D", "pool", after(last))
    return functional("it", "pool", start("in", []), *entries, pooled)


def operation(name: str, function: str, inbound: Any, kind: str = "TFOpLambda") -> Config:
    return entry(kind, name, inbound, function=function)


def randomized(network: keras.Model) -> keras.Model:
    """Give a network other weights than a new one's."""
    generator = np.random.default_rng(0)
    network.set_weights([generator.uniform(0.1, 0.6, weight.shape) for weight in network.get_weights()])
    return network


def assert_same(path: Path, network: keras.Model) -> None:
    images = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 3)).astype(np.float32)
    assert np.allclose(load_network(path)(images), network(images), atol=1e-5)
