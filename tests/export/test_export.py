from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from cifar_edge.card import read_card
from cifar_edge.data import CLASSES, Cifar10, hold_out
from cifar_edge.errors import ExportError, ModelError
from cifar_edge.export import convert, write
from cifar_edge.model import EdgeModel
from cifar_edge.training.inference import load_model, predict
from cifar_edge.training.networks import NETWORKS
from cifar_edge.training.run import Run


def test_float32_agrees_with_keras(run: Path, sample: Cifar10) -> None:
    ours = EdgeModel(run / "cnn-float32.tflite").predict(sample.test.images)
    keras_ = predict(load_model(run / "model.keras"), sample.test.images)
    assert np.abs(ours - keras_).max() < 1e-4
    assert (ours.argmax(axis=1) == keras_.argmax(axis=1)).mean() >= 0.999


def test_int8_stays_close_to_float32_and_is_a_quarter_of_it(run: Path, sample: Cifar10) -> None:
    files = [run / "cnn-float32.tflite", run / "cnn-int8.tflite"]
    float32, int8 = (EdgeModel(file).predict(sample.test.images) for file in files)
    assert np.abs(float32 - int8).mean() < 0.01
    assert (float32.argmax(axis=1) == int8.argmax(axis=1)).mean() > 0.95
    assert files[1].stat().st_size < 0.3 * files[0].stat().st_size


def test_int8_takes_raw_bytes_and_holds_integers_only(run: Path) -> None:
    model = EdgeModel(run / "cnn-int8.tflite")
    assert model.dtype == np.uint8
    assert np.array_equal(model._encoding, np.arange(256))
    assert convert.float_tensors((run / "cnn-int8.tflite").read_bytes()) == []
    assert convert.float_tensors((run / "cnn-float32.tflite").read_bytes())


def test_the_card_travels_inside_the_file(run: Path, sample: Cifar10) -> None:
    for name in ("float32", "int8"):
        path = run / f"cnn-{name}.tflite"
        card = read_card(path)
        assert card is not None
        assert (card.name, card.format, card.labels, card.run) == ("cnn", name, CLASSES, "cnn")
        assert card.test_sha256 == sample.test.digest
        accuracy = (EdgeModel(path).predict(sample.test.images).argmax(axis=1) == sample.test.labels).mean()
        assert card.accuracy == accuracy
        assert zipfile.ZipFile(path).read("labels.txt").decode().split() == list(CLASSES)


def test_calibration_images_are_balanced_and_never_held_out(sample: Cifar10) -> None:
    learn, _ = hold_out(sample.train)
    labels = {image.tobytes(): label for image, label in zip(learn.images, learn.labels, strict=True)}
    chosen = [labels[image.tobytes()] for image in write.calibration_images(sample.train)]
    assert np.bincount(chosen).tolist() == [write.CALIBRATION_IMAGES_PER_CLASS] * 10


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_converts(name: str, sample: Cifar10, tmp_path: Path) -> None:
    network = NETWORKS[name]()
    for file, content in (
        ("float32", convert.to_float32(network)),
        ("int8", convert.to_int8(network, sample.train.images[::100])),
    ):
        (tmp_path / file).write_bytes(content)
        model = EdgeModel(tmp_path / file)
        expected = predict(network, sample.test.images[:50])
        assert np.abs(model.predict(sample.test.images[:50]) - expected).max() < (1e-4 if file == "float32" else 0.1)


def test_failure_leaves_no_file(run: Path, sample: Cifar10, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise ExportError("no")

    (tmp_path / "model.keras").write_bytes((run / "model.keras").read_bytes())
    monkeypatch.setattr(write, "to_int8", fail)
    files = write.export(tmp_path / "model.keras", sample, quantize=True)
    assert next(files).path.name == "cnn-float32.tflite"
    with pytest.raises(ExportError):
        next(files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cnn-float32.tflite", "model.keras"]


def test_other_shapes_and_broken_files_are_refused(sample: Cifar10, tmp_path: Path) -> None:
    image = keras.Input((64, 48, 3))
    other = keras.Model(image, keras.layers.Dense(7)(keras.layers.Flatten()(image)))
    other.save(tmp_path / "other.keras")
    with pytest.raises(ModelError, match=r"maps \(None, 64, 48, 3\) to \(None, 7\)"):
        next(write.export(tmp_path / "other.keras", sample))
    (tmp_path / "broken.keras").write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"broken\.keras: not a Keras model"):
        next(write.export(tmp_path / "broken.keras", sample))


def test_a_run_knows_its_data(run: Path, tmp_path: Path) -> None:
    assert Run(run).data_source == "sample"
    assert Run(tmp_path).data_source is None
