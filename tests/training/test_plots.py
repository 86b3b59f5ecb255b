from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from cifar_edge.training.plots import confusion_matrix, learning_curves
from cifar_edge.training.run import Epoch


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures, in place of their files."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path, **_: object) -> None:
        figures.append(figure)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_curves_are_those_of_the_history(drawn: list[Figure], tmp_path: Path) -> None:
    history = [Epoch(number, 2 / number, number / 9, 3 / number, number / 10, 0.1, 1.0) for number in (1, 2, 3)]
    learning_curves(history, "title", tmp_path / "curves.png")
    loss, accuracy = drawn[0].axes
    assert [list(line.get_ydata()) for line in loss.lines] == [[2, 1, 2 / 3], [3, 1.5, 1]]
    assert list(accuracy.lines[1].get_ydata()) == [0.1, 0.2, 0.3]
    assert list(accuracy.lines[1].get_xdata()) == [1, 2, 3]


def test_each_row_of_the_matrix_is_in_per_cent_of_its_class(drawn: list[Figure], tmp_path: Path) -> None:
    confusion_matrix(np.array([[3, 1], [0, 0]]), ("cat", "dog"), "title", tmp_path / "confusion.png")
    (axes,) = drawn[0].axes
    assert [text.get_text() for text in axes.texts] == ["75", "25", "0", "0"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
