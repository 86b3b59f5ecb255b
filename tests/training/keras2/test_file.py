from __future__ import annotations

from pathlib import Path

import h5py
import keras
import pytest
from keras import layers

from cifar_edge.errors import ModelError
from cifar_edge.training.keras_file import load_network
from tests.training.keras2.written import (
    after,
    assert_same,
    conv,
    dense,
    entry,
    functional,
    randomized,
    save,
    sequential,
    start,
)


def test_files_that_hold_no_network(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
    (tmp_path / "pointer.h5").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    for name, reason in (("weights.h5", "holds weights only"), ("pointer.h5", "git lfs pull")):
        with pytest.raises(ModelError, match=reason):
            load_network(tmp_path / name)


def test_models_in_models_as_teachable_machine_saves_them(tmp_path: Path) -> None:
    stem = [
        layers.Conv2D(4, 3, name="stem"),
        layers.BatchNormalization(name="bn"),
        layers.Conv2D(4, 3, name="block_conv"),
    ]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax", name="dense_Dense1")]
    network = randomized(keras.Sequential([keras.Input((8, 8, 3)), *stem, *head]))
    backbone = functional(
        "model1",
        "block/conv",
        start("input_1", []),
        conv("stem", after("input_1"), filters=4),
        entry("BatchNormalization", "bn", after("stem"), axis=[3]),
        conv("block/conv", after("bn"), filters=4),
    )
    first = sequential("sequential_1", start("model1_input"), backbone, entry("GlobalAveragePooling2D", "gap"))
    last = sequential("sequential_3", dense("dense_Dense1", batch_input_shape=[None, 4]))
    whole = sequential("sequential_4", start("sequential_1_input"), first, last)
    assert_same(save(tmp_path / "keras_model.h5", whole, [("sequential_1", stem), ("sequential_3", head)]), network)


def test_where_names_are_there_twice_the_order_counts(tmp_path: Path) -> None:
    stack = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Conv2D(4, 3), layers.BatchNormalization()]
    network = randomized(keras.Sequential([keras.Input((8, 8, 3)), *stack, layers.GlobalAveragePooling2D()]))
    part = [conv("conv", filters=4), entry("BatchNormalization", "bn", axis=[3])]
    backbone = sequential("backbone", start("in"), sequential("one", *part), sequential("two", *part))
    whole = sequential("it", backbone, entry("GlobalAveragePooling2D", "gap"))
    for layer, name in zip(stack, ("conv", "bn", "conv_", "bn_"), strict=True):
        layer.name = name  # an array needs a name of its own
    assert_same(save(tmp_path / "it.h5", whole, [("backbone", stack)]), network)
