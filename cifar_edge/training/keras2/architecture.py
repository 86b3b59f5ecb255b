"""The architecture of Keras 2, from its JSON -> a Keras 3 network without weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import keras
from keras import layers, ops

from cifar_edge.errors import ModelError
from cifar_edge.training.keras2.operations import Operation, operation

Entry = Mapping[str, Any]
"""A layer's description in the file: `class_name`, `config`, in functional models `inbound_nodes`."""

MODELS = ("Sequential", "Functional", "Model")

CALLS_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")

CODE = ("Lambda", "FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper")

RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}

FOR_TRAINING = ("_initializer", "_regularizer", "_constraint")
"""Ends of the arguments that do not matter after training."""

WITHOUT_EFFECT: dict[str, tuple[Any, ...] | None] = {
    "adjustment": (None,),
    "autocast": None,
    "batch_input_shape": None,  # where it has an effect, it is read apart
    "build_input_shape": None,
    "dtype": None,
    "fused": None,
    "groups": (1,),
    "implementation": None,
    "input_dtype": None,
    "key_shape": None,
    "query_shape": None,
    "ragged": (False,),
    "softmax_robust_masking": None,
    "sparse": (False,),
    "time_major": (False,),
    "value_shape": None,
    "virtual_batch_size": (None,),
}
"""Arguments of Keras 2 that Keras 3 lacks, or that nothing depends on here, and for which values; None: for all."""

ONLY_TRAINING = ("Random", "Gaussian", "Dropout", "SpatialDropout", "AlphaDropout", "ActivityRegularization")
"""Beginnings of the names of layers that change nothing after training."""


def hard_sigmoid(x: Any) -> Any:
    """Keras 2's, which Keras 3 replaced by another function of the same name."""
    return ops.clip(0.2 * x + 0.5, 0, 1)


def legal(name: str) -> str:
    """Return a layer's name without slashes, which Keras 3 does not allow."""
    return name.replace("/", "_")


def model(entry: Entry, name: str) -> keras.Model:
    """Return a Sequential or functional model, without its weights."""
    config = entry["config"]
    if isinstance(config, list):  # a Sequential of before Keras 2.2.3
        config = {"name": name, "layers": config}
    if entry["class_name"] not in MODELS:
        raise ModelError(f"{name} is a {entry['class_name']}, which is code; save it as a functional model")
    build = _sequential if entry["class_name"] == "Sequential" else _functional
    return build(config, legal(config.get("name", name)))


def _sequential(config: Entry, name: str) -> keras.Model:
    first = config["layers"][0]["config"]
    shape = first.get("batch_input_shape") if isinstance(first, dict) else None
    stack = [_layer(entry) for entry in config["layers"] if entry["class_name"] != "InputLayer"]
    shape = shape or config.get("build_input_shape")
    if not shape:  # a part of another model, whose tensor will tell
        return keras.Sequential(stack, name=name)
    first_tensor = tensor = keras.Input(batch_shape=shape)
    for layer in stack:
        tensor = _called(layer, [tensor])
    return keras.Model(first_tensor, tensor, name=name)


@dataclass(frozen=True)
class Node:
    """One call of a layer. A tensor's place is the name of a layer, the number of its call, and of its output.

    Attributes:
        inputs: places of tensors.
        by_name: places of tensors that are given by name.
        options: other arguments.
    """

    inputs: list[list[Any]]
    by_name: dict[str, list[Any]]
    options: dict[str, Any]

    @classmethod
    def of(cls, node: Any) -> Self:
        """Read a node; an operation's has a single input without a list around it."""
        inputs = [node] if isinstance(node[0], str) else node
        options = dict(inputs[0][3]) if len(inputs[0]) > 3 else {}
        if inputs[0][0] == "_CONSTANT_VALUE":  # as in 2 - x
            inputs, options["x"] = [], inputs[0][2]
        by_name = {key: value for key, value in options.items() if _is_place(value)}
        left_out = {"training", "mask", "name", *by_name}
        options = {key: value for key, value in options.items() if value is not None and key not in left_out}
        return cls(inputs, by_name, options)


def _functional(config: Entry, name: str) -> keras.Model:
    """Return a functional model: each layer is called once its inputs are there."""
    tensors: dict[str, list[Any]] = {}
    calls: list[tuple[str, keras.Layer, Node]] = []
    for entry in config["layers"]:
        layer_name = entry["name"]
        if entry["class_name"] == "InputLayer":
            tensors[layer_name] = [keras.Input(batch_shape=_input_shape(entry), name=legal(layer_name))]
        elif entry["class_name"] in CALLS_OPERATIONS:
            for node in map(Node.of, entry["inbound_nodes"]):
                layer = operation(legal(layer_name), entry["config"], node.options)
                calls.append((layer_name, layer, replace(node, options={})))
        else:
            layer = _layer(entry)
            calls += [(layer_name, layer, Node.of(node)) for node in entry["inbound_nodes"]]
    inputs, outputs = _places(config["input_layers"]), _places(config["output_layers"])
    used = [place for _, _, node in calls for place in (*node.inputs, *node.by_name.values())]
    first = _first_calls([*inputs, *outputs, *used])

    def tensor(place: Sequence[Any]) -> Any:
        outputs = tensors[place[0]][place[1] - first[place[0]]]
        return outputs[place[2]] if isinstance(outputs, list | tuple) else outputs

    while calls:
        waiting = []
        for layer_name, layer, node in calls:
            try:
                arguments = [*map(tensor, node.inputs)]
                by_name = {key: tensor(place) for key, place in node.by_name.items()}
            except (KeyError, IndexError):  # not there yet
                waiting.append((layer_name, layer, node))
            else:
                tensors.setdefault(layer_name, []).append(_called(layer, arguments, **by_name, **node.options))
        if len(waiting) == len(calls):
            raise ModelError(f"layer {waiting[0][0]}: its input comes from no layer")
        calls = waiting
    ends = ([*map(tensor, places)] for places in (inputs, outputs))
    return keras.Model(*(end[0] if len(end) == 1 else end for end in ends), name=name)


def _input_shape(entry: Entry) -> Any:
    return entry["config"].get("batch_input_shape", entry["config"].get("batch_shape"))


def _is_place(value: Any) -> bool:
    return isinstance(value, list) and [*map(type, value[:3])] == [str, int, int]


def _places(value: Any) -> list[Any]:
    """Return places, of which Keras 2.13 writes a single one without a list."""
    return [value] if _is_place(value) else list(value)


def _first_calls(places: Iterable[Sequence[Any]]) -> dict[str, int]:
    """Return the lowest number by which each layer's calls are known; most begin at 0, a nested model's at 1."""
    first: dict[str, int] = {}
    for name, call, *_ in places:
        first[name] = min(call, first.get(name, call))
    return first


def _called(layer: keras.Layer, tensors: list[Any], **options: Any) -> Any:
    try:
        if isinstance(layer, Operation):
            return layer(*tensors, **options)
        return layer(tensors[0] if len(tensors) == 1 else tensors, **options)
    except Exception as error:  # Keras raises anything for arguments that do not fit
        raise ModelError(f"layer {layer.name}: {error}") from error


def _layer(entry: Entry) -> keras.Layer:
    """Return a layer, or a nested model as a layer."""
    kind: str = entry["class_name"]
    config: Entry = entry["config"]
    if kind in MODELS:
        return model(entry, kind.lower())
    name = config["name"]
    if kind.startswith(ONLY_TRAINING):
        return layers.Identity(name=legal(name))
    make = getattr(layers, RENAMED.get(kind, kind), None)
    if kind in CODE:
        raise ModelError(f"layer {name} is a {kind}: code, which is never run from a file")
    if not (isinstance(make, type) and issubclass(make, keras.Layer)):
        raise ModelError(f"layer {name} is a {kind}, which is not one of Keras' own layers")
    values = {key: value for key, value in config.items() if not _without_effect(key, value)}
    plain = {key: _plain(name, key, value) for key, value in values.items()} | {"name": legal(name)}
    match plain:
        case {"axis": [axis]}:
            plain["axis"] = axis
        case {"alpha": alpha} if kind == "LeakyReLU":
            plain = {"name": plain["name"], "negative_slope": alpha}
    try:
        return make(**plain)
    except Exception as error:  # as above
        raise ModelError(f"layer {name}: {error}") from error


def _without_effect(key: str, value: Any) -> bool:
    if key.endswith(FOR_TRAINING):
        return True
    values = WITHOUT_EFFECT.get(key, ())
    return values is None or value in values


def _plain(name: str, key: str, value: Any) -> Any:
    """Return an argument of a layer; raise `ModelError` if it is more than plain values, a function or a layer."""
    match value:
        case {"class_name": "__tuple__" | "TensorShape", "items": list(items)}:
            return tuple(items)
        case {"class_name": str(), "config": {"name": str()}} if key in ("layer", "forward_layer", "backward_layer"):
            return _layer(value)
        case {"class_name": str(kind)} if key.endswith("activation") and hasattr(layers, kind):
            return _layer({"class_name": kind, "config": {"name": f"{name}_{key}", **value["config"]}})
        case {"class_name": "function", "config": str(function)} | str(function) if key.endswith("activation"):
            return _activation(name, function)
        case dict():
            raise ModelError(f"layer {name}: its {key} is an object ({value.get('class_name', 'unknown')})")
        case _:
            return value


def _activation(name: str, function: str) -> Any:
    if function == "hard_sigmoid":
        return hard_sigmoid
    if not hasattr(keras.activations, function):
        raise ModelError(f"layer {name}: its activation {function} is not one of Keras' own")
    return function
