from __future__ import annotations

from pathlib import Path

from cifar_edge.data import Cifar10
from cifar_edge.training.keras_file import load_model, predict
from cifar_edge.training.run import Run


def test_the_test_figures_are_those_of_the_saved_model(run: Path, sample: Cifar10) -> None:
    predicted = predict(load_model(run / "model.keras"), sample.test.images).argmax(axis=1)
    assert Run(run).record["result"]["test_accuracy"] == (predicted == sample.test.labels).mean()
