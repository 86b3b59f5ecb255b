from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cifar_edge.errors import ModelError
from cifar_edge.training.keras_file import load_network
from tests.training.keras2.written import after, call, entry, operation, preprocessing, save, sequential

REVERSED = {"slice_spec": [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]}
OLD = {"node_def": '{"name": "truediv", "op": "RealDiv"}', "constants": {"1": 2.0}}
OPERATIONS = {
    "x / 127.5 - 1": (
        [
            operation("d", "math.truediv", call("in", y=127.5)),
            operation("s", "math.subtract", call("d", y=1.0)),
        ],
        lambda x: x / 127.5 - 1,
    ),
    "blue first, without their means": (
        [
            operation("g", "__operators__.getitem", call("in", **REVERSED), "SlicingOpLambda"),
            operation("b", "nn.bias_add", call("g", bias=[-103.0, -116.0, -123.0])),
        ],
        lambda x: x[..., ::-1] - np.array([103, 116, 123]),
    ),
    "(2 - x) * relu6(x + 3)": (
        [
            operation("a", "__operators__.add", call("in", y=3.0)),
            operation("r", "nn.relu6", call("a")),
            operation("s", "math.subtract", [["_CONSTANT_VALUE", -1, 2.0, {"y": ["in", 0, 0], "name": None}]]),
            operation("m", "math.multiply", call("s", y=["r", 0, 0])),
        ],
        lambda x: (2 - x) * np.clip(x + 3, 0, 6),
    ),
    "before TensorFlow 2.4": ([entry("TensorFlowOpLayer", "d", after("in"), **OLD)], lambda x: x / 2),
    "a nested model, whose calls are counted from 1": (
        [
            {**sequential("n", entry("Rescaling", "r", scale=2.0)), "name": "n", "inbound_nodes": after("in")},
            entry("Add", "a", [[["n", 1, 0, {}], ["in", 0, 0, {}]]]),
        ],
        lambda x: 3 * x,
    ),
    "a layer that is called twice": (
        [entry("Rescaling", "r", [*after("in"), *after("r")], scale=2.0), entry("ReLU", "o", after("r", node=1))],
        lambda x: 4 * x,
    ),
    "a layer after those that need it": (
        [entry("ReLU", "o", after("r", training=False)), entry("Rescaling", "r", after("in"), scale=2.0)],
        lambda x: 2 * x,
    ),
}


@pytest.mark.parametrize("case", OPERATIONS)
def test_functional_models(case: str, tmp_path: Path) -> None:
    entries, expected = OPERATIONS[case]
    config = preprocessing(*sorted(entries, key=lambda one: one["name"] == "o"))
    config["config"]["layers"][1:-1] = entries
    images = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 3)).astype(np.float32)
    loaded = load_network(save(tmp_path / "it.h5", config, []))(images)
    assert np.allclose(loaded, expected(images).mean(axis=(1, 2)), rtol=1e-5, atol=1e-6)


def test_an_unknown_operation_is_named(tmp_path: Path) -> None:
    config = preprocessing(operation("tf.image.sobel", "image.sobel_edges", call("in")))
    with pytest.raises(ModelError, match=r"layer tf.image.sobel: TensorFlow's operation image.sobel_edges"):
        load_network(save(tmp_path / "it.h5", config, []))
