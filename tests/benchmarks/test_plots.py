from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from cifar_edge.benchmarks.measures.corruptions import FAMILIES
from cifar_edge.benchmarks.plots import different, draw, pareto_front
from cifar_edge.benchmarks.record import Record
from cifar_edge.data import Split


@pytest.fixture
def photos() -> Split:
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    return Split(images, np.array([3, 3, 8, 0], np.uint8))


def drawn(record: Record, images: Split, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Figure | None:
    """Draw, and return one of the figures in place of its file."""
    figures: dict[str, Figure] = {}

    def keep(figure: Figure, path: Path, **_: object) -> None:
        figures[path.name.removeprefix(".").partition(".")[0]] = figure
        path.touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    draw(record, images, folder)
    return figures.get(name)


def test_the_front_is_what_nothing_cheaper_equals() -> None:
    costs, gains = [3.0, 1.0, 2.0, 4.0, 1.0], [0.9, 0.5, 0.5, 0.8, 0.4]
    assert pareto_front(costs, gains) == [1, 0]
    assert pareto_front([2.0, 1.0], [0.9, 0.8]) == [1, 0]


def test_accuracy_against_latency(made: Record, photos: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = drawn(made, photos, tmp_path, monkeypatch, "accuracy-latency")
    assert figure is not None
    clean, corrupted = figure.axes
    assert np.array_equal(clean.lines[0].get_xydata(), [(20, 80), (50, 88), (100, 90)])
    assert np.allclose(corrupted.lines[0].get_xydata(), [(20, 69), (50, 77), (100, 79)])
    places = [mark.get_offsets()[0] for mark in clean.collections]
    assert np.allclose(places, [(100, 90), (50, 88), (20, 80), (60, 85)])
    assert clean.get_legend() is None  # it would lie on a marker


def test_a_model_that_did_not_run_is_not_in_the_picture(
    made: Record, photos: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.models[0] = dataclasses.replace(made.models[0], timings=made.models[0].timings[1:])  # TensorFlow alone
    figure = drawn(made, photos, tmp_path, monkeypatch, "accuracy-latency")
    assert figure is not None
    assert np.array_equal(figure.axes[0].lines[0].get_xydata(), [(20, 80), (50, 88)])
    made.models[:] = [dataclasses.replace(model, timings=[]) for model in made.models]
    assert drawn(made, photos, tmp_path, monkeypatch, "accuracy-latency") is None


def test_each_family_has_its_panel(
    made: Record, photos: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn(made, photos, tmp_path, monkeypatch, "severity")
    assert figure is not None
    for number, (axes, family) in enumerate(zip(figure.axes, FAMILIES, strict=True), start=1):
        assert axes.get_title() == family.replace("_", " ")
        expected = [90, *(90 - number - severity for severity in range(1, 6))]
        assert np.allclose(axes.lines[0].get_xydata(), list(enumerate(expected)))


def test_the_heat_map_has_readable_numbers(
    made: Record, photos: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn(made, photos, tmp_path, monkeypatch, "corruptions")
    assert figure is not None
    (axes,) = figure.axes
    assert "ours" in axes.get_title()
    assert [text.get_text() for text in axes.texts[:3]] == ["90.0", "79.0", "86.0"]
    (picture,) = axes.images
    for text in axes.texts:
        column, row = text.get_position()
        grey = picture.to_rgba(picture.get_array()[round(row), round(column)])[0]
        assert abs(grey - (text.get_color() == "white")) > 0.4


def test_samples_are_of_different_classes(photos: Split) -> None:
    assert different(photos.labels) == [0, 2]
