from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path

import keras
import pytest
from keras import layers

from cifar_edge.data import CLASSES, Cifar10
from cifar_edge.errors import ExportError, ModelError, UsageError
from cifar_edge.export import convert, write
from cifar_edge.export.source import load_source
from cifar_edge.export.write import export
from cifar_edge.training.keras_file import load_model
from cifar_edge.training.networks import residual
from tests.export.conftest import Command, content, other_people_s


def test_every_figure_is_kept(run: Path, sample: Cifar10) -> None:
    record = json.loads((run / "export.json").read_text())
    float32, int8 = record["files"]
    assert (float32["format"], int8["path"]) == ("float32", "cnn-int8.tflite")
    assert float32["from_keras"]["images"] >= 1000
    assert float32["from_keras"]["difference"] < 1e-4
    assert 0.95 < int8["from_float32"]["agreement"] <= 1
    assert int8["drop"] == pytest.approx(float32["held_out"] - int8["held_out"])
    assert record["keras"]["held_out"] == pytest.approx(float32["held_out"], abs=0.01)
    assert record["keras"]["accuracy"] == pytest.approx(float32["accuracy"], abs=0.002)
    assert record["test_sha256"] == sample.test.digest
    assert int8["test_images"] == len(sample.test.labels)
    assert all(20 < decibels < 100 for decibels in int8["signal_to_noise"].values())
    names = [layer.name for layer in load_model(run / "model.keras").layers]
    layers_ = [name for name in int8["signal_to_noise"] if name != "output"]
    assert layers_ == [name for name in names if name.startswith(("conv2d", "dense", "probabilities"))]
    assert (run / "export.png").read_bytes().startswith(b"\x89PNG")


def test_a_converted_model_that_does_something_else_is_refused(
    copy: Path, sample: Cifar10, monkeypatch: pytest.MonkeyPatch
) -> None:
    another = convert.convert(residual("another", (8, 1), ()), "float32", sample.train.images[:1])
    monkeypatch.setattr(write, "convert", lambda *_: another)
    with pytest.raises(ExportError, match="float32 TFLite is not what Keras computes"):
        export(load_source(copy), sample)


def test_a_drop_that_is_too_large_leaves_everything_as_it_was(exported: Path, black: Path, cifar_edge: Command) -> None:
    before = content(exported)
    outcome = cifar_edge("export", exported, "--data", "sample", "--quantize", "--calibration", black)
    assert outcome.code == 1
    assert "calibrating with 3 photos" in outcome.err
    assert "1 could not be read" in outcome.err
    assert "little-int8.tflite: nothing is written, because int8 loses" in outcome.err
    assert "points of top-1 on held-out images, more than 1 (--max-drop); most disturbed are" in outcome.err
    assert content(exported) == before


def test_a_model_of_unknown_classes_is_judged_by_its_answers(
    outside: Path, black: Path, tmp_path: Path, cifar_edge: Command
) -> None:
    told = ("--data", "sample", "--formats", "int8", "--pixel-range", "0,1", "--calibration", black)
    file = shutil.copy(outside, tmp_path)
    outcome = cifar_edge("export", file, *told)
    assert outcome.code == 1
    assert "% of answers, more than 10 (--max-drop)" in outcome.err
    assert list(content(tmp_path)) == ["outside.keras"]


def test_files_in_one_folder_keep_apart(sample: Cifar10, tmp_path: Path) -> None:
    for name in ("one", "two"):
        other_people_s(tmp_path / f"{name}.keras")
        (file,) = export(load_source(tmp_path / f"{name}.keras"), sample)
        assert file.path == tmp_path / f"{name}-float32.tflite"
        assert json.loads((tmp_path / f"{name}-export.json").read_text())["source"] == f"{name}.keras"


def test_what_cannot_be_exported_is_refused(run: Path, copy: Path, sample: Cifar10, cifar_edge: Command) -> None:
    folder = copy.parent
    vector = keras.Input((8,))
    keras.Model(vector, layers.Dense(3)(vector)).save(folder / "vector.keras")
    with pytest.raises(ModelError, match=r"vector\.keras: takes \(None, 8\), but"):
        load_source(folder / "vector.keras")
    (folder / "broken.keras").write_bytes((run / "model.keras").read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"broken\.keras: not a Keras model"):
        load_source(folder / "broken.keras")
    with pytest.raises(UsageError, match="9 labels for 10 outputs"):
        load_source(copy, CLASSES[:9])
    assert "exported already" in cifar_edge("export", run / "cnn-int8.tflite", "--data", "sample").err
    assert "--max-drop -1" in cifar_edge("export", copy, "--data", "sample", "--max-drop", -1).err
    assert "unknown format int4" in cifar_edge("export", copy, "--data", "sample", "--formats", "int4,int8").err
    assert cifar_edge("export", copy, "--data", "sample", "--formats", "int8", "--quantize").code == 2


def test_a_full_disk(copy: Path, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def convert_and_fill_the_disk(*arguments: object) -> bytes:
        graph = convert.convert(*arguments)  # type: ignore[arg-type]
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(graph) + 100, unlimited[1]))
        return graph

    monkeypatch.setattr(write, "convert", convert_and_fill_the_disk)
    try:
        outcome = cifar_edge("export", copy, "--data", "sample")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert (outcome.code, "File too large" in outcome.err) == (1, True)
    assert sorted(content(copy.parent)) == ["model.keras", "run.json"]
