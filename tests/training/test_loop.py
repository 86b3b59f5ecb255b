from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.data import Cifar10, Split, hold_out
from cifar_edge.errors import Interrupted, ModelError, UsageError
from cifar_edge.training import plots
from cifar_edge.training.keras_file import load_model, predict
from cifar_edge.training.loop import Trapezoid, fit_epoch, fitted, new_model, resume, train
from cifar_edge.training.networks import NETWORKS
from cifar_edge.training.recipe import recipe_for
from cifar_edge.training.run import Run
from tests.conftest import ROOT
from tests.little import little_network


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a network that is trained in no time, and drawn no pictures of."""
    monkeypatch.setitem(NETWORKS, "ann", little_network)
    for picture in ("learning_curves", "confusion_matrix"):
        monkeypatch.setattr(plots, picture, lambda *_: None)
    return "ann"


def test_a_run_has_all_its_files_and_learns(run: Path, sample: Cifar10) -> None:
    assert not (run / "checkpoint").exists()
    record = json.loads((run / "run.json").read_text())
    assert record["recipe"]["model"] == "cnn"
    assert record["data"]["test"] == {"images": 1000, "sha256": sample.test.digest}
    assert {"keras", "tensorflow", "python", "cifar-edge"} <= set(record["versions"])
    assert record["result"]["test_accuracy"] > 0.35
    history = Run(run).read_history()
    assert [row.epoch for row in history] == [1]
    assert history[0].loss < 2  # that of chance is 2.3
    for picture in ("curves.png", "confusion.png"):
        assert Image.open(run / picture).size[0] > 600


def test_the_best_epoch_on_held_out_images_is_selected(little: str, tiny: Cifar10, tmp_path: Path) -> None:
    # At this constant rate accuracy goes up and down.
    recipe = recipe_for(little, epochs=6, optimizer="rmsprop", learning_rate=5e-3, schedule="constant")
    train(recipe, tiny, tmp_path / "run")
    history = Run(tmp_path / "run").read_history()
    _, select = hold_out(tiny.train)
    predicted = predict(load_model(tmp_path / "run" / "model.keras"), select.images).argmax(axis=1)
    best = max(row.val_accuracy for row in history)
    assert np.isclose((predicted == select.labels).mean(), best)
    assert history[-1].val_accuracy < best


class KeyboardInterruptAt:
    """Presses Ctrl-C after a number of steps, once."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, done: int, total: int, doing: str, logs: dict[str, float]) -> None:
        assert 0 < done <= total
        assert logs["loss"] > 0
        if done == self.step:
            raise KeyboardInterrupt


def test_an_interrupted_run_ends_as_an_uninterrupted_one(little: str, tiny: Cifar10, run: Path, tmp_path: Path) -> None:
    """Dropout, augmentation, momentum, order, schedule, answers: all go on as if nothing had happened."""
    options = {"optimizer": "muon", "schedule": "trapezoid", "augment": "standard"}
    recipe = recipe_for(little, epochs=4, batch_size=96, teacher=str(run / "cnn-int8.tflite"), cycle=2, **options)
    train(recipe, tiny, tmp_path / "whole")
    with pytest.raises(Interrupted, match=r"after 2 of 4 epochs; go on with `cifar-edge train --resume --run"):
        train(recipe, tiny, tmp_path / "parts", KeyboardInterruptAt(11))
    assert not (tmp_path / "parts" / "model.keras").exists()
    assert len(list((tmp_path / "parts" / "checkpoint").glob("answers-*.npy"))) == 2
    resume(tmp_path / "parts", tiny)
    whole, parts = (Run(tmp_path / name).read_history() for name in ("whole", "parts"))
    assert [row.epoch for row in parts] == [1, 2, 3, 4]
    assert np.allclose([row.loss for row in whole], [row.loss for row in parts], rtol=1e-4)
    rates = [row.learning_rate for row in whole]
    assert rates == [row.learning_rate for row in parts]
    assert rates[1] == rates[0]  # in the second of four epochs `trapezoid` is still at its peak
    models = (load_model(tmp_path / name / "model.keras") for name in ("whole", "parts"))
    assert np.allclose(*(predict(model, tiny.test.images) for model in models), atol=1e-3)


def test_what_does_not_fit_an_interrupted_run_is_refused(little: str, tiny: Cifar10, run: Path, tmp_path: Path) -> None:
    teacher, stopped = tmp_path / "teacher.tflite", Run(tmp_path / "run")
    shutil.copy(run / "cnn-int8.tflite", teacher)
    with pytest.raises(Interrupted, match="after 0 of 2 epochs"):
        train(recipe_for(little, epochs=2, teacher=str(teacher)), tiny, stopped.folder, KeyboardInterruptAt(2))
    with pytest.raises(Interrupted, match="after 1 of 2 epochs"):
        resume(stopped.folder, tiny, KeyboardInterruptAt(5))
    stopped.check_same(model=little, epochs=2, seed=None)
    with pytest.raises(UsageError, match="was started with epochs 2, cannot go on with 9"):
        stopped.check_same(epochs=9)
    other = Cifar10(Split(tiny.train.images[::-1], tiny.train.labels[::-1]), tiny.test, "elsewhere")
    with pytest.raises(UsageError, match="other data"):
        resume(stopped.folder, other)
    shutil.copy(run / "cnn-float32.tflite", teacher)
    with pytest.raises(UsageError, match=r"teacher\.tflite is another model now than when this run was started"):
        resume(stopped.folder, tiny)
    shutil.copy(run / "cnn-int8.tflite", teacher)
    history, checkpoint = stopped.folder / "history.csv", stopped.checkpoint_of(1)
    for file, content, complaint in (
        (history, "", r"history\.csv: "),
        (history, "epoch,loss\nx,y\n", r"history\.csv: "),
        (checkpoint, "nothing", "checkpoint cannot be loaded"),
    ):
        kept = file.read_bytes()
        file.write_text(content)
        with pytest.raises((UsageError, ModelError), match=complaint):
            resume(stopped.folder, tiny)
        file.write_bytes(kept)
    # As after a kill between history and checkpoint: the second epoch is repeated.
    stopped.write_history([*stopped.read_history(), stopped.read_history()[-1]])
    resume(stopped.folder, tiny)
    assert [row.epoch for row in stopped.read_history()] == [1, 2]
    with pytest.raises(UsageError, match="finished"):
        resume(stopped.folder, tiny)


def test_two_processes_cannot_train_the_same_run(little: str, tiny: Cifar10, tmp_path: Path) -> None:
    def meddle(done: int, total: int, doing: str, logs: dict[str, float]) -> None:
        with pytest.raises(UsageError, match="another process"):
            resume(tmp_path / "run", tiny)

    train(recipe_for(little, epochs=1, batch_size=500), tiny, tmp_path / "run", meddle)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "rmsprop", "lion", "muon"])
def test_every_optimizer_learns(optimizer: str, little: str, tiny: Cifar10) -> None:
    recipe = recipe_for(little, optimizer=optimizer, epochs=2, batch_size=20)
    model, some = new_model(recipe, 10), Split(*(part[:200] for part in tiny.train))
    first, second = (fit_epoch(model, recipe, some, epoch) for epoch in range(2))
    assert second["loss"] < first["loss"]


def test_in_mixed_precision_layers_compute_in_bfloat16_and_weights_are_float32() -> None:
    mixed, usual = (new_model(recipe_for("cnn", precision=name), 1) for name in ("mixed_bfloat16", None))
    # Between the scaling of pixels and the probabilities, which are float32 always.
    computed = [{layer.compute_dtype for layer in model.layers[2:-1]} for model in (mixed, usual)]
    assert computed == [{"bfloat16"}, {"float32"}]
    assert {weight.dtype for weight in mixed.weights} == {"float32"}


def test_trains_with_jax_and_in_mixed_precision_too(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="jax is missing")
    script = """
import sys
from pathlib import Path
class NoTensorFlow:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "tensorflow":
            raise ImportError("not needed, and slow to load")
sys.meta_path.insert(0, NoTensorFlow)
from cifar_edge.data import Cifar10, Split, load_cifar10
from cifar_edge.training.loop import train
from cifar_edge.training.networks import NETWORKS
from cifar_edge.training.recipe import recipe_for
from tests.little import little_network
NETWORKS["ann"] = little_network
tiny = Cifar10(*(Split(split.images[::25], split.labels[::25]) for split in load_cifar10("sample")[:2]), "sample")
train(recipe_for("ann", epochs=1, augment="standard", precision="mixed_bfloat16"), tiny, Path(sys.argv[1]))
"""
    # What is compiled runs twice: it takes longer to optimize than to compute.
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "run"], env=environment, cwd=ROOT, check=True)
    record = Run(tmp_path / "run").record
    assert record["versions"]["backend"] == "jax"
    assert record["recipe"]["precision"] == "mixed_bfloat16"
    model = load_model(tmp_path / "run" / "model.keras")
    assert model.count_params() == little_network().count_params()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_a_trapezoid_rises_stays_and_falls_to_zero() -> None:
    rate = Trapezoid(0.2, 100)
    rates = [float(rate(step)) for step in (0, 1, 5, 30, 60, 80, 100)]
    assert np.allclose(rates, [0, 0.04, 0.2, 0.2, 0.2, 0.1, 0])


def test_the_epochs_fit_into_the_minutes(little: str, tiny: Cifar10, run: Path) -> None:
    recipe = recipe_for(little, epochs=3, batch_size=32)
    one, more = (fitted(recipe, tiny, minutes).epochs for minutes in (1e-6, 10))
    assert one == 1 < more <= 9999
    taught = recipe_for(little, teacher=str(run / "cnn-float32.tflite"), cycle=2, batch_size=32)
    assert fitted(taught, tiny, 0.1).epochs > 2
