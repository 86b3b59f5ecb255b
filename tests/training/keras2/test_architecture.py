from __future__ import annotations

from pathlib import Path

import keras
import pytest
from keras import layers, ops

from cifar_edge.errors import ModelError
from cifar_edge.training.keras_file import load_network
from tests.training.keras2.written import (
    POLICY,
    SHAPE,
    Config,
    assert_same,
    conv,
    dense,
    entry,
    randomized,
    save,
    sequential,
    start,
)

FIRST = conv("a", batch_input_shape=SHAPE, filters=4)
SEQUENTIALS: dict[str, tuple[list[Config], list[keras.Layer]]] = {
    "the first layer has the input's shape": ([FIRST], [layers.Conv2D(4, 3)]),
    "there is a layer for the input": ([start("input"), FIRST], [layers.Conv2D(4, 3)]),
    "groups of DepthwiseConv2D": (
        [FIRST, conv("b", kind="DepthwiseConv2D", groups=1, depth_multiplier=1, use_bias=False)],
        [layers.Conv2D(4, 3), layers.DepthwiseConv2D(3, use_bias=False)],
    ),
    "half precision": (
        [conv("a", batch_input_shape=SHAPE, filters=4, dtype=POLICY), entry("ReLU", "b", dtype=POLICY, max_value=6.0)],
        [layers.Conv2D(4, 3), layers.ReLU(6.0)],
    ),
    "activations": (
        [
            conv("a", batch_input_shape=SHAPE, filters=4, activation="relu6"),
            entry("Activation", "b", activation="swish"),
        ],
        [layers.Conv2D(4, 3, activation="relu6"), layers.Activation("silu")],
    ),
    "hard_sigmoid was another": (
        [conv("a", batch_input_shape=SHAPE, filters=4, activation="hard_sigmoid")],
        [layers.Conv2D(4, 3, activation=lambda x: ops.clip(0.2 * x + 0.5, 0, 1))],
    ),
    "arguments that Keras 3 lacks": (
        [
            entry("Rescaling", "r", batch_input_shape=SHAPE, scale=1 / 127.5, offset=-1.0),
            entry("RandomFlip", "f", mode="horizontal", seed=None),
            conv("a", filters=4),
            entry("BatchNormalizationV1", "b", axis=[3], fused=True, epsilon=0.01, virtual_batch_size=None),
            entry("LeakyReLU", "l", alpha=0.2),
            entry("SpatialDropout2D", "d", rate=0.5, noise_shape=None),
        ],
        [
            layers.Rescaling(1 / 127.5, -1.0),
            layers.Identity(),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(epsilon=0.01),
            layers.LeakyReLU(0.2),
        ],
    ),
}


@pytest.mark.parametrize("case", SEQUENTIALS)
def test_sequential_models(case: str, tmp_path: Path) -> None:
    entries, stack = SEQUENTIALS[case]
    network = randomized(keras.Sequential([keras.Input((8, 8, 3)), *stack, layers.Flatten(), layers.Dense(3)]))
    entries = [*entries, entry("Flatten", "flatten"), dense("dense", activation="linear")]
    names = [one["config"]["name"] for one in entries if one["class_name"] not in ("InputLayer", "SpatialDropout2D")]
    groups = [(name, [layer]) for name, layer in zip(names, network.layers, strict=True)]
    assert_same(save(tmp_path / "it.h5", sequential("it", *entries), groups), network)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (entry("Lambda", "mine", function=["4wEAAAA=", None, None]), "layer mine is a Lambda: code"),
        (entry("TFSMLayer", "mine", filepath="elsewhere"), "layer mine is a TFSMLayer: code"),
        (entry("Addons>GroupNorm", "mine"), "layer mine is a Addons>GroupNorm, which is not one of Keras' own"),
        (entry("Activation", "mine", activation="my_swish"), "layer mine: its activation my_swish is not"),
        (entry("Activation", "mine", activation={"class_name": "Lambda", "config": {}}), "is a Lambda: code"),
        (
            entry("ReLU", "mine", max_value={"class_name": "Mine", "config": {}}),
            "layer mine: its max_value is an object",
        ),
        (conv("mine", kind="DepthwiseConv2D", groups=2), "layer mine: .*groups"),
        (conv("mine", filters=9, kernel_size=[99, 99]), "layer mine: "),
        (dense("mine", units=5), "layer mine: its weights"),
    ],
)
def test_what_cannot_be_read_is_named(layer: Config, reason: str, tmp_path: Path) -> None:
    config = sequential("it", start("in"), layer, entry("Flatten", "flatten"))
    with pytest.raises(ModelError, match=reason) as caught:
        load_network(save(tmp_path / "it.h5", config, []))
    assert str(caught.value).startswith(str(tmp_path / "it.h5"))
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 300
