from __future__ import annotations

import os
from pathlib import Path

import pytest

from cifar_edge import EdgeModel
from cifar_edge.errors import UsageError
from cifar_edge.tflite.names import find_model


def test_models_that_ship_are_found_by_name() -> None:
    assert EdgeModel("nano").card.name == "nano"
    assert find_model("small").name == "small-int8.tflite"
    assert find_model("nano-float32").name == "nano-float32.tflite"


def test_an_export_is_found_by_its_name(tmp_path: Path) -> None:
    for age, folder in enumerate(("newer", "older")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cnn-int8.tflite").touch()
        os.utime(tmp_path / folder / "cnn-int8.tflite", (1000 - age, 1000 - age))
    assert find_model(Path("cnn-int8"), tmp_path) == tmp_path / "newer" / "cnn-int8.tflite"
    older = tmp_path / "older" / "cnn-int8.tflite"
    assert find_model(older, tmp_path) == older
    for unknown in ("cnn-float32", "*", "older/cnn-int8"):
        with pytest.raises(UsageError, match="no such model file, none that ships"):
            find_model(Path(unknown), tmp_path)
