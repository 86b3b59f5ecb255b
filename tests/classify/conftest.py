from __future__ import annotations

from pathlib import Path

import pytest

from cifar_edge import EdgeModel


@pytest.fixture(scope="module")
def model(run: Path) -> EdgeModel:
    return EdgeModel(run / "cnn-int8.tflite")
