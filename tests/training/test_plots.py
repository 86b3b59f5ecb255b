from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from cifar_edge.training.plots import confusion_matrix, learning_curves
from cifar_edge.training.run import Epoch


def test_pictures_are_drawn(tmp_path: Path) -> None:
    history = [Epoch(number, 2 / number, 0.1 * number, 2.1 / number, 0.1, 0.01, 1.0) for number in range(1, 6)]
    learning_curves(history, "cnn", tmp_path / "curves.png")
    confusion_matrix(np.diag([3, 2, 1]), ("a", "b", "c"), "cnn", tmp_path / "confusion.png")
    for picture in tmp_path.iterdir():
        with Image.open(picture) as image:
            assert image.width > 400
            assert len(set(image.convert("RGB").resize((50, 50)).get_flattened_data())) > 10
