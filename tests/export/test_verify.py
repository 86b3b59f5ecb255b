from __future__ import annotations

from pathlib import Path

import numpy as np

from cifar_edge.data import Cifar10
from cifar_edge.export.verify import worst_layers
from cifar_edge.tflite.model import EdgeModel
from cifar_edge.training.keras_file import load_model, predict


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


def test_the_worst_layers_are_named_first() -> None:
    assert worst_layers({"a": 30.4, "b": 10.0, "c": 40.0, "d": 20.0}) == "b (10 dB), d (20 dB), a (30 dB)"
