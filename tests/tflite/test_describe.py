from __future__ import annotations

from pathlib import Path

from cifar_edge import EdgeModel
from cifar_edge.data import CLASSES
from cifar_edge.tflite.describe import FIGURES, describe, shipped
from tests.tflite.test_card import foreign


def test_graph_and_card_are_described(run: Path, tmp_path: Path) -> None:
    facts = dict(describe(EdgeModel("nano")))
    assert facts["input"] == "32x32 pixels, uint8, scale 1, zero point 0"
    assert facts["output"].startswith("10 classes, scale 0.00390625")
    assert facts["operations"] == "13 (QUANTIZE, CONV_2D, MEAN, FULLY_CONNECTED, SOFTMAX)"
    assert facts["labels"] == " ".join(CLASSES)
    assert facts["accuracy"].endswith("% of 10,000 test images")
    assert facts["licence"] == "MIT"
    bare = describe(EdgeModel(foreign(run / "cnn-int8.tflite", tmp_path / "foreign.tflite")))
    assert bare[-1] == ("card", "none")
    assert [name for name, _ in bare[:-1]] == list(facts)[: len(bare) - 1]


def test_each_model_that_ships_has_all_figures() -> None:
    rows = shipped()
    assert {row[0] for row in rows} >= {"nano-int8", "small-int8"}
    assert {len(row) for row in rows} == {len(FIGURES)}
