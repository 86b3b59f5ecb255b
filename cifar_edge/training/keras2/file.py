"""An `.h5` file of Keras 2: its architecture and its weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
from keras import layers
from numpy.typing import NDArray

from cifar_edge.errors import ModelError
from cifar_edge.training.keras2.architecture import legal, model


def is_keras_2(path: Path) -> bool:
    """Tell whether a file is an `.h5` file of Keras 2, whatever its suffix."""
    if not h5py.is_hdf5(path):
        return False
    with h5py.File(path) as file:
        return not _text(file.attrs.get("keras_version", "")).startswith("3")


def load_keras_2(path: Path) -> keras.Model:
    """Load a network from an `.h5` file of Keras 2, without running code that it may carry.

    Raises:
        ModelError: a layer cannot be read; the message names it, not the file.
        Exception: anything, for a damaged file.
    """
    with h5py.File(path) as file:
        if "model_config" not in file.attrs:
            raise ModelError("it holds weights only; save the whole model, with model.save(...)")
        network = model(json.loads(_text(file.attrs["model_config"])), "model")
        weights = file["model_weights"]
        of_layer = {layer.name: layer for layer in network.layers}
        for name in _names(weights, "layer_names"):
            arrays = {each: weights[name][each][()] for each in _names(weights[name], "weight_names")}
            if (layer := of_layer.pop(legal(name), None)) and layer.weights:
                _set_weights(layer, arrays)
        for name, layer in of_layer.items():
            if layer.weights:
                raise ModelError(f"layer {name}: its weights are not in the file")
    return network


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return names from an attribute, which is cut into pieces where it is long."""
    if attribute in group.attrs:
        return [*map(_text, group.attrs[attribute])]
    pieces: list[str] = []
    while (piece := f"{attribute}{len(pieces)}") in group.attrs:
        pieces.append(piece)
    return [_text(name) for piece in pieces for name in group.attrs[piece]]


def _leaves(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Yield the layers of a model that are no models, or the layer itself."""
    if isinstance(layer, keras.Model):
        for each in layer.layers:
            yield from _leaves(each)
    else:
        yield layer


def _set_weights(layer: keras.Layer, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give a layer, or all layers of a nested model, their weights.

    A nested model's are found by the names of its layers; where those are not clear, in the order that Keras 2 has
    written them: first what can be trained, then the rest.
    """
    leaves = [leaf for leaf in _leaves(layer) if leaf.weights]
    groups = [[*arrays.values()]] if len(leaves) == 1 else _by_name([leaf.name for leaf in leaves], arrays)
    if [_shapes(leaf.weights) for leaf in leaves] == [*map(_shapes, groups)]:
        for leaf, values in zip(leaves, groups, strict=True):
            leaf.set_weights(values)
    else:
        variables = layer.trainable_weights + layer.non_trainable_weights
        if _shapes(variables) != _shapes(arrays.values()):
            raise ModelError(f"layer {layer.name}: its weights in the file do not fit its architecture there")
        for variable, value in zip(variables, arrays.values(), strict=True):
            variable.assign(value)
    for leaf in leaves:
        if isinstance(leaf, layers.Normalization):
            leaf.finalize_state()


def _by_name(names: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> list[list[NDArray[Any]]]:
    """Return the arrays of each of these layers, from names as "block/conv/kernel:0"; none if names are there twice."""
    groups: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    if len(groups) < len(names):
        return []
    for weight, array in arrays.items():
        parts = weight.split("/")[:-1]
        for start in range(len(parts)):
            if (name := "_".join(parts[start:])) in groups:
                groups[name].append(array)
                break
    return list(groups.values())


def _shapes(arrays: Iterable[Any]) -> list[tuple[int, ...]]:
    return [tuple(array.shape) for array in arrays]
