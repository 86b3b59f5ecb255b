from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cifar_edge.errors import ModelError
from cifar_edge.tflite.interpreter import litert, load_interpreter, random_pixels
from cifar_edge.tflite.names import find_model


class Asked(Exception):  # noqa: N818 - ends what is not looked at
    pass


def test_litert_gets_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def interpreter(model: bytes, threads: int, name: str) -> Any:
        raise Asked(threads)

    monkeypatch.setattr("cifar_edge.tflite.interpreter.load_interpreter", interpreter)
    with pytest.raises(Asked, match="3"):
        litert(b"", threads=3)


def test_images_or_random_pixels_go_in_and_scores_come_out() -> None:
    network = litert(find_model("nano"))
    images = np.zeros((1, 32, 32, 3), np.uint8)
    assert network(images).shape == network().shape == (1, 10)
    assert network(images).dtype == np.uint8


def test_a_graph_is_given_another_batch() -> None:
    content = find_model("nano-float32").read_bytes()
    interpreter = load_interpreter(content, shape=(2, 32, 32, 3))
    assert interpreter.get_input_details()[0]["shape"].tolist() == [2, 32, 32, 3]


def test_random_pixels_fill_the_range_of_their_type() -> None:
    for dtype, lowest, highest in ((np.int8, -128, 127), (np.uint8, 0, 255), (np.float32, 0, 255)):
        pixels = random_pixels((1, 32, 32, 3), dtype)
        assert (pixels.dtype, pixels.min(), pixels.max()) == (dtype, lowest, highest)


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"m\.tflite: not a TFLite model"):
        litert(tmp_path / "m.tflite")
