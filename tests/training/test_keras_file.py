from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

from cifar_edge.data import Cifar10
from cifar_edge.errors import ModelError
from cifar_edge.training.keras_file import load_model, load_network, predict
from cifar_edge.training.run import Run


def test_the_test_figures_are_those_of_the_saved_model(run: Path, sample: Cifar10) -> None:
    predicted = predict(load_model(run / "model.keras"), sample.test.images).argmax(axis=1)
    assert Run(run).record["result"]["test_accuracy"] == (predicted == sample.test.labels).mean()


def test_the_reason_is_not_lost_in_the_architecture_of_keras_3(tmp_path: Path) -> None:
    class Mine(layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    for suffix in (".keras", ".h5"):
        keras.Sequential([keras.Input((8, 8, 3)), Mine(), layers.Flatten()]).save(tmp_path / f"mine{suffix}")
        with pytest.raises(ModelError, match="Mine") as caught:
            load_network(tmp_path / f"mine{suffix}")
        assert len(str(caught.value).removeprefix(str(tmp_path))) < 200
