from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.errors import ModelError
from cifar_edge.export.source import load_source
from cifar_edge.export.write import export
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.evaluate import evaluate_file
from cifar_edge.training.keras_file import predict
from tests.export.conftest import Command, other_people_s


def test_ten_classes_are_not_taken_for_cifar10(outside: Path) -> None:
    assert load_source(outside).labels == tuple("0123456789")


def test_labels_in_an_order_of_their_own_are_kept(outside: Path, sample: Cifar10, tmp_path: Path) -> None:
    network = keras.models.load_model(outside)
    kernel, bias = network.layers[-1].get_weights()
    network.layers[-1].set_weights([kernel[:, ::-1], bias[::-1]])
    network.save(tmp_path / "reversed.keras")
    source = load_source(tmp_path / "reversed.keras", CLASSES[::-1], (0.0, 1.0))
    (file,) = export(source, sample)
    model = EdgeModel(file.path)
    assert model.labels == CLASSES[::-1]
    right = np.array(CLASSES)[sample.test.labels] == np.array(model.labels)[model.predict(sample.test.images).argmax(1)]
    assert file.accuracy == evaluate_file(file.path, sample.test).accuracy == right.mean() > 0.3


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_other_people_s_models(suffix: str, sample: Cifar10, tmp_path: Path, cifar_edge: Command) -> None:
    file = tmp_path / f"theirs{suffix}"
    network = other_people_s(file)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    told = ("--labels", tmp_path / "labels.txt", "--pixel-range", "-1,1")
    outcome = cifar_edge("export", file, "--data", "sample", "--quantize", *told)
    assert outcome.code == 0, outcome.err
    assert "not a model of CIFAR-10" in outcome.err
    images = np.random.default_rng(0).integers(0, 256, (20, 20, 28, 3), np.uint8)
    expected = predict(network, images / np.float32(127.5) - 1)
    for name, tolerance in (("float32", 1e-5), ("int8", 0.05)):
        model = EdgeModel(tmp_path / f"theirs-{name}.tflite")
        assert (model.labels, model.height, model.width) == (("a", "b", "c", "d"), 20, 28)
        assert np.abs(model.predict(images) - expected).max() < tolerance
        assert model.card is not None
        assert model.card.accuracy is None


def test_scores_become_probabilities(sample: Cifar10, tmp_path: Path) -> None:
    other_people_s(tmp_path / "scores.keras", activation=None)
    (file,) = export(load_source(tmp_path / "scores.keras"), sample)
    probabilities = EdgeModel(file.path).predict(np.zeros((1, 20, 28, 3), np.uint8))
    assert probabilities.sum() == pytest.approx(1)


def test_a_sigmoid_for_each_class_stays(sample: Cifar10, tmp_path: Path) -> None:
    network = other_people_s(tmp_path / "each.keras", activation="sigmoid")
    (file,) = export(load_source(tmp_path / "each.keras"), sample)
    images = sample.test.images[:5, :20, :28]
    images = np.pad(images, ((0, 0), (0, 20 - images.shape[1]), (0, 28 - images.shape[2]), (0, 0)))
    assert np.allclose(EdgeModel(file.path).predict(images), predict(network, images), atol=1e-4)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_is_never_run(suffix: str, tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    keras.Model(image, layers.Flatten()(layers.Lambda(lambda x: x * 2)(image))).save(tmp_path / f"code{suffix}")
    with pytest.raises(ModelError, match=r"(?s)not a Keras model that can be loaded here \(.*[Ll]ambda"):
        load_source(tmp_path / f"code{suffix}")
