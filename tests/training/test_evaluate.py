from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge.data import Cifar10
from cifar_edge.errors import UsageError
from cifar_edge.training.evaluate import evaluate_file


def test_a_run_its_network_and_its_float32_export_are_as_good(run: Path, sample: Cifar10) -> None:
    places = (run, run / "model.keras", run / "cnn-float32.tflite")
    whole, network, exported = (evaluate_file(place, sample.test) for place in places)
    assert whole.accuracy == network.accuracy == pytest.approx(exported.accuracy, abs=0.002)
    assert whole.loss == pytest.approx(exported.loss, abs=1e-3)


def test_a_file_that_is_not_there_is_named(tmp_path: Path, sample: Cifar10) -> None:
    for name in ("no.keras", "no.tflite"):
        with pytest.raises(UsageError, match=rf"{name}: no such model file"):
            evaluate_file(tmp_path / name, sample.test)
