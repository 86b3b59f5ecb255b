from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from cifar_edge.data import Cifar10
from cifar_edge.errors import ExportError
from cifar_edge.export import convert
from cifar_edge.export.source import load_source
from cifar_edge.export.write import export
from cifar_edge.tflite.graph import operations
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.keras_file import load_model, predict
from cifar_edge.training.networks import residual
from tests.export.conftest import content


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


def test_int8_weights_are_quantized_per_channel_and_bytes_go_in_and_out(run: Path) -> None:
    model = EdgeModel(run / "cnn-int8.tflite")
    assert (model.dtype, model.output_quantization) == (np.uint8, (1 / 256, 0))
    interpreter = Interpreter(str(run / "cnn-int8.tflite"))
    filters = [detail for detail in interpreter.get_tensor_details() if detail["shape"].tolist() == [64, 3, 3, 32]]
    assert [len(detail["quantization_parameters"]["scales"]) for detail in filters] == [64]
