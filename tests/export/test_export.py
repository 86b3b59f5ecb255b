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
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from PIL import Image

from cifar_edge.data import CLASSES, Cifar10, hold_out
from cifar_edge.errors import ExportError, ModelError, UsageError
from cifar_edge.export import calibration, convert, write
from cifar_edge.export.source import load_source
from cifar_edge.export.verification_images import verification_images_for
from cifar_edge.export.verify import worst_layers
from cifar_edge.export.write import export
from cifar_edge.tflite.graph import operations
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.evaluate import evaluate_file
from cifar_edge.training.keras_file import load_model, predict
from cifar_edge.training.networks import residual
from cifar_edge.training.run import Run
from tests.conftest import PHOTOS, Outcome

Command = Callable[..., Outcome]


@pytest.fixture
def black(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of black photos: calibrated with them, a network is no good for others."""
    folder = tmp_path_factory.mktemp("black")
    for number in range(3):
        Image.new("RGB", (40, 40)).save(folder / f"{number}.png")
    (folder / "damaged.png").write_bytes(b"no image")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def other_people_s(
    file: Path, height: int = 20, width: int = 28, classes: int = 4, activation: str | None = "softmax"
) -> keras.Model:
    """Save a small network of another size that wants pixels from -1 to 1."""
    keras.utils.set_random_seed(0)
    image = keras.Input((height, width, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, layers.Dense(classes, activation=activation)(x), name="theirs")
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


@pytest.fixture(scope="module")
def little(outside: Path, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a network that is converted sooner than `run`: the one above, with the scaling of pixels inside."""
    pixels = keras.Input((32, 32, 3))
    scaled = layers.Rescaling(1 / 255)(pixels)
    folder = tmp_path_factory.mktemp("little")
    shutil.copy(run / "run.json", folder)
    keras.Model(pixels, keras.models.load_model(outside)(scaled), name="little").save(folder / "model.keras")
    return folder


@pytest.fixture
def copy(little: Path, tmp_path: Path) -> Path:
    """A copy of the little run, not exported yet: its network."""
    return shutil.copytree(little, tmp_path / "copy") / "model.keras"


@pytest.fixture(scope="module")
def exported(little: Path, sample: Cifar10, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the little run with its exports."""
    folder = shutil.copytree(little, tmp_path_factory.mktemp("exported") / "copy")
    export(load_source(folder / "model.keras"), sample, ("float32", "int8"), licence="MIT")
    return folder


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
    quantize = operations(convert.convert(load_model(run / "model.keras"), "int8", dark))[0]
    assert quantize.inputs[0].type == "uint8"
    model = EdgeModel(run / "cnn-int8.tflite")
    assert (model.dtype, model.input_quantization) == (np.uint8, (1.0, 0))


def test_every_format(sample: Cifar10, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)  # with some weights an untrained network's int8 is off by more
    images, network = sample.test.images[::50], residual("little", (8, 1), ((16, 2),))
    expected = predict(network, images)
    for form in convert.FORMATS:
        graph = convert.convert(network, form, sample.train.images[::100])
        (tmp_path / form).write_bytes(graph)
        predicted = EdgeModel(tmp_path / form, pixel_range=(0, 255)).predict(images)
        assert np.abs(predicted - expected).max() < (1e-4 if form == "float32" else 0.1)
        types = {tensor.type for operation in operations(graph) for tensor in operation.outputs}
        assert ("float32" in types) == (form not in convert.CALIBRATED)


def test_a_float_operation_is_found(sample: Cifar10) -> None:
    image = keras.Input((32, 32, 3))
    x = keras.ops.cos(layers.Conv2D(4, 3)(image))
    planted = keras.Model(image, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))
    with pytest.raises(
        ExportError, match=r"int8 is not all integers: float remains in DEQUANTIZE \(.*, COS \(.*/Cos\)"
    ):
        convert.convert(planted, "int8", sample.train.images[::500])


def test_a_float_operation_inside_a_loop_is_found(tmp_path: Path, sample: Cifar10) -> None:
    image = keras.Input((16, 16, 3))
    x = layers.GRU(4)(layers.Reshape((16, 48))(image))
    recurrent = keras.Model(image, layers.Dense(4, activation="softmax")(x), name="recurrent")
    recurrent.save(tmp_path / "recurrent.keras")
    found = convert.other_than_integers(convert.convert(recurrent, "float32", np.zeros((1, 16, 16, 3), np.uint8)))
    assert {"WHILE", "LOGISTIC"} <= {name.partition(" ")[0] for name in found}
    with pytest.raises(ExportError, match=r"recurrent\.keras: int8 and int16x8 are not for a model with WHILE"):
        export(load_source(tmp_path / "recurrent.keras"), sample, ("int8",))


def test_an_operation_without_an_integer_form_is_refused(sample: Cifar10, tmp_path: Path) -> None:
    image = keras.Input((32, 32, 3))
    x = keras.ops.erfinv(keras.ops.tanh(layers.Flatten()(image)))
    keras.Model(image, layers.Dense(10, activation="softmax")(x), name="odd").save(tmp_path / "odd.keras")
    with pytest.raises(ExportError, match="odd: TensorFlow cannot convert it"):
        export(load_source(tmp_path / "odd.keras"), sample, ("int8",))
    assert list(content(tmp_path)) == ["odd.keras"]


def test_the_same_export_gives_the_same_bytes(exported: Path, copy: Path) -> None:
    command = [sys.executable, "-m", "cifar_edge", "export", copy, "--quantize", "--data", "sample", "--licence", "MIT"]
    subprocess.run(command, check=True, capture_output=True)
    for name in ("little-float32.tflite", "little-int8.tflite"):
        assert (exported / name).read_bytes() == (copy.parent / name).read_bytes()
    records = [json.loads((folder / "export.json").read_text()) for folder in (exported, copy.parent)]
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
    assert int8["drop"] == pytest.approx(float32["held_out"] - int8["held_out"])
    assert record["keras"]["held_out"] == pytest.approx(float32["held_out"], abs=0.01)
    assert record["keras"]["accuracy"] == pytest.approx(float32["accuracy"], abs=0.002)
    assert record["test_sha256"] == sample.test.digest
    assert int8["test_images"] == len(sample.test.labels)
    assert all(20 < decibels < 100 for decibels in int8["signal_to_noise"].values())
    names = [layer.name for layer in load_model(run / "model.keras").layers]
    layers_ = [name for name in int8["signal_to_noise"] if name != "output"]
    assert layers_ == [name for name in names if name.startswith(("conv2d", "dense", "probabilities"))]
    assert (run / "export.png").read_bytes().startswith(b"\x89PNG")


def test_the_worst_layers_are_named_first() -> None:
    assert worst_layers({"a": 30.4, "b": 10.0, "c": 40.0, "d": 20.0}) == "b (10 dB), d (20 dB), a (30 dB)"


def test_a_converted_model_that_does_something_else_is_refused(
    copy: Path, sample: Cifar10, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = convert.convert(residual("another", (8, 1), ()), "float32", sample.train.images[:1])
    monkeypatch.setattr(write, "convert", lambda *_: another)
    with pytest.raises(ExportError, match="float32 TFLite is not what Keras computes"):
        export(load_source(copy), sample)


def test_int8_weights_are_quantized_per_channel_and_bytes_go_in_and_out(run: Path) -> None:
    model = EdgeModel(run / "cnn-int8.tflite")
    assert (model.dtype, model.output_quantization) == (np.uint8, (1 / 256, 0))
    interpreter = Interpreter(str(run / "cnn-int8.tflite"))
    filters = [detail for detail in interpreter.get_tensor_details() if detail["shape"].tolist() == [64, 3, 3, 32]]
    assert [len(detail["quantization_parameters"]["scales"]) for detail in filters] == [64]


def test_calibration_images_are_balanced_and_never_held_out(sample: Cifar10) -> None:
    learn, _ = hold_out(sample.train)
    labels = {image.tobytes(): label for image, label in zip(learn.images, learn.labels, strict=True)}
    first, other = (calibration.from_training_set(sample.train, 200, seed).images for seed in (0, 1))
    assert np.bincount([labels[image.tobytes()] for image in first]).tolist() == [20] * 10
    assert not np.array_equal(first, other)
    assert np.array_equal(first, calibration.from_training_set(sample.train, 200, 0).images)


def test_a_network_is_not_judged_by_what_it_was_calibrated_with(copy: Path, sample: Cifar10) -> None:
    chosen = calibration.from_training_set(sample.train)
    judged = verification_images_for(load_source(copy), sample, chosen)
    assert len(judged.images) == 1000
    assert not {image.tobytes() for image in judged.images} & {image.tobytes() for image in chosen.images}
    assert (
        len(
            verification_images_for(load_source(copy), sample, calibration.from_training_set(sample.train, 4500)).images
        )
        == 1000
    )


def test_calibration_with_photos(copy: Path, tmp_path: Path, cifar_edge: Command) -> None:
    photos, others = (calibration.from_folder(PHOTOS, (20, 28), 10, seed).images for seed in (0, 1))
    assert (photos.shape, photos.dtype) == ((10, 20, 28, 3), np.uint8)
    assert not np.array_equal(photos, others)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no photos in there"):
        calibration.from_folder(tmp_path / "empty", (20, 28))
    arguments = ("--formats", "int8", "--calibration", PHOTOS, "--seed", 3, "--max-drop", 100)
    outcome = cifar_edge("export", copy, "--data", "sample", *arguments)
    assert outcome.code == 0
    record = json.loads((copy.parent / "export.json").read_text())["calibration"]
    assert (record["images"], record["unreadable"], record["source"], record["seed"]) == (27, 0, str(PHOTOS), 3)
    assert not (copy.parent / "little-float32.tflite").exists()


def test_a_drop_that_is_too_large_leaves_everything_as_it_was(exported: Path, black: Path, cifar_edge: Command) -> None:
    before = content(exported)
    outcome = cifar_edge("export", exported, "--data", "sample", "--quantize", "--calibration", black)
    assert outcome.code == 1
    assert "calibrating with 3 photos" in outcome.err
    assert "1 could not be read" in outcome.err
    assert "little-int8.tflite: nothing is written, because int8 loses" in outcome.err
    assert "points of top-1 on held-out images, more than 1 (--max-drop); most disturbed are" in outcome.err
    assert content(exported) == before


def test_a_model_of_unknown_classes_is_judged_by_its_answers(
    outside: Path, black: Path, tmp_path: Path, cifar_edge: Command
) -> None:
    told = ("--data", "sample", "--formats", "int8", "--pixel-range", "0,1", "--calibration", black)
    file = shutil.copy(outside, tmp_path)
    outcome = cifar_edge("export", file, *told)
    assert outcome.code == 1
    assert "% of answers, more than 10 (--max-drop)" in outcome.err
    assert list(content(tmp_path)) == ["outside.keras"]


def test_a_missing_255_is_found(outside: Path, tmp_path: Path, cifar_edge: Command) -> None:
    file = shutil.copy(outside, tmp_path)
    outcome = cifar_edge("export", file, "--data", "sample", "--labels", "cifar10")
    assert (outcome.code, "with --pixel-range 0,1; look up" in outcome.err) == (1, True)
    assert not list(tmp_path.glob("*.tflite"))
    assert cifar_edge("export", file, "--data", "sample", "--labels", "cifar10", "--pixel-range", "0,1").code == 0


def test_a_missing_255_is_found_whatever_a_run_s_classes_are_called(
    copy: Path, tmp_path: Path, cifar_edge: Command
) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("Flugzeug\nAuto\nVogel\nKatze\nHirsch\nHund\nFrosch\nPferd\nSchiff\nLaster\n")
    told = ("--data", "sample", "--labels", names)
    assert "with --pixel-range 0,255" in cifar_edge("export", copy, *told, "--pixel-range", "0,1").err
    assert cifar_edge("export", copy, *told).code == 0
    assert EdgeModel(copy.parent / "little-float32.tflite").labels[3] == "Katze"


def test_a_doubled_255_is_found(copy: Path, cifar_edge: Command) -> None:
    outcome = cifar_edge("export", copy, "--data", "sample", "--pixel-range", "0,1")
    assert (outcome.code, "with --pixel-range 0,255; look up" in outcome.err) == (1, True)


def test_swapped_labels_are_found(outside: Path, tmp_path: Path, cifar_edge: Command) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(reversed(CLASSES)))
    told = ("--data", "sample", "--pixel-range", "0,1", "--labels", names)
    outcome = cifar_edge("export", shutil.copy(outside, tmp_path), *told)
    assert outcome.code == 1
    assert "with the labels in the order" in outcome.err


def test_two_names_that_are_swapped_are_found(outside: Path, tmp_path: Path, cifar_edge: Command) -> None:
    names = tmp_path / "labels.txt"
    swapped = {"airplane": "ship", "ship": "airplane"}
    names.write_text("\n".join(swapped.get(name, name) for name in CLASSES))
    told = ("--data", "sample", "--pixel-range", "0,1", "--labels", names)
    outcome = cifar_edge("export", shutil.copy(outside, tmp_path), *told)
    assert outcome.code == 1
    assert "with the labels in the order " + " ".join(CLASSES) in outcome.err


def test_a_model_of_cifar10_at_another_size_is_judged_too(outside: Path, tmp_path: Path, sample: Cifar10) -> None:
    image = keras.Input((64, 64, 3))
    network = keras.models.load_model(outside)
    keras.Model(image, network(layers.AveragePooling2D(2)(image))).save(tmp_path / "large.keras")
    with pytest.raises(ExportError, match="with --pixel-range 0,1; look up"):
        export(load_source(tmp_path / "large.keras", CLASSES), sample)
    (file,) = export(load_source(tmp_path / "large.keras", CLASSES, (0.0, 1.0)), sample)
    assert file.accuracy is not None
    assert file.accuracy > 0.3


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


def test_files_in_one_folder_keep_apart(sample: Cifar10, tmp_path: Path) -> None:
    for name in ("one", "two"):
        other_people_s(tmp_path / f"{name}.keras")
        (file,) = export(load_source(tmp_path / f"{name}.keras"), sample)
        assert file.path == tmp_path / f"{name}-float32.tflite"
        assert json.loads((tmp_path / f"{name}-export.json").read_text())["source"] == f"{name}.keras"


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
    assert "exported already" in cifar_edge("export", run / "cnn-int8.tflite", "--data", "sample").err
    assert "--max-drop -1" in cifar_edge("export", copy, "--data", "sample", "--max-drop", -1).err
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
    assert sorted(content(copy.parent)) == ["model.keras", "run.json"]


def test_a_run_knows_its_data(run: Path, tmp_path: Path) -> None:
    assert Run(run).data_source == "sample"
    assert Run(tmp_path).data_source is None
