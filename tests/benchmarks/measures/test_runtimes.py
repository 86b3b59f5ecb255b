from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifar_edge.benchmarks.measures import runtimes
from cifar_edge.benchmarks.measures.runtimes import LITERT, OTHERS, RUNTIMES
from cifar_edge.data import Cifar10
from cifar_edge.errors import ModelError
from tests.tflite.test_interpreter import Asked


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("batch", [1, 2])
def test_every_runtime_runs_the_same_network(
    runtime: str, batch: int, run: Path, sample: Cifar10, tmp_path: Path
) -> None:
    chosen = RUNTIMES[runtime]
    assert not chosen.missing
    file = run / "cnn-float32.tflite"
    images = sample.test.images[:batch].astype(np.float32)
    network = chosen.load(chosen.prepare(file, batch, tmp_path), 1, batch)
    one = LITERT.load(file, 1, 1)
    expected = np.concatenate([one(images[number : number + 1]) for number in range(batch)])
    np.testing.assert_allclose(network(images), expected, atol=1e-4)
    assert network().shape == (batch, 10)


def test_a_model_without_its_keras_file_is_not_for_tensorflow(run: Path, tmp_path: Path) -> None:
    shutil.copy(run / "cnn-int8.tflite", tmp_path)
    tensorflow = OTHERS[0]
    with pytest.raises(ModelError, match=r"cnn-int8\.tflite: no model\.keras beside it"):
        tensorflow.prepare(tmp_path / "cnn-int8.tflite", 1, tmp_path)


def test_others_get_their_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def session(file: str, options: Any, providers: list[str]) -> Any:
        raise Asked(options.intra_op_num_threads, options.inter_op_num_threads)

    tensorflow, onnx = OTHERS
    monkeypatch.setattr("onnxruntime.InferenceSession", session)
    with pytest.raises(Asked, match=r"\(3, 1\)"):
        onnx.load(tmp_path / "m.onnx", 3, 1)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    with pytest.raises(ValueError, match=r"m\.keras"):
        tensorflow.load(tmp_path / "m.keras", 3, 1)
    assert runtimes.os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
