from __future__ import annotations

import numpy as np

from cifar_edge.export.plots import quantization_figure


def test_changed_classes_are_counted() -> None:
    exact = np.eye(3, dtype=np.float32)[[0, 1, 2, 2]]
    changed = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    figure = quantization_figure({"conv": 30.0, "dense": 20.0}, exact, changed, ("a", "b", "c"))
    noise, confusion = figure.axes
    assert confusion.get_title() == "1 of 4 images change class"
    assert [bar.get_width() for bar in noise.patches] == [30.0, 20.0]
