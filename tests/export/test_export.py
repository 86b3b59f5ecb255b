from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from cifar_edge.data import CLASSES, Cifar10, hold_out
from cifar_edge.errors import ExportError, ModelError, UsageError
from cifar_edge.evaluation import evaluate_file
from cifar_edge.export import calibration, convert, write
from cifar_edge.export.source import load_source
from cifar_edge.export.write import export
from cifar_edge.graph import operations
from cifar_edge.model import EdgeModel
from cifar_edge.training.inference import load_model, predict
from cifar_edge.training.networks import NETWORKS
from cifar_edge.training.run import Run

from ..conftest import PHOTOS, Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A copy of the trained network in a folder of its own."""
    return Path(shutil.copy(run / "model.keras", tmp_path))


def other_people_s(
    file: Path, height: int = 20, width: int = 28, classes: int = 4, *, softmax: bool = True
) -> keras.Model:
    """Save a small network of another size that wants pixels from -1 to 1."""
    keras.utils.set_random_seed(0)
    image = keras.Input((height, width, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, layers.Dense(classes, activation="softmax" if softmax else None)(x), name="theirs")
    network.save(file)
    return network


@pytest.fixture(scope="module")
def outside(sample: Cifar10, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of CIFAR-10 by a script that divides by 255 outside the model."""
    keras.utils.set_random_seed(0)
    stack: list[keras.Layer] = [keras.Input((32, 32, 3))]
    stack += [layers.Conv2D(32, 3, strides=2, activation="relu"), layers.Conv2D(32, 3, strides=2, activation="relu")]
    network = keras.Sequential([*stack, layers.Flatten(), layers.Dense(10, activation="softmax")], name="outside")
    network.compile("adam", "sparse_categorical_crossentropy")
    learn, _ = hold_out(sample.train)
    network.fit(learn.images / np.float32(255), learn.labels, batch_size=64, epochs=6, verbose=0)
    file = tmp_path_factory.mktemp("outside") / "outside.keras"
    network.save(file)
    return file


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


def test_int8_takes_raw_bytes_whatever_it_was_calibrated_with(run: Path) -> None:
    dark = np.full((10, 32, 32, 3), 30, np.uint8)
    content = convert.convert(load_model(run / "model.keras"), "int8", dark)
    quantize = operations(content)[0]
    assert quantize.inputs[0].type == "uint8"
    model = EdgeModel(run / "cnn-int8.tflite")
    assert (model.dtype, model.input_quantization) == (np.uint8, (1.0, 0))


@pytest.mark.parametrize(
    ("name", "formats"), [("ann", ("float32", "int8")), ("cnn", ("float32", "int8")), ("resnet8", convert.FORMATS)]
)
def test_every_network_and_every_format(name: str, formats: list[str], sample: Cifar10, tmp_path: Path) -> None:
    images, network = sample.test.images[::50], NETWORKS[name]()
    expected = predict(network, images)
    for form in formats:
        content = convert.convert(network, form, sample.train.images[::100])
        (tmp_path / form).write_bytes(content)
        predicted = EdgeModel(tmp_path / form, pixel_range=(0, 255)).predict(images)
        assert np.abs(predicted - expected).max() < (1e-4 if form == "float32" else 0.1)
        types = {tensor.type for operation in operations(content) for tensor in operation.outputs}
        assert ("float32" in types) == (form not in convert.CALIBRATED)


def test_a_float_operation_is_found(sample: Cifar10) -> None:
    image = keras.Input((32, 32, 3))
    planted = keras.Model(image, layers.Softmax()(layers.Flatten()(layers.AveragePooling2D(16)(image))))
    content = convert.convert(planted, "int8", sample.train.images[::500])
    convert.check_integers_only(content, "int8")
    content = convert.convert(planted, "float32", sample.train.images[::500])
    with pytest.raises(ExportError, match=r"not int8 throughout: float remains in AVERAGE_POOL_2D \(.+\), RESHAPE"):
        convert.check_integers_only(content, "int8")


def test_an_operation_without_an_integer_form_is_refused(sample: Cifar10, tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    x = keras.ops.erfinv(keras.ops.tanh(layers.Flatten()(image)))
    keras.Model(image, layers.Dense(10, activation="softmax")(x), name="odd").save(tmp_path / "odd.keras")
    with pytest.raises(ExportError, match="odd: TensorFlow cannot convert it"):
        export(load_source(tmp_path / "odd.keras"), sample, ("int8",))
    assert [path.name for path in tmp_path.iterdir()] == ["odd.keras"]


def test_the_same_export_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / run.name, ignore=shutil.ignore_patterns("*.tflite", "export.*"))
    command = [sys.executable, "-m", "cifar_edge", "export", copy, "--quantize", "--data", "sample"]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("cnn-float32.tflite", "cnn-int8.tflite"):
        assert (run / name).read_bytes() == (copy / name).read_bytes()
    records = [json.loads((folder / "export.json").read_text()) for folder in (run, copy)]
    for file in (*records[0]["files"], *records[1]["files"]):
        assert file.pop("latency")["median"] > 1
    assert records[0] == records[1]


def test_every_figure_is_kept(run: Path, sample: Cifar10) -> None:
    record = json.loads((run / "export.json").read_text())
    float32, int8 = record["files"]
    assert (float32["format"], int8["path"]) == ("float32", "cnn-int8.tflite")
    assert float32["from_keras"]["images"] >= 1000
    assert float32["from_keras"]["difference"] < 1e-4
    assert 0.95 < int8["from_float32"]["agreement"] <= 1
    assert int8["drop"] is not None
    assert int8["test_images"] == len(sample.test.labels)
    assert all(20 < decibels < 100 for decibels in int8["signal_to_noise"].values())
    assert len(int8["signal_to_noise"]) > 4
    assert (run / "export.png").read_bytes().startswith(b"\x89PNG")


def test_calibration_images_are_balanced_and_never_held_out(sample: Cifar10) -> None:
    learn, _ = hold_out(sample.train)
    labels = {image.tobytes(): label for image, label in zip(learn.images, learn.labels, strict=True)}
    first, other = (calibration.from_training_set(sample.train, 200, seed) for seed in (0, 1))
    assert np.bincount([labels[image.tobytes()] for image in first]).tolist() == [20] * 10
    assert not np.array_equal(first, other)
    assert np.array_equal(first, calibration.from_training_set(sample.train, 200, 0))


def test_calibration_with_photos(copy: Path, tmp_path: Path, cifar_edge: Command) -> None:
    photos = calibration.from_folder(PHOTOS, 20, 28, 500)
    assert (photos.shape, photos.dtype) == ((27, 20, 28, 3), np.uint8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no photos in there"):
        calibration.from_folder(tmp_path / "empty", 20, 28, 500)
    arguments = ("--formats", "int8", "--calibration", PHOTOS, "--max-drop", 100)
    outcome = cifar_edge("export", copy, "--data", "sample", *arguments)
    assert outcome.code == 0
    assert json.loads((tmp_path / "export.json").read_text())["calibration"]["images"] == 27
    assert not (tmp_path / "cnn-float32.tflite").exists()


def test_a_drop_that_is_too_large_leaves_no_file(copy: Path, cifar_edge: Command) -> None:
    outcome = cifar_edge("export", copy, "--data", "sample", "--formats", "int8", "--max-drop", -100)
    assert outcome.code == 1
    assert "cnn-int8.tflite: not written: int8 loses" in outcome.err
    assert "dB" in outcome.err
    assert [path.name for path in copy.parent.iterdir()] == ["model.keras"]


def test_a_missing_255_is_found(outside: Path, tmp_path: Path, cifar_edge: Command) -> None:
    file = shutil.copy(outside, tmp_path)
    outcome = cifar_edge("export", file, "--data", "sample")
    assert (outcome.code, "with --pixel-range 0,1; export it so" in outcome.err) == (1, True)
    assert not list(tmp_path.glob("*.tflite"))
    assert cifar_edge("export", file, "--data", "sample", "--pixel-range", "0,1").code == 0


def test_a_doubled_255_is_found(copy: Path, cifar_edge: Command) -> None:
    outcome = cifar_edge("export", copy, "--data", "sample", "--pixel-range", "0,1")
    assert (outcome.code, "with --pixel-range 0,255; export it so" in outcome.err) == (1, True)


def test_swapped_labels_are_found(outside: Path, tmp_path: Path, cifar_edge: Command) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(reversed(CLASSES)))
    told = ("--data", "sample", "--pixel-range", "0,1", "--labels", names)
    outcome = cifar_edge("export", shutil.copy(outside, tmp_path), *told)
    assert outcome.code == 1
    assert "with the labels in the order" in outcome.err


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
    other_people_s(tmp_path / "scores.keras", softmax=False)
    (file,) = export(load_source(tmp_path / "scores.keras"), sample)
    probabilities = EdgeModel(file.path).predict(np.zeros((1, 20, 28, 3), np.uint8))
    assert probabilities.sum() == pytest.approx(1)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_code_in_a_file_is_never_run(suffix: str, tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    keras.Model(image, layers.Flatten()(layers.Lambda(lambda x: x * 2)(image))).save(tmp_path / f"code{suffix}")
    with pytest.raises(ModelError, match=r"(?s)not a Keras model that can be loaded here \(.*[Ll]ambda"):
        load_source(tmp_path / f"code{suffix}")


def test_what_cannot_be_exported_is_refused(run: Path, copy: Path, sample: Cifar10, cifar_edge: Command) -> None:
    folder = copy.parent
    vector = keras.Input((8,))
    keras.Model(vector, layers.Dense(3)(vector)).save(folder / "vector.keras")
    with pytest.raises(ModelError, match=r"vector\.keras: maps \(None, 8\) to \(None, 3\)"):
        load_source(folder / "vector.keras")
    (folder / "broken.keras").write_bytes((run / "model.keras").read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"broken\.keras: not a Keras model"):
        load_source(folder / "broken.keras")
    with pytest.raises(UsageError, match="9 labels for 10 outputs"):
        load_source(copy, CLASSES[:9])
    assert "unknown format int4" in cifar_edge("export", copy, "--data", "sample", "--formats", "int4,int8").err
    assert cifar_edge("export", copy, "--data", "sample", "--formats", "int8", "--quantize").code == 2


def test_a_full_disk(copy: Path, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def convert_and_fill_the_disk(*arguments: object) -> bytes:
        graph = convert.convert(*arguments)  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(graph) + 100, unlimited[1]))
        return graph

    monkeypatch.setattr(write, "convert", convert_and_fill_the_disk)
    try:
        outcome = cifar_edge("export", copy, "--data", "sample")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert (outcome.code, "File too large" in outcome.err) == (1, True)
    assert [path.name for path in copy.parent.iterdir()] == ["model.keras"]


def test_a_run_knows_its_data(run: Path, tmp_path: Path) -> None:
    assert Run(run).data_source == "sample"
    assert Run(tmp_path).data_source is None
