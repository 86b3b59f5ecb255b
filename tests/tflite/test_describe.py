from __future__ import annotations

from cifar_edge import EdgeModel
from cifar_edge.tflite.describe import FIGURES, describe, shipped


def test_a_model_is_described_by_its_graph_and_its_card() -> None:
    facts = dict(describe(EdgeModel("nano")))
    assert facts["input"] == "32x32 pixels, uint8, scale 1, zero point 0"
    assert facts["output"].startswith("10 classes, scale 0.0039")
    assert facts["labels"].split()[3] == "cat"
    assert facts["licence"] == "MIT"
    assert "%" in facts["accuracy"]


def test_the_models_that_ship_have_all_figures() -> None:
    assert [row[0] for row in shipped()] == ["nano-int8", "small-int8", "nano-float32"][: len(shipped())]
    assert {len(row) for row in shipped()} == {len(FIGURES)}
