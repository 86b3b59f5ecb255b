from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from cifar_edge import EdgeModel
from cifar_edge.data import CLASSES
from cifar_edge.errors import ModelError, UsageError
from cifar_edge.export.convert import convert
from cifar_edge.tflite.graph import pack, unpack
from cifar_edge.tflite.names import LARGEST, find_model


@pytest.fixture(scope="module")
def foreign() -> keras.Model:
    """A network of another size that says which third of the image is brightest."""
    image = keras.Input((24, 48, 3))
    means = keras.layers.AveragePooling2D((24, 16))(image)
    score = keras.layers.Conv2D(1, 1, kernel_initializer="ones", name="sum")(means)
    return keras.Model(image, keras.layers.Softmax()(keras.layers.Flatten()(score)), name="thirds")


def brightest(third: int) -> np.ndarray:
    image = np.full((1, 24, 48, 3), 40, np.uint8)
    image[:, :, 16 * third : 16 * third + 16] = 60
    return image


def test_labels_size_and_classes_come_from_the_file(run: Path) -> None:
    model = EdgeModel(run / "cnn-int8.tflite")
    assert (model.labels, model.height, model.width) == (CLASSES, 32, 32)


def test_a_model_without_a_card_and_of_another_size_works(foreign: keras.Model, tmp_path: Path) -> None:
    images = np.concatenate([brightest(third) for third in (0, 1, 2)])
    for name, content in ((name, convert(foreign, name, images)) for name in ("float32", "int8")):
        (tmp_path / name).write_bytes(content)
        model = EdgeModel(tmp_path / name)
        assert model.card is None
        assert (model.labels, model.height, model.width) == (("0", "1", "2"), 24, 48)
        probabilities = model.predict(images)
        assert (probabilities.shape, probabilities.dtype) == ((3, 3), np.float32)
        assert probabilities.argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_logits_of_a_model_without_a_card_become_probabilities(name: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    logits = keras.layers.Dense(3, kernel_initializer="random_normal")(keras.layers.Flatten()(image))
    network, images = keras.Model(image, logits), np.random.default_rng(1).integers(0, 256, (20, 16, 16, 3), np.uint8)
    (tmp_path / "logits.tflite").write_bytes(convert(network, name, images))
    model = EdgeModel(tmp_path / "logits.tflite")
    assert "logits for scores" in model.note
    assert np.allclose(model.predict(images), keras.ops.softmax(network(images.astype(np.float32))), atol=0.1)
    assert np.allclose(model.predict(images).sum(axis=1), 1)


@pytest.mark.parametrize("mixed", [False, True])
def test_images_of_one_call_get_what_they_get_alone(mixed: bool, tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 3))
    pixels = keras.layers.Conv2D(8, 3, kernel_initializer="random_normal")(image / 255)
    if mixed:  # with those of a neighbour, should a call ever take several images
        twice = keras.ops.concatenate([pixels, pixels], axis=0)
        pixels = pixels + keras.ops.slice(twice, (1, 0, 0, 0), (1, *pixels.shape[1:]))
    means = keras.layers.GlobalAveragePooling2D()(pixels)
    scores = keras.layers.Dense(3, "softmax", kernel_initializer="random_normal")(100 * means)
    bright = np.linspace(16, 256, 37, dtype=int)[:, None, None, None]
    images = np.random.default_rng(1).integers(0, bright, (37, 16, 16, 3), np.uint8)
    (tmp_path / "model.tflite").write_bytes(convert(keras.Model(image, scores), "int8", images))
    model = EdgeModel(tmp_path / "model.tflite")
    alone = np.concatenate([model.predict(image[None]) for image in images])
    assert len(np.unique(alone, axis=0)) > 10
    with ThreadPoolExecutor(4) as threads:
        for together in threads.map(model.predict, [images] * 20):
            assert np.array_equal(together, alone)


def test_predictions_do_not_depend_on_neighbours(run: Path, sample: object) -> None:
    model = EdgeModel(run / "cnn-int8.tflite", threads=2)
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    together = model.predict(images)
    assert np.array_equal(together, np.concatenate([model.predict(image[None]) for image in images]))
    assert model.predict(images[:0]).shape == (0, 10)
    for wrong in (images[0], images[:, :16], images.astype(np.float32)):
        with pytest.raises(UsageError, match=r"takes uint8 images \(N, 32, 32, 3\)"):
            model.predict(wrong)


def test_what_is_no_model_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.tflite: no such model file"):
        EdgeModel(tmp_path / "gone.tflite")
    content = (run / "cnn-int8.tflite").read_bytes()
    for name, wrong in (("text", b"hello"), ("empty", b""), ("truncated", content[:100_000]), ("zeros", bytes(9999))):
        (tmp_path / name).write_bytes(wrong)
        with pytest.raises(ModelError, match=f"{name}: (not a TFLite model|edited or cut off)"):
            EdgeModel(tmp_path / name)


def test_a_model_for_something_else_is_refused(tmp_path: Path) -> None:
    vector = keras.Input((8,))
    network = keras.Model(vector, keras.layers.Dense(3)(vector))
    network.export(str(tmp_path / "saved"), format="tf_saved_model", verbose=False)
    import tensorflow as tf

    (tmp_path / "vector.tflite").write_bytes(
        tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved")).convert()
    )
    with pytest.raises(ModelError, match=r"vector\.tflite: not an image classifier"):
        EdgeModel(tmp_path / "vector.tflite")


def changed(name: str, change: Callable[[Any, Any, Any], None]) -> bytes:
    """Return a model that ships, changed and without its card; a change gets the graph, its input and its output."""
    model = unpack(find_model(name).read_bytes())
    for entry in model.metadata:
        model.buffers[entry.buffer].data = None
    model.metadata, graph = None, model.subgraphs[0]
    change(graph, graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]])
    return pack(model)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda graph, source, target: setattr(source, "name", b"\xff\xfe"), "not a TFLite model .*utf-8"),
        (lambda graph, source, target: setattr(target, "name", b"\xff\xfe"), "not a TFLite model .*utf-8"),
        (lambda graph, source, target: setattr(source, "type", 5), "not a TFLite model that runs here"),
        (lambda graph, source, target: setattr(graph, "operators", []), "not a TFLite model .*data is null"),
        (lambda graph, source, target: setattr(graph.tensors[graph.operators[1].inputs[1]], "buffer", 0), ".*data"),
        (lambda graph, source, target: setattr(graph, "inputs", []), r"not an image classifier: takes 0 tensors"),
        (lambda graph, source, target: setattr(graph, "outputs", []), r"not an image classifier: .* gives 0,"),
        (lambda graph, source, target: setattr(graph, "outputs", graph.inputs), "not an image classifier"),
        (lambda graph, source, target: setattr(graph, "outputs", [*graph.outputs, 3]), "not an image classifier"),
    ],
)
def test_a_graph_that_litert_refuses_is_named(change: Callable[[Any, Any, Any], None], reason: str) -> None:
    with pytest.raises(ModelError, match=rf"^odd\.tflite: {reason}"):
        EdgeModel.from_bytes(changed("nano", change), "odd.tflite")


def test_quantization_of_a_float_input_does_not_count() -> None:
    quantization = schema.QuantizationParametersT(scale=[0.5], zeroPoint=[3])
    content = changed("nano-float32", lambda graph, source, target: setattr(source, "quantization", quantization))
    model = EdgeModel.from_bytes(content, "m.tflite")
    assert (model.input_quantization, model.pixel_range) == ((0, 0), (0, 255))


@pytest.mark.parametrize("pixel_range", [(0, 0), (255, 255), (0, 0.1), (0, float("nan")), (float("-inf"), 0)])
def test_a_pixel_range_without_contrast_is_refused(pixel_range: tuple[float, float]) -> None:
    bare = changed("nano", lambda *_: None)
    assert EdgeModel.from_bytes(bare, "m.tflite", pixel_range=(255, 0)).pixel_range == (255, 0)
    with pytest.raises(UsageError, match=r"^m\.tflite: pixels from .* to .* are all the same to it"):
        EdgeModel.from_bytes(bare, "m.tflite", pixel_range=pixel_range)


def test_a_huge_or_foreign_file_is_not_read(tmp_path: Path) -> None:
    for name, head, size in (("huge", b"\x1c\0\0\0TFL3", LARGEST + 1), ("zeros", b"", LARGEST // 2)):
        (tmp_path / name).write_bytes(head)
        os.truncate(tmp_path / name, size)
        tracemalloc.start()
        with pytest.raises(ModelError, match=f"{name}: (has 1.1 GB, and a model has 1.1 at most|not a TFLite model)"):
            EdgeModel(tmp_path / name)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1_000_000


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_loading_takes_no_more_than_one_large_image(name: str) -> None:
    image = keras.Input((1024, 1024, 3))
    scores = keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D()(image))
    content = convert(keras.Model(image, scores), name, np.zeros((1, 1024, 1024, 3), np.uint8))
    tracemalloc.start()
    model = EdgeModel.from_bytes(content, "large.tflite")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * 1024 * 1024 * 3 * (1 + model.dtype.itemsize)


def converted(image: Any, scores: Any) -> bytes:
    import tensorflow as tf

    content: bytes = tf.lite.TFLiteConverter.from_keras_model(keras.Model(image, scores)).convert()
    return content


def level(image: Any, axes: tuple[int, ...] = (1, 2, 3)) -> Any:
    """Return how bright an image of 0-255 is, 0-1, as (N, 1)."""
    return keras.ops.reshape(keras.ops.mean(image, axes) / 255, (-1, 1))


DARK_AND_BRIGHT = np.stack([np.full((8, 8, 3), value, np.uint8) for value in (10, 240)])


@pytest.mark.parametrize("layout", ["grey", "channels first", "four dimensions", "sigmoid", "any size"])
def test_layouts_of_other_peoples_models(layout: str, tmp_path: Path) -> None:
    shape = {"grey": (8, 8, 1), "channels first": (3, 8, 8), "any size": (None, None, 3)}.get(layout, (8, 8, 3))
    image = keras.Input(shape, batch_size=1)
    bright = level(image)
    scores = bright if layout == "sigmoid" else keras.ops.concatenate([1 - bright, bright], axis=1)
    if layout == "four dimensions":
        scores = keras.ops.reshape(scores, (1, 1, 1, 2))
    (tmp_path / "m.tflite").write_bytes(converted(image, scores))
    size = (8, 8) if layout == "any size" else None
    model = EdgeModel(tmp_path / "m.tflite", labels=["bright"] if layout == "sigmoid" else None, image_size=size)
    answers = model.predict(DARK_AND_BRIGHT)
    np.testing.assert_allclose(answers, [[245 / 255, 10 / 255], [15 / 255, 240 / 255]], atol=1e-3)
    assert model.labels == (("not bright", "bright") if layout == "sigmoid" else ("0", "1"))
    assert (model.height, model.width) == (8, 8)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ("any size", "takes images of any size; say which size \\(--image-size\\)"),
        ("batch", "takes 4 images at a time"),
        ("one number", "gives one number, which is no probability"),
    ],
)
def test_what_would_answer_nonsense_is_refused(layout: str, reason: str, tmp_path: Path) -> None:
    image = keras.Input(
        (None, None, 3) if layout == "any size" else (8, 8, 3), batch_size=4 if layout == "batch" else 1
    )
    bright = level(image)
    scores = 100 * bright if layout == "one number" else keras.ops.concatenate([1 - bright, bright], axis=1)
    (tmp_path / "m.tflite").write_bytes(converted(image, scores))
    with pytest.raises(ModelError, match=rf"m\.tflite: .*{reason}"):
        EdgeModel(tmp_path / "m.tflite")
