from __future__ import annotations

import shutil
from pathlib import Path

import keras
import pytest
from keras import layers

from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.errors import ExportError
from cifar_edge.export.source import load_source
from cifar_edge.export.write import export
from cifar_edge.tflite.model import EdgeModel
from tests.export.conftest import Command


def test_a_missing_255_is_found(outside: Path, tmp_path: Path, cifar_edge: Command) -> None:
    file = shutil.copy(outside, tmp_path)
    outcome = cifar_edge("export", file, "--data", "sample", "--labels", "cifar10")
    assert (outcome.code, "with --pixel-range 0,1; look up" in outcome.err) == (1, True)
    assert not list(tmp_path.glob("*.tflite"))
    assert cifar_edge("export", file, "--data", "sample", "--labels", "cifar10", "--pixel-range", "0,1").code == 0


def test_a_missing_255_is_found_whatever_a_run_s_classes_are_called(
    copy: Path, tmp_path: Path, cifar_edge: Command
) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("Flugzeug\nAuto\nVogel\nKatze\nHirsch\nHund\nFrosch\nPferd\nSchiff\nLaster\n")
    told = ("--data", "sample", "--labels", names)
    assert "with --pixel-range 0,255" in cifar_edge("export", copy, *told, "--pixel-range", "0,1").err
    assert cifar_edge("export", copy, *told).code == 0
    assert EdgeModel(copy.parent / "little-float32.tflite").labels[3] == "Katze"


def test_a_doubled_255_is_found(copy: Path, cifar_edge: Command) -> None:
    outcome = cifar_edge("export", copy, "--data", "sample", "--pixel-range", "0,1")
    assert (outcome.code, "with --pixel-range 0,255; look up" in outcome.err) == (1, True)


def test_swapped_labels_are_found(outside: Path, tmp_path: Path, cifar_edge: Command) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(reversed(CLASSES)))
    told = ("--data", "sample", "--pixel-range", "0,1", "--labels", names)
    outcome = cifar_edge("export", shutil.copy(outside, tmp_path), *told)
    assert outcome.code == 1
    assert "with the labels in the order" in outcome.err


def test_two_names_that_are_swapped_are_found(outside: Path, tmp_path: Path, cifar_edge: Command) -> None:
    names = tmp_path / "labels.txt"
    swapped = {"airplane": "ship", "ship": "airplane"}
    names.write_text("\n".join(swapped.get(name, name) for name in CLASSES))
    told = ("--data", "sample", "--pixel-range", "0,1", "--labels", names)
    outcome = cifar_edge("export", shutil.copy(outside, tmp_path), *told)
    assert outcome.code == 1
    assert "with the labels in the order " + " ".join(CLASSES) in outcome.err


def test_a_model_of_cifar10_at_another_size_is_judged_too(outside: Path, tmp_path: Path, sample: Cifar10) -> None:
    image = keras.Input((64, 64, 3))
    network = keras.models.load_model(outside)
    keras.Model(image, network(layers.AveragePooling2D(2)(image))).save(tmp_path / "large.keras")
    with pytest.raises(ExportError, match="with --pixel-range 0,1; look up"):
        export(load_source(tmp_path / "large.keras", CLASSES), sample)
    (file,) = export(load_source(tmp_path / "large.keras", CLASSES, (0.0, 1.0)), sample)
    assert file.accuracy is not None
    assert file.accuracy > 0.3
