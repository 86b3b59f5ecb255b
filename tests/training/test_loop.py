from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cifar_edge.data import Cifar10, Split
from cifar_edge.errors import Interrupted, UsageError
from cifar_edge.training.inference import load_model, predict
from cifar_edge.training.loop import resume, train
from cifar_edge.training.recipe import recipe_for
from cifar_edge.training.run import Run


def test_a_run_has_all_its_files_and_learns(run: Path, sample: Cifar10) -> None:
    assert not (run / "checkpoint").exists()
    record = json.loads((run / "run.json").read_text())
    assert record["recipe"]["model"] == "cnn"
    assert record["data"]["test"] == {"images": 1000, "sha256": sample.test.digest}
    assert {"keras", "tensorflow", "python", "cifar-edge"} <= set(record["versions"])
    assert record["result"]["test_accuracy"] > 0.35
    history = Run(run).read_history()
    assert [row.epoch for row in history] == [1, 2, 3]
    assert history[-1].loss < history[0].loss
    for picture in ("curves.png", "confusion.png"):
        assert Image.open(run / picture).size[0] > 600


def test_the_test_figures_are_those_of_the_saved_model(run: Path, sample: Cifar10) -> None:
    predicted = predict(load_model(run / "model.keras"), sample.test.images).argmax(axis=1)
    assert Run(run).record["result"]["test_accuracy"] == (predicted == sample.test.labels).mean()


def test_the_best_epoch_on_held_out_images_is_selected(tiny: Cifar10, tmp_path: Path) -> None:
    # At this rate every later epoch is worse than the first.
    train(recipe_for("ann", epochs=3, optimizer="sgd", learning_rate=5.0, schedule="constant"), tiny, tmp_path / "run")
    history = Run(tmp_path / "run").read_history()
    best = max(row.val_accuracy for row in history)
    assert Run(tmp_path / "run").record["result"]["validation_accuracy"] == best


class KeyboardInterruptAt:
    """Presses Ctrl-C after a number of steps, once."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, done: int, total: int, logs: dict[str, float]) -> None:
        assert 0 < done <= total
        assert logs["loss"] > 0
        if done == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("interrupted_at", [2, 11, 16])
def test_interrupted_runs_end_as_uninterrupted_ones(tiny: Cifar10, tmp_path: Path, interrupted_at: int) -> None:
    """Dropout, augmentation, momentum, order and schedule: all go on as if nothing had happened."""
    recipe = recipe_for("cnn", epochs=4, batch_size=96, optimizer="sgd", augment="standard")
    train(recipe, tiny, tmp_path / "whole")
    with pytest.raises(Interrupted, match=r"of 4 epochs; go on with `cifar-edge train --resume --run"):
        train(recipe, tiny, tmp_path / "parts", KeyboardInterruptAt(interrupted_at))
    assert not (tmp_path / "parts" / "model.keras").exists()
    resume(tmp_path / "parts", tiny)
    whole, parts = (Run(tmp_path / name).read_history() for name in ("whole", "parts"))
    assert [row.epoch for row in parts] == [1, 2, 3, 4]
    assert np.allclose([row.loss for row in whole], [row.loss for row in parts], rtol=1e-4)
    assert [row.learning_rate for row in whole] == [row.learning_rate for row in parts]


def test_resuming_with_other_options_or_data_is_refused(tiny: Cifar10, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(recipe_for("ann", epochs=2), tiny, tmp_path / "run", KeyboardInterruptAt(5))
    run = Run(tmp_path / "run")
    assert run.recipe_if_same(model="ann", epochs=2, seed=None) == recipe_for("ann", epochs=2)
    with pytest.raises(UsageError, match="was started with epochs 2, cannot go on with 9"):
        run.recipe_if_same(epochs=9)
    other = Cifar10(Split(tiny.train.images[::-1], tiny.train.labels[::-1]), tiny.test)
    with pytest.raises(UsageError, match="other data"):
        resume(tmp_path / "run", other)
    resume(tmp_path / "run", tiny)
    with pytest.raises(UsageError, match="finished"):
        resume(tmp_path / "run", tiny)


def test_a_run_s_folder_is_not_overwritten(tiny: Cifar10, run: Path) -> None:
    with pytest.raises(UsageError, match="already in use"):
        train(recipe_for("ann"), tiny, run)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "nadam", "rmsprop", "lion", "muon"])
def test_every_optimizer_learns(optimizer: str, tiny: Cifar10, tmp_path: Path) -> None:
    train(recipe_for("cnn", optimizer=optimizer, epochs=2, batch_size=16), tiny, tmp_path / "run")
    first, second = Run(tmp_path / "run").read_history()
    assert second.loss < first.loss


def test_trains_with_jax_too(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="jax is missing")
    command = [sys.executable, "-m", "cifar_edge", "train", "--data", "sample", "--model", "ann", "--epochs", "1"]
    subprocess.run(
        [*command, "--augment", "standard", "--run", tmp_path / "run"],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=True,
    )
    assert Run(tmp_path / "run").record["versions"]["backend"] == "jax"
    assert load_model(tmp_path / "run" / "model.keras").count_params() > 3_000_000
