from __future__ import annotations

import shlex
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.errors import ModelError, UsageError
from cifar_edge.export.calibration import from_folder
from cifar_edge.export.convert import convert
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
    folder = tmp_path / "my models"
    folder.mkdir()
    file = folder / f"theirs{suffix}"
    network = other_people_s(file)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    told = ("--labels", tmp_path / "labels.txt", "--pixel-range", "-1,1")
    outcome = cifar_edge("export", file, "--quantize", *told)
    assert outcome.code == 0, outcome.err
    assert "cifar10" not in f"{outcome.out} {outcome.err}".lower().replace("-", "")
    *_, hint = outcome.err.strip().splitlines()
    assert Path(shlex.split(hint)[-1]).parent == folder
    images = np.random.default_rng(0).integers(0, 256, (20, 20, 28, 3), np.uint8)
    expected = predict(network, images / np.float32(127.5) - 1)
    for name, tolerance in (("float32", 1e-5), ("int8", 0.05)):
        model = EdgeModel(folder / f"theirs-{name}.tflite")
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


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_lower_precision_becomes_float32(policy: str, tmp_path: Path) -> None:
    inner = keras.Sequential([layers.Conv2D(4, 3, dtype=policy), layers.BatchNormalization(dtype=policy)])
    ends = [layers.GlobalAveragePooling2D(dtype=policy), layers.Dense(3, activation="softmax", dtype="float32")]
    network = keras.Sequential([keras.Input((8, 8, 3)), inner, *ends])
    network.save(tmp_path / "mixed.keras")
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    loaded = load_source(tmp_path / "mixed.keras", pixel_range=(0.0, 1.0)).classifier()
    assert {weight.dtype for weight in loaded.weights} == {"float32"}
    assert np.allclose(loaded(images.astype(np.float32)), network(images / np.float32(255)), atol=0.01)
    graph = convert(loaded, "float32", images)
    model = EdgeModel.from_bytes(graph, "mixed.tflite", pixel_range=(0.0, 255.0))
    assert np.allclose(model.predict(images), loaded(images.astype(np.float32)), atol=1e-4)


BELOW_ZERO = keras.initializers.Constant(-3)  # no probabilities, whatever the weights are

ENDS: dict[str, tuple[list[keras.Layer], tuple[str, ...], tuple[str, ...]]] = {
    "one sigmoid": ([layers.Dense(1, activation="sigmoid")], (), ("0", "1")),
    "one sigmoid with a name": ([layers.Dense(1, activation="sigmoid")], ("cat",), ("not cat", "cat")),
    "one sigmoid with two names": ([layers.Dense(1, activation="sigmoid")], ("cat", "dog"), ("cat", "dog")),
    "scores of one pixel": (
        [layers.Dense(3, bias_initializer=BELOW_ZERO), layers.Reshape((1, 1, 3))],
        (),
        ("0", "1", "2"),
    ),
}


@pytest.mark.parametrize("case", ENDS)
def test_other_outputs_that_are_classes(case: str, tmp_path: Path) -> None:
    end, names, labels = ENDS[case]
    network = keras.Sequential([keras.Input((8, 8, 3)), layers.GlobalAveragePooling2D(), *end])
    network.save(tmp_path / "it.keras")
    source = load_source(tmp_path / "it.keras", names or None, (0.0, 1.0))
    images = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 3)).astype(np.float32)
    scores = np.asarray(network(images / 255)).reshape(5, -1)
    expected = np.hstack([1 - scores, scores]) if len(labels) == 2 else keras.ops.softmax(scores)
    assert source.labels == labels
    assert np.allclose(source.classifier()(images), expected, atol=1e-5)


def test_a_network_for_images_of_any_size_needs_one(tmp_path: Path) -> None:
    network = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )
    network.save(tmp_path / "any.keras")
    with pytest.raises(ModelError, match="--image-size"):
        load_source(tmp_path / "any.keras")
    assert load_source(tmp_path / "any.keras", size=(12, 16)).size == (12, 16)
    other_people_s(tmp_path / "own.keras")
    with pytest.raises(UsageError, match="a size of its own"):
        load_source(tmp_path / "own.keras", size=(12, 16))


def test_photos_in_folders_of_its_classes_give_accuracy_too(sample: Cifar10, tmp_path: Path) -> None:
    other_people_s(tmp_path / "theirs.keras")
    for name, colour in (("a", "red"), ("c", "blue")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (28, 20), colour).save(tmp_path / "photos" / name / f"{number}.png")
    source = load_source(tmp_path / "theirs.keras", ("a", "b", "c", "d"), (-1.0, 1.0))
    chosen = from_folder(tmp_path / "photos", source.size, classes=source.labels)
    (file,) = export(source, sample, calibration=chosen)
    answers = EdgeModel(file.path).predict(chosen.images).argmax(axis=1)
    assert chosen.labels is not None
    assert sorted(chosen.labels) == [0, 0, 0, 2, 2, 2]
    assert (file.accuracy, file.test_images) == ((answers == chosen.labels).mean(), 6)
    (tmp_path / "photos" / "c").rename(tmp_path / "photos" / "e")
    assert from_folder(tmp_path / "photos", source.size, classes=source.labels).labels is None


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_is_never_run(suffix: str, tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    keras.Model(image, layers.Flatten()(layers.Lambda(lambda x: x * 2)(image))).save(tmp_path / f"code{suffix}")
    with pytest.raises(ModelError, match=r"(?s)not a Keras model that can be loaded here \(.*[Ll]ambda"):
        load_source(tmp_path / f"code{suffix}")
