from __future__ import annotations

import numpy as np

from cifar_edge.export.plots import quantization_figure


def test_noise_by_layer_and_changed_answers_are_shown() -> None:
    exact = np.float32([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6]])
    quantized = np.float32([[0.9, 0.1], [0.3, 0.7], [0.4, 0.6]])
    figure = quantization_figure({"conv2d": 40.0, "dense": 30.0}, exact, quantized, ("cat", "dog"))
    noise, confusion = figure.axes
    assert [bar.get_width() for bar in noise.patches] == [40, 30]
    assert [text.get_text() for text in confusion.texts] == ["1", "1", "0", "1"]
    assert confusion.get_title() == "1 of 3 images change class"
