from __future__ import annotations

import csv
import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cifar_edge.data import Cifar10
from cifar_edge.tflite.card import read_card
from cifar_edge.training.networks import NETWORKS
from cifar_edge.training.run import Run
from tests.cli.conftest import Command, full_disk
from tests.conftest import ROOT
from tests.little import little_network
from tests.own_photos import write_class_folders


def test_help_names_every_choice(cifar_edge: Command) -> None:
    from cifar_edge.training.recipe import AUGMENTATIONS, OPTIMIZERS, RECIPES, SCHEDULES

    assert NETWORKS.keys() == RECIPES.keys()
    text = cifar_edge("train", "--help").out
    for name in (*RECIPES, *OPTIMIZERS, *SCHEDULES, *AUGMENTATIONS):
        assert name in text


def test_a_stopped_and_a_killed_training_are_resumed(
    tmp_path: Path, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch, sigint: Callable[[Any], None]
) -> None:
    sigint(signal.default_int_handler)  # a shell's background job, as CI may be, ignores Ctrl-C
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(NETWORKS, "ann", functools.partial(little_network, "ann"))
    presser = threading.Thread(target=press_ctrl_c_after_epoch, args=(tmp_path, 1))
    presser.start()
    stopped = cifar_edge("train", "--data", "sample", "--model", "ann", "--epochs", 3)
    presser.join()
    assert stopped.code == 130
    assert "of 3 epochs; go on with `cifar-edge train --resume" in stopped.err
    assert "Traceback" not in stopped.err
    refused = cifar_edge("train", "--resume", "--epochs", 7)
    assert (refused.code, "cannot go on with 7" in refused.err) == (2, True)
    script = f"""
import functools, sys
sys.path.insert(0, {str(ROOT)!r})
from cifar_edge.cli.app import main
from cifar_edge.training.networks import NETWORKS
from tests.conftest import ROOT
from tests.little import little_network
NETWORKS["ann"] = functools.partial(little_network, "ann")
main()
"""
    with subprocess.Popen([sys.executable, "-c", script, "train", "--resume", "--quiet"]) as training:
        while not has_epoch(tmp_path, 2):
            assert training.poll() is None
            time.sleep(0.05)
        training.kill()
    resumed = cifar_edge("train", "--resume")
    assert resumed.code == 0
    assert "test accuracy" in resumed.out
    (run,) = tmp_path.glob("runs/*")
    assert len((run / "history.csv").read_text().splitlines()) == 4


def press_ctrl_c_after_epoch(folder: Path, epoch: int) -> None:
    while not has_epoch(folder, epoch):
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def has_epoch(folder: Path, epoch: int) -> bool:
    return any(len(history.read_text().splitlines()) > epoch for history in folder.glob("runs/*/history.csv"))


def test_a_full_disk_while_training(tmp_path: Path, cifar_edge: Command) -> None:
    with full_disk():
        outcome = cifar_edge("train", "--data", "sample", "--model", "ann", "--run", tmp_path / "run")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "run" / "model.keras").exists()


def test_from_class_folders_to_rows(
    tmp_path: Path, sample: Cifar10, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "my pets", sample.train, {"cat": 55, "ship": 55})
    write_class_folders(tmp_path / "new", sample.test, {"cat": 10, "ship": 10})
    write_class_folders(tmp_path / "new", sample.test, {"frog": 10}, skip=20)
    trained = cifar_edge("train", "my pets", "--backbone", "nano", "--epochs", 1)
    assert trained.code == 0, trained.err
    assert trained.out.startswith("test accuracy ")
    exported = cifar_edge("export", "--quantize")
    assert exported.code == 0, exported.err
    classified = cifar_edge("classify", "new", "--output", "rows.csv", "--model", "my pets-int8")
    assert "CIFAR" not in trained.err + exported.err + classified.err
    rows = [*csv.DictReader((tmp_path / "rows.csv").read_text().splitlines())]
    assert {row["label"] for row in rows} <= {"cat", "ship", "unknown"}
    right = [row["label"] == Path(row["path"]).parent.name.replace("frog", "unknown") for row in rows]
    assert sum(right) >= 20
    (model,) = tmp_path.glob("runs/my pets-*/my pets-int8.tflite")
    card = read_card(model.read_bytes(), model)
    assert card is not None
    assert card.labels == ("cat", "ship", "unknown")
    assert card.threshold is not None
    assert card.accuracy is not None

    sure = cifar_edge("classify", "new", "--output", "sure.csv", "--model", model, "--min-confidence", "auto")
    assert f"below {card.threshold:.0%} a photo is unknown (its own threshold)" in sure.err
    named = [(tmp_path / name).read_text().count(",unknown,") for name in ("rows.csv", "sure.csv")]
    assert named[0] <= named[1]

    # Sort, correct, train again.
    assert cifar_edge("classify", "new", "--model", model, "--sort-into", "sorted", "--quiet").code == 0
    frogs = {path.name for path in tmp_path.glob("new/frog/*")}
    (tmp_path / "my pets" / "none").mkdir()
    for photo in tmp_path.glob("sorted/*/*"):
        shutil.copy(photo, tmp_path / "my pets" / ("none" if photo.name in frogs else photo.parent.name))
    again = cifar_edge("train", "my pets", "--from", model.parent, "--run", "again")
    assert again.code == 0, again.err
    assert Run(tmp_path / "again").classes == ("cat", "ship", "none")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["photos", "--model", "cnn"], "--model is for CIFAR-10; leave it out"),
        (["photos", "--augment", "robust"], "--augment is for CIFAR-10"),
        (["photos", "--data", "sample"], "--data is for CIFAR-10"),
        (["--backbone", "lite0"], "--backbone is for photos of your own; name their folder"),
        (["--from", "runs/x"], "--from is for photos of your own"),
        (["photos", "--minutes", "5", "--epochs", "3"], "--minutes decides about the epochs"),
        (["photos", "--backbone", "small", "--image-size", "96"], "image-size 96: backbone small takes 32 pixels only"),
        (["photos", "--from", "nowhere"], "nowhere: not a run of cifar-edge"),
        (["photos"], "photos: only one class (cat)"),
        (["nowhere"], "nowhere: not a folder"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_work(
    options: list[str], reason: str, tmp_path: Path, cifar_edge: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    outcome = cifar_edge("train", *options)
    assert (outcome.code, reason in outcome.err) == (2, True), outcome.err
    assert not (tmp_path / "runs").exists()
